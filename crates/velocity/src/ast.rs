//! The template's tree. It holds no `Rc`, so a parsed template is shared between threads.

use std::sync::Arc;

use crate::error::Position;

/// A run of statements.
pub(crate) type Block = Box<[Node]>;

#[derive(Debug)]
pub(crate) enum Node {
    Text(Box<str>),
    Reference(Reference),
    Set { target: Reference, value: Expression },
    If { branches: Box<[(Expression, Block)]>, otherwise: Option<Block> },
    Foreach { variable: Arc<str>, source: Expression, body: Block },
    Break(Option<Expression>),
    Stop,
    Call(Box<Call>),
    Define { name: Arc<str>, body: Definition },
    Evaluate(Expression),
}

/// A `#name(…)`: a macro if there is one of that name when it is reached, otherwise text.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) name: Arc<str>,
    pub(crate) arguments: Arc<[Expression]>,
    pub(crate) body: Option<Definition>,
    pub(crate) literal: Box<str>,
}

/// A macro's definition.
#[derive(Debug)]
pub(crate) struct Macro {
    pub(crate) parameters: Box<[Arc<str>]>,
    pub(crate) body: Block,
}

/// The body of a `#define`, or the one passed to a macro called as `#@name()`.
#[derive(Clone, Debug)]
pub struct Definition(pub(crate) Arc<Block>);

#[derive(Debug)]
pub(crate) struct Reference {
    pub(crate) root: Arc<str>,
    pub(crate) steps: Box<[Step]>,
    pub(crate) position: Position,
    /// What is printed when there is no value: the reference as written, nothing if it is quiet.
    pub(crate) literal: Box<str>,
    /// Half the backslashes before the reference.
    pub(crate) backslashes: usize,
    /// An odd number of backslashes: the reference is printed as written if it has a value.
    pub(crate) escaped: bool,
    /// Dollar signs and the like that touched the reference, as in `$$x`.
    pub(crate) prefix: Box<str>,
}

#[derive(Debug)]
pub(crate) enum Step {
    Property(Arc<str>),
    Method(Arc<str>, Box<[Expression]>),
    Index(Expression),
}

#[derive(Debug)]
pub(crate) enum Expression {
    Bool(bool),
    Int(i32),
    Long(i64),
    Double(f64),
    Text(Arc<str>),
    Interpolated(Block),
    List(Box<[Expression]>),
    Map(Box<[(Expression, Expression)]>),
    Range(Box<(Expression, Expression)>),
    Reference(Reference),
    Not(Box<Expression>),
    Binary(Operator, Box<(Expression, Expression)>),
    /// A bare word, which only directives that are text in the end may have.
    Word,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    Greater,
    LessOrEqual,
    GreaterOrEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}
