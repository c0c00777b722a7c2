//! Filters: `(@.price < 10 && @.name in ['a','b'])`.

use serde_json::Value;

use super::{Parser, Place};
use crate::ast::{Comparison, Filter, Operand};
use crate::error::ParseError;
use crate::pattern::Pattern;

/// The operators. Longer spellings stand before their beginnings; words are compared without case.
const OPERATORS: [(&str, Comparison); 21] = [
    ("===", Comparison::SameTypeEqual),
    ("!==", Comparison::SameTypeNotEqual),
    ("==", Comparison::Equal),
    ("=~", Comparison::Matches),
    ("!=", Comparison::NotEqual),
    ("<>", Comparison::NotEqual),
    ("<=", Comparison::LessOrEqual),
    (">=", Comparison::GreaterOrEqual),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
    ("in", Comparison::In),
    ("nin", Comparison::NotIn),
    ("contains", Comparison::Contains),
    ("all", Comparison::All),
    ("size", Comparison::Size),
    ("empty", Comparison::Empty),
    ("subsetof", Comparison::SubsetOf),
    ("anyof", Comparison::AnyOf),
    ("noneof", Comparison::NoneOf),
    ("type", Comparison::Type),
    ("=", Comparison::Equal),
];

impl Parser<'_> {
    /// A filter in its parentheses.
    pub(super) fn filter(&mut self) -> Result<Filter, ParseError> {
        self.eat("(");
        let filter = self.or()?;
        if !self.eat(")") {
            return Err(self.error("A ) or an operator is missing"));
        }
        Ok(filter)
    }

    fn or(&mut self) -> Result<Filter, ParseError> {
        let first = self.and()?;
        let mut terms = vec![first];
        while self.eat("||") {
            terms.push(self.and()?);
        }
        Ok(single(terms).unwrap_or_else(Filter::Or))
    }

    fn and(&mut self) -> Result<Filter, ParseError> {
        let first = self.term()?;
        let mut terms = vec![first];
        while self.eat("&&") {
            terms.push(self.term()?);
        }
        Ok(single(terms).unwrap_or_else(Filter::And))
    }

    fn term(&mut self) -> Result<Filter, ParseError> {
        self.skip_space();
        let filter = if self.peek() == Some('!') {
            self.eat("!");
            Filter::Not(Box::new(self.nested(Self::term)?))
        } else if self.peek() == Some('(') {
            self.nested(Self::filter)?
        } else {
            self.comparison()?
        };
        self.skip_space();
        Ok(filter)
    }

    fn comparison(&mut self) -> Result<Filter, ParseError> {
        let left = self.nested(Self::operand)?;
        self.skip_space();
        let Some(operator) = self.operator() else {
            return match left {
                Operand::Here(_) | Operand::Root(_) | Operand::Value(Value::Bool(_)) => {
                    Ok(Filter::Exists(left))
                }
                _ => Err(self.error("An operator is missing")),
            };
        };
        self.skip_space();
        let right = self.nested(Self::operand)?;
        if matches!((&right, operator), (Operand::Regex(_), operator) if operator != Comparison::Matches) {
            return Err(self.error("A regular expression is compared with =~"));
        }
        Ok(Filter::Compare(left, operator, right))
    }

    fn operator(&mut self) -> Option<Comparison> {
        let rest = self.rest();
        for (spelling, operator) in OPERATORS {
            let Some((head, tail)) = rest.split_at_checked(spelling.len()) else { continue };
            let word = spelling.bytes().all(|byte| byte.is_ascii_alphabetic());
            let glued = word && tail.starts_with(|c: char| c.is_alphanumeric() || c == '_');
            if head.eq_ignore_ascii_case(spelling) && !glued {
                self.at += spelling.len();
                return Some(operator);
            }
        }
        None
    }

    /// A path, a literal or a regular expression.
    pub(super) fn operand(&mut self) -> Result<Operand, ParseError> {
        match self.peek() {
            Some('@') => {
                self.eat("@");
                self.path(Place::Within).map(Operand::Here)
            }
            Some('$') => {
                self.eat("$");
                self.path(Place::Within).map(Operand::Root)
            }
            Some('\'' | '"') => Ok(Operand::Value(Value::String(self.quoted()?))),
            Some('[' | '{') => self.nested(Self::json).map(Operand::Value),
            Some('/') => self.regex().map(Operand::Regex),
            Some(c) if c.is_ascii_digit() || matches!(c, '-' | '.') => self.number().map(Operand::Value),
            _ => {
                for (word, value) in
                    [("true", Value::Bool(true)), ("false", Value::Bool(false)), ("null", Value::Null)]
                {
                    if self.eat(word) {
                        return Ok(Operand::Value(value));
                    }
                }
                Err(self.error("A value or a path is expected"))
            }
        }
    }

    fn number(&mut self) -> Result<Value, ParseError> {
        let rest = self.rest();
        let end = rest.find(|c: char| !(c.is_ascii_digit() || "+-.eE".contains(c))).unwrap_or(rest.len());
        let text = rest.get(..end).unwrap_or_default();
        let integer = text.parse::<i64>().ok().map(Value::from);
        let number = integer.or_else(|| {
            let number = text.parse::<f64>().ok()?;
            serde_json::Number::from_f64(number).map(Value::Number)
        });
        let number = number.ok_or_else(|| self.error("This is not a number"))?;
        self.at += end;
        Ok(number)
    }

    /// `/pattern/flags`. The pattern must fit the whole text.
    fn regex(&mut self) -> Result<Pattern, ParseError> {
        let rest = self.rest().get(1..).unwrap_or_default();
        let mut escaped = false;
        let end = rest.char_indices().find(|(_, c)| {
            let ends = *c == '/' && !escaped;
            escaped = *c == '\\' && !escaped;
            ends
        });
        let Some((end, _)) = end else { return Err(self.error("A regular expression is not closed")) };
        let (pattern, after) = rest.split_at(end);
        let after = after.get(1..).unwrap_or_default();
        let flags = after.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(after.len());
        let flags = after.get(..flags).unwrap_or_default();
        if let Some(flag) = flags.chars().find(|flag| !"imsxud".contains(*flag)) {
            return Err(self.error(format!("There is no flag {flag}")));
        }
        let regex = Pattern::new(&pattern.replace("\\/", "/"), flags);
        let regex = regex.ok_or_else(|| self.error("The regular expression is not usable"))?;
        self.at += 1 + end + 1 + flags.len();
        Ok(regex)
    }
}

/// The only term, or all of them back.
fn single(mut terms: Vec<Filter>) -> Result<Filter, Vec<Filter>> {
    match terms.pop() {
        Some(only) if terms.is_empty() => Ok(only),
        Some(last) => {
            terms.push(last);
            Err(terms)
        }
        None => Err(terms),
    }
}
