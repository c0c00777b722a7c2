//! A path's tree.

use serde_json::Value;

use crate::pattern::Pattern;

#[derive(Clone, Debug, Default)]
pub(crate) struct Path {
    pub(crate) tokens: Vec<Token>,
    /// A function applied to what the tokens find.
    pub(crate) function: Option<Call>,
}

impl Path {
    pub(crate) fn is_definite(&self) -> bool {
        self.function.is_some() || self.definite_tokens() == self.tokens.len()
    }

    /// How many tokens at the beginning name one place each.
    pub(crate) fn definite_tokens(&self) -> usize {
        let last = self.tokens.len().saturating_sub(1);
        let definite = |(index, token): (usize, &Token)| match token {
            // Several names make one object at the end of a path, and several places before it.
            Token::Names(names) => names.len() == 1 || index == last,
            Token::Indexes(indexes) => indexes.len() == 1,
            Token::All | Token::Slice(..) | Token::Filter(_) | Token::Scan => false,
        };
        self.tokens.iter().enumerate().position(|token| !definite(token)).unwrap_or(self.tokens.len())
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Token {
    /// `.name`, `['a','b']`. Several names make an object of those that exist.
    Names(Vec<String>),
    /// `*`
    All,
    /// `[0]`, `[0,1]`, `[-1]`
    Indexes(Vec<i64>),
    /// `[from:to]`; below zero counts from the end.
    Slice(Option<i64>, Option<i64>),
    /// `[?(…)]`
    Filter(Box<Filter>),
    /// `..`, before the token that is looked for.
    Scan,
}

#[derive(Clone, Debug)]
pub(crate) enum Filter {
    Or(Vec<Filter>),
    And(Vec<Filter>),
    Not(Box<Filter>),
    Exists(Operand),
    Compare(Operand, Comparison, Operand),
}

#[derive(Clone, Debug)]
pub(crate) enum Operand {
    Value(Value),
    Regex(Pattern),
    /// Relative to the item in question.
    Here(Path),
    /// Relative to the document.
    Root(Path),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    SameTypeEqual,
    SameTypeNotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Matches,
    In,
    NotIn,
    Contains,
    All,
    Size,
    Empty,
    SubsetOf,
    AnyOf,
    NoneOf,
    Type,
}

#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) function: Function,
    pub(crate) arguments: Vec<Operand>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    Length,
    Min,
    Max,
    Avg,
    Sum,
    Stddev,
    Keys,
    Concat,
    Append,
    First,
    Last,
    Index,
}
