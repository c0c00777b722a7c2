//! References: `$name`, `${name}`, `$!name`, with properties, methods and indexes.

use super::{Nodes, Parser};
use crate::ast::{Expression, Node, Reference, Step};
use crate::error::ParseError;

impl<'s> Parser<'s> {
    /// A dollar sign in text, after so many backslashes: a reference, or text if nothing like a name follows.
    pub(super) fn dollar(&mut self, nodes: &mut Nodes, backslashes: usize) -> Result<(), ParseError> {
        let start = self.cursor.at();
        let slashes = "\\".repeat(backslashes);
        if self.cursor.rest().starts_with("$[") || self.cursor.rest().starts_with("$![") {
            nodes.text(&slashes);
            let bracket = if self.cursor.eat("$[") { "$[" } else { "$![" };
            if bracket.len() == 3 {
                self.cursor.eat(bracket);
            }
            nodes.text(bracket);
            return Ok(());
        }
        // Further dollar signs belong to the reference they precede: `$$x` is a dollar sign and the value of x.
        let mut last = start;
        loop {
            self.cursor.eat("$");
            if self.cursor.peek() == Some(b'!') {
                self.cursor.eat("!");
            }
            let here = self.cursor.at();
            self.cursor.take_while(|byte| byte == b'\\');
            if self.cursor.peek() == Some(b'$') {
                last = self.cursor.at();
                continue;
            }
            self.cursor.go_to(here);
            break;
        }
        let prefix: Box<str> = {
            let here = self.cursor.at();
            self.cursor.go_to(last);
            let prefix = self.cursor.since(start).into();
            self.cursor.go_to(here);
            prefix
        };
        self.cursor.go_to(last);
        if let Some(reference) = self.reference_at_dollar(prefix.clone(), backslashes)? {
            let ends_in_property = matches!(reference.steps.last(), Some(Step::Property(_)));
            nodes.push(Node::Reference(reference));
            // Right after a property Velocity takes no comment.
            if ends_in_property && !self.cursor.since(start).ends_with('}') && self.cursor.eat("##") {
                nodes.text("##");
            }
            return Ok(());
        }
        nodes.text(&slashes);
        nodes.text(&prefix);
        self.dollar_as_text(nodes)
    }

    /// The dollar sign here begins no reference.
    fn dollar_as_text(&mut self, nodes: &mut Nodes) -> Result<(), ParseError> {
        let start = self.cursor.at();
        self.cursor.eat("$");
        // Velocity knows `$\!name` as a way to write `$!name`: one backslash goes.
        let slashes = self.cursor.take_while(|byte| byte == b'\\').len();
        if slashes > 0 {
            if self.cursor.peek() == Some(b'!') {
                nodes.text("$");
                nodes.text(&"\\".repeat(slashes - 1));
                self.cursor.eat("!");
                nodes.text("!");
            } else {
                self.cursor.go_to(start + 1);
                nodes.text("$");
            }
            return Ok(());
        }
        // Of `$!` before something else Velocity keeps the dollar sign alone.
        self.cursor.eat("!");
        if self.cursor.eat("{") {
            nodes.text(self.cursor.since(start));
            return Ok(());
        }
        if self.cursor.peek().is_none() {
            return Err(self.cursor.error_at(start, "A dollar sign ends the template"));
        }
        nodes.sign('$');
        Ok(())
    }

    /// A reference within an expression or an argument list.
    pub(super) fn reference(&mut self) -> Result<Reference, ParseError> {
        let start = self.cursor.at();
        match self.reference_at_dollar("".into(), 0)? {
            Some(reference) => Ok(reference),
            None => Err(self.cursor.error_at(start, "A reference needs a name")),
        }
    }

    /// The reference at the dollar sign here; `None`, and nothing is consumed, if no name follows.
    fn reference_at_dollar(
        &mut self,
        prefix: Box<str>,
        backslashes: usize,
    ) -> Result<Option<Reference>, ParseError> {
        let start = self.cursor.at();
        let escaped = backslashes % 2 == 1;
        self.cursor.eat("$");
        let quiet = self.cursor.eat("!");
        let formal = self.cursor.eat("{");
        // `${$name}` names the variable `$name`, which no template can set.
        let inner = self.cursor.at();
        if formal {
            self.cursor.take_while(|byte| byte == b'\\');
            if self.cursor.eat("$") {
                self.cursor.eat("!");
            } else {
                self.cursor.go_to(inner);
            }
        }
        if self.identifier()?.is_none() {
            self.cursor.go_to(start);
            return Ok(None);
        }
        let root = self.cursor.since(inner);
        let mut steps = Vec::new();
        while let Some(step) = self.step()? {
            steps.push(step);
        }
        if formal && !self.cursor.eat("}") {
            return Err(self.cursor.error("A reference that begins with ${ needs a }"));
        }
        let literal = if quiet && !escaped { "" } else { self.cursor.since(start) };
        Ok(Some(Reference {
            root: root.into(),
            steps: steps.into_boxed_slice(),
            position: self.cursor.position(start),
            literal: literal.into(),
            backslashes: backslashes / 2,
            escaped,
            prefix,
        }))
    }

    fn identifier(&mut self) -> Result<Option<&'s str>, ParseError> {
        let start = self.cursor.at();
        if !self.cursor.peek().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_') {
            return Ok(None);
        }
        let name = self.cursor.take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        if matches!(name, "true" | "false") {
            return Err(self.cursor.error_at(start, "A reference cannot be named true or false"));
        }
        Ok(Some(name))
    }

    fn step(&mut self) -> Result<Option<Step>, ParseError> {
        match self.cursor.peek() {
            Some(b'[') => self.nested(Self::index).map(Some),
            Some(b'.') if self.cursor.peek_at(1).is_some_and(|byte| byte.is_ascii_alphabetic()) => {
                self.cursor.eat(".");
                let Some(name) = self.identifier()?.map(std::sync::Arc::from) else { return Ok(None) };
                if self.cursor.peek() == Some(b'(') && self.begins_arguments() {
                    self.cursor.eat("(");
                    let arguments = self.nested(Self::arguments)?;
                    return Ok(Some(Step::Method(name, arguments)));
                }
                Ok(Some(Step::Property(name)))
            }
            _ => Ok(None),
        }
    }

    /// Whether what follows the parenthesis can be an argument list; otherwise the parenthesis is text.
    fn begins_arguments(&self) -> bool {
        self.cursor.peek_at(1).is_some()
    }

    fn arguments(&mut self) -> Result<Box<[Expression]>, ParseError> {
        let mut arguments = Vec::new();
        if self.cursor.eat(")") {
            return Ok(arguments.into_boxed_slice());
        }
        loop {
            arguments.push(self.parameter()?);
            if self.cursor.eat(")") {
                return Ok(arguments.into_boxed_slice());
            }
            if !self.cursor.eat(",") {
                return Err(self
                    .cursor
                    .error("A method's arguments are separated by commas and end with a )"));
            }
        }
    }

    fn index(&mut self) -> Result<Step, ParseError> {
        self.cursor.eat("[");
        self.cursor.skip_space();
        let index = match self.cursor.peek() {
            Some(b'[' | b'{') => {
                return Err(self.cursor.error("An index is a text, a number or a reference"));
            }
            _ => self.operand()?,
        };
        if matches!(index, Expression::Double(_)) {
            return Err(self.cursor.error("An index is a text, a number or a reference"));
        }
        self.cursor.skip_space();
        if !self.cursor.eat("]") {
            return Err(self.cursor.error("An index ends with a ]"));
        }
        Ok(Step::Index(index))
    }
}
