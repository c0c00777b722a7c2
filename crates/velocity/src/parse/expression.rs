//! Expressions: literals, references and operators. Only `#set`, `#if` and `#elseif` take operators; everywhere else
//! an operand stands alone.

use std::borrow::Cow;
use std::sync::Arc;

use super::cursor::Cursor;
use super::{Ending, Macros, Parser};
use crate::ast::{Expression, Node, Operator};
use crate::error::ParseError;

/// The operators from the loosest to the tightest. Longer spellings stand before their beginnings.
const LEVELS: [&[(&str, Operator)]; 6] = [
    &[("||", Operator::Or), ("or", Operator::Or)],
    &[("&&", Operator::And), ("and", Operator::And)],
    &[
        ("==", Operator::Equal),
        ("eq", Operator::Equal),
        ("!=", Operator::NotEqual),
        ("ne", Operator::NotEqual),
    ],
    &[
        ("<=", Operator::LessOrEqual),
        ("le", Operator::LessOrEqual),
        (">=", Operator::GreaterOrEqual),
        ("ge", Operator::GreaterOrEqual),
        ("<", Operator::Less),
        ("lt", Operator::Less),
        (">", Operator::Greater),
        ("gt", Operator::Greater),
    ],
    &[("+", Operator::Add), ("-", Operator::Subtract)],
    &[("*", Operator::Multiply), ("/", Operator::Divide), ("%", Operator::Remainder)],
];

impl Parser<'_> {
    pub(super) fn expression(&mut self) -> Result<Expression, ParseError> {
        self.nested(|parser| parser.level(&LEVELS))
    }

    fn level(&mut self, levels: &[&[(&str, Operator)]]) -> Result<Expression, ParseError> {
        let Some((operators, tighter)) = levels.split_first() else { return self.unary() };
        let mut left = self.level(tighter)?;
        let mut length = 0;
        while let Some(operator) = self.operator(operators) {
            // The tree leans left and is evaluated by recursion, so its length counts as depth.
            length += 1;
            if length > super::DEPTH_MAX {
                return Err(self
                    .cursor
                    .error(format!("More than {} operators follow each other", super::DEPTH_MAX)));
            }
            let right = self.level(tighter)?;
            left = Expression::Binary(operator, Box::new((left, right)));
        }
        Ok(left)
    }

    fn operator(&mut self, operators: &[(&str, Operator)]) -> Option<Operator> {
        for (spelling, operator) in operators {
            let word = spelling.bytes().all(|byte| byte.is_ascii_alphabetic());
            let follows = self.cursor.peek_at(spelling.len());
            let glued = word
                && follows.is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'@'));
            // A sign that touches a digit is the number's, even after an operand.
            let number =
                *spelling == "-" && follows.is_some_and(|byte| byte.is_ascii_digit() || byte == b'.');
            if !glued && !number && self.cursor.eat(spelling) {
                return Some(*operator);
            }
        }
        None
    }

    fn unary(&mut self) -> Result<Expression, ParseError> {
        self.cursor.skip_space();
        let word = self.cursor.rest().strip_prefix("not");
        let not = word.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_'));
        if not || self.cursor.peek() == Some(b'!') {
            self.cursor.eat(if not { "not" } else { "!" });
            let operand = self.nested(Self::unary)?;
            return Ok(Expression::Not(Box::new(operand)));
        }
        let value = if self.cursor.eat("(") {
            let value = self.expression()?;
            if !self.cursor.eat(")") {
                return Err(self.cursor.error("A parenthesis is not closed"));
            }
            value
        } else {
            self.operand()?
        };
        self.cursor.skip_space();
        Ok(value)
    }

    /// An operand with white space around it: a method's argument, a list's item.
    pub(super) fn parameter(&mut self) -> Result<Expression, ParseError> {
        self.cursor.skip_space();
        let value = self.operand()?;
        self.cursor.skip_space();
        Ok(value)
    }

    /// A literal or a reference.
    pub(super) fn operand(&mut self) -> Result<Expression, ParseError> {
        match self.cursor.peek() {
            Some(b'$') => self.nested(Self::reference).map(Expression::Reference),
            Some(b'"' | b'\'') => self.string(),
            Some(b'[') => self.nested(Self::list),
            Some(b'{') => self.nested(Self::map),
            Some(b'0'..=b'9' | b'-' | b'.') => self.number(),
            _ => self.word(),
        }
    }

    fn word(&mut self) -> Result<Expression, ParseError> {
        let start = self.cursor.at();
        match self.cursor.take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'@')) {
            "true" => Ok(Expression::Bool(true)),
            "false" => Ok(Expression::Bool(false)),
            _ => Err(self.cursor.error_at(start, "A value is expected")),
        }
    }

    fn number(&mut self) -> Result<Expression, ParseError> {
        let start = self.cursor.at();
        self.cursor.eat("-");
        let whole = self.cursor.take_while(|byte| byte.is_ascii_digit()).len();
        let mut double = false;
        let mut fraction = 0;
        if self.cursor.peek() == Some(b'.') && self.cursor.peek_at(1) != Some(b'.') {
            self.cursor.eat(".");
            fraction = self.cursor.take_while(|byte| byte.is_ascii_digit()).len();
            double = true;
        }
        if whole + fraction == 0 {
            return Err(self.cursor.error_at(start, "A value is expected"));
        }
        let mantissa = self.cursor.at();
        if matches!(self.cursor.peek(), Some(b'e' | b'E')) {
            self.cursor.go_to(mantissa + 1);
            if matches!(self.cursor.peek(), Some(b'+' | b'-')) {
                self.cursor.go_to(mantissa + 2);
            }
            if self.cursor.take_while(|byte| byte.is_ascii_digit()).is_empty() {
                self.cursor.go_to(mantissa);
            } else {
                double = true;
            }
        }
        let digits = self.cursor.since(start);
        if !double {
            if let Ok(number) = digits.parse() {
                return Ok(Expression::Int(number));
            }
            if let Ok(number) = digits.parse() {
                return Ok(Expression::Long(number));
            }
        }
        digits
            .parse()
            .map(Expression::Double)
            .map_err(|_| self.cursor.error_at(start, "This is not a number"))
    }

    fn list(&mut self) -> Result<Expression, ParseError> {
        self.cursor.eat("[");
        if self.cursor.eat("]") {
            return Ok(Expression::List(Box::default()));
        }
        let first = self.parameter()?;
        if self.cursor.eat("..") {
            let last = self.parameter()?;
            if !self.cursor.eat("]") {
                return Err(self.cursor.error("A range ends with a ]"));
            }
            return Ok(Expression::Range(Box::new((first, last))));
        }
        let mut items = vec![first];
        while self.cursor.eat(",") {
            items.push(self.parameter()?);
        }
        if !self.cursor.eat("]") {
            return Err(self.cursor.error("A list ends with a ]"));
        }
        Ok(Expression::List(items.into_boxed_slice()))
    }

    fn map(&mut self) -> Result<Expression, ParseError> {
        self.cursor.eat("{");
        let mut entries = Vec::new();
        let start = self.cursor.at();
        self.cursor.skip_space();
        if self.cursor.eat("}") {
            return Ok(Expression::Map(Box::default()));
        }
        self.cursor.go_to(start);
        loop {
            let key = self.parameter()?;
            if !self.cursor.eat(":") {
                return Err(self.cursor.error("A map's key is followed by a :"));
            }
            entries.push((key, self.parameter()?));
            if self.cursor.eat("}") {
                return Ok(Expression::Map(entries.into_boxed_slice()));
            }
            if !self.cursor.eat(",") {
                return Err(self.cursor.error("A map ends with a }"));
            }
        }
    }

    pub(super) fn string(&mut self) -> Result<Expression, ParseError> {
        let start = self.cursor.at();
        let rest = self.cursor.rest();
        let double = rest.starts_with('"');
        let quote = if double { '"' } else { '\'' };
        let inside = rest.get(1..).unwrap_or_default();
        let Some(text) = closing_quote(inside, quote).and_then(|end| inside.get(..end)) else {
            return Err(self.cursor.error_at(start, "A text is not closed"));
        };
        self.cursor.go_to(start + text.len() + 2);
        let mut text = if double { unescape(text) } else { Cow::Borrowed(text) };
        if text.contains(quote) {
            let (one, two) = if double { ("\"", "\"\"") } else { ("'", "''") };
            text = Cow::Owned(text.replace(two, one));
        }
        if !double || !text.contains(['$', '#']) {
            return Ok(Expression::Text(Arc::from(text)));
        }
        self.interpolated(&text, start)
    }

    /// A text with references or directives in it is a template of its own.
    fn interpolated(&mut self, text: &str, start: usize) -> Result<Expression, ParseError> {
        // A space is added and taken away again: a `#` or `$` at the end of a text is not an error there. A line
        // comment swallows it.
        let comment = text.contains("##");
        let padded = format!("{text} ");
        let base = self.cursor.position(start);
        let macros: Macros = std::mem::take(&mut self.macros);
        let mut inner = Parser {
            cursor: Cursor::within(&padded, base),
            depth: self.depth + 1,
            macros,
            comments: Vec::new(),
        };
        let parsed = if inner.depth > super::DEPTH_MAX {
            Err(inner.cursor.error(format!("More than {} levels are nested", super::DEPTH_MAX)))
        } else {
            inner.block()
        };
        let mark = inner.cursor.mark;
        let misplaced = inner.cursor.error_at(mark, "A directive ends or continues what was not begun");
        self.macros = inner.macros;
        let (body, end) = parsed?;
        if end != Ending::Source {
            return Err(misplaced);
        }
        let mut nodes = body.into_vec();
        if !comment
            && let Some(Node::Text(last)) = nodes.last_mut()
            && let Some(shorter) = last.strip_suffix(' ')
        {
            *last = shorter.into();
        }
        Ok(Expression::Interpolated(nodes.into_boxed_slice()))
    }
}

/// Where the quote stands that ends a text. Two together are one quote of the text's own, unless the text would never
/// end; a backslash does not keep a quote from ending it.
fn closing_quote(inside: &str, quote: char) -> Option<usize> {
    let (mut from, mut last) = (0, None);
    while let Some(found) = inside.get(from..).and_then(|rest| rest.find(quote)) {
        let at = from + found;
        if !inside.get(at + 1..).is_some_and(|rest| rest.starts_with(quote)) {
            return Some(at);
        }
        last = Some(at);
        from = at + 2;
    }
    last
}

/// Characters written as `\u0041` in a double-quoted text. No other escape exists there.
fn unescape(text: &str) -> Cow<'_, str> {
    let Some(first) = text.find("\\u") else { return Cow::Borrowed(text) };
    let (head, mut rest) = text.split_at(first);
    let mut made = String::with_capacity(text.len());
    made.push_str(head);
    while let Some(at) = rest.find("\\u") {
        made.push_str(rest.get(..at).unwrap_or_default());
        rest = rest.get(at..).unwrap_or_default();
        let digits = rest.get(2..6).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let character =
            digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).and_then(char::from_u32);
        match character {
            Some(character) => {
                made.push(character);
                rest = rest.get(6..).unwrap_or_default();
            }
            None => {
                made.push_str("\\u");
                rest = rest.get(2..).unwrap_or_default();
            }
        }
    }
    made.push_str(rest);
    Cow::Owned(made)
}
