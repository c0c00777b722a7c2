//! Directives: what begins with `#`.

use std::sync::Arc;

use super::{Ending, Nodes, Parser};
use crate::ast::{Block, Call, Definition, Expression, Macro, Node};
use crate::error::ParseError;

impl Parser<'_> {
    /// What stands at the `#` here. An end of the block is consumed and given.
    pub(super) fn hash(&mut self, nodes: &mut Nodes) -> Result<Option<Ending>, ParseError> {
        let start = self.cursor.at();
        if self.cursor.eat("#[[") {
            match self.cursor.take_through("]]#") {
                Some(text) => nodes.text(text),
                None => return Err(self.cursor.error_at(start, "A #[[ needs a ]]#")),
            }
        } else if self.cursor.eat("#*") {
            // A comment that is never closed takes the rest of the template.
            if self.cursor.take_through("*#").is_none() {
                self.cursor.go_to(start + self.cursor.rest().len() + 2);
            }
            self.comments.push(start..self.cursor.at());
        } else if self.cursor.eat("##") {
            let rest = self.cursor.rest();
            let end = rest.find(['\n', '\r']).unwrap_or(rest.len());
            let from = self.cursor.at();
            self.cursor.go_to(from + end);
            // Its sign stays where text is taken literally.
            self.comments.push(from..self.cursor.at());
            self.cursor.skip_line_end();
        } else if let Some(word) = self.cursor.directive_word() {
            return self.directive(word.to_owned().as_str(), nodes);
        } else {
            self.cursor.eat("#");
            let hash = self.cursor.at();
            if !self.cursor.take_while(|byte| byte == b'\\').is_empty() && self.cursor.peek() == Some(b'$') {
                // Backslashes between a # and a $ escape nothing.
                nodes.text(self.cursor.since(start));
                return self.dollar(nodes, 0).map(|()| None);
            }
            self.cursor.go_to(hash);
            if self.cursor.peek().is_none() {
                return Err(self.cursor.error_at(start, "A # ends the template"));
            }
            nodes.sign('#');
            // A number after it is a token of its own, so white space after that may belong to a `#set`.
            let digits = self.cursor.take_while(|byte| byte.is_ascii_digit());
            if !digits.is_empty() {
                nodes.text(digits);
            }
        }
        Ok(None)
    }

    fn directive(&mut self, word: &str, nodes: &mut Nodes) -> Result<Option<Ending>, ParseError> {
        let start = self.cursor.at();
        self.cursor.take_directive();
        match word {
            "end" | "else" => {
                self.cursor.mark = start;
                self.cursor.skip_line_end();
                return Ok(Some(if word == "end" { Ending::Block } else { Ending::Else }));
            }
            "elseif" => {
                self.cursor.mark = start;
                return Ok(Some(Ending::ElseIf));
            }
            "if" => {
                let node = self.nested(|parser| parser.condition(start))?;
                nodes.push(node);
                return Ok(None);
            }
            _ => {}
        }
        if !self.begins_parenthesis() {
            match word {
                "break" => nodes.push(Node::Break(None)),
                "stop" => nodes.push(Node::Stop),
                "macro" => return Err(self.cursor.error_at(start, "#macro needs a name in parentheses")),
                _ => {
                    let literal = self.cursor.since(start).into();
                    let name = word.trim_start_matches('@').into();
                    nodes.push(Node::Call(Box::new(Call {
                        name,
                        arguments: Arc::default(),
                        body: None,
                        literal,
                    })));
                }
            }
            return Ok(None);
        }
        if matches!(word, "include" | "parse") {
            return Err(self
                .cursor
                .error_at(start, format!("#{word} reads other templates, which is not allowed")));
        }
        let node = self.nested(|parser| parser.with_arguments(word, start))?;
        if let Some(node) = node {
            nodes.push(node);
        }
        Ok(None)
    }

    fn begins_parenthesis(&self) -> bool {
        self.cursor.rest().trim_start_matches([' ', '\t', '\n', '\r']).starts_with('(')
    }

    fn with_arguments(&mut self, word: &str, start: usize) -> Result<Option<Node>, ParseError> {
        let inside = self.cursor.at();
        let (arguments, words) = self.directive_arguments(word)?;
        let wrong = |parser: &Self, what: &str| Err(parser.cursor.error_at(inside, what));
        let mut arguments = arguments.into_iter();
        let first = arguments.next();
        Ok(Some(match word {
            "foreach" => {
                let (Some(Expression::Reference(element)), Some(_), Some(source)) =
                    (first, arguments.next(), arguments.next())
                else {
                    return wrong(self, "#foreach takes ($item in list)");
                };
                Node::Foreach { variable: element.root, source, body: self.body(start)? }
            }
            "define" => {
                let Some(Expression::Reference(target)) = first else {
                    return wrong(self, "#define takes ($name)");
                };
                Node::Define { name: target.root, body: Definition(Arc::new(self.body(start)?)) }
            }
            "macro" => {
                let Some(name) = words.first() else {
                    return wrong(self, "#macro takes (name $parameter …)");
                };
                let mut parameters = Vec::new();
                for parameter in arguments {
                    match parameter {
                        Expression::Reference(reference) => parameters.push(reference.root),
                        _ => return wrong(self, "A parameter of a macro is a reference"),
                    }
                }
                let name: Arc<str> = name.as_str().into();
                let body = self.body(start)?;
                let parameters = parameters.into_boxed_slice();
                // The first definition of a name stays, as in Velocity.
                self.macros.entry(name).or_insert_with(|| Arc::new(Macro { parameters, body }));
                return Ok(None);
            }
            "literal" => {
                let from = self.cursor.at();
                self.body(start)?;
                let to = self.cursor.mark;
                let end = self.cursor.at();
                self.cursor.go_to(to);
                let raw = self.cursor.since(from);
                let mut text = String::with_capacity(raw.len());
                let mut kept = 0;
                let first = self.comments.partition_point(|comment| comment.start < from);
                let comments = self.comments.get(first..).unwrap_or_default();
                for comment in comments.iter().take_while(|comment| comment.end <= to) {
                    text.push_str(raw.get(kept..comment.start - from).unwrap_or_default());
                    kept = comment.end - from;
                }
                text.push_str(raw.get(kept..).unwrap_or_default());
                self.cursor.go_to(end);
                Node::Text(text.into())
            }
            "evaluate" => match first {
                Some(source) => Node::Evaluate(source),
                None => return wrong(self, "#evaluate takes one text"),
            },
            "break" => Node::Break(first),
            "stop" => Node::Stop,
            _ => {
                let body = match word.starts_with('@') {
                    true => Some(Definition(Arc::new(self.body(start)?))),
                    false => None,
                };
                let literal = self.cursor.since(start).into();
                let name = word.trim_start_matches('@').into();
                let arguments = first.into_iter().chain(arguments).collect();
                Node::Call(Box::new(Call { name, arguments, body, literal }))
            }
        }))
    }

    /// The arguments in the parentheses here, and the bare words among them.
    fn directive_arguments(&mut self, directive: &str) -> Result<(Vec<Expression>, Vec<String>), ParseError> {
        self.cursor.skip_space();
        self.cursor.eat("(");
        let (mut arguments, mut words) = (Vec::new(), Vec::new());
        loop {
            self.cursor.skip_space();
            if self.cursor.eat(")") {
                self.cursor.skip_line_end();
                return Ok((arguments, words));
            }
            if !arguments.is_empty() && self.cursor.eat(",") {
                self.cursor.skip_space();
            }
            let here = self.cursor.at();
            let word =
                self.cursor.take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'@'));
            if word.starts_with(|c: char| !c.is_ascii_digit()) && !matches!(word, "true" | "false") {
                let allowed = match directive {
                    "macro" => arguments.is_empty(),
                    "foreach" => arguments.len() == 1,
                    name => !self.is_known(name),
                };
                if !allowed {
                    return Err(self.cursor.error_at(here, format!("A word is no argument of #{directive}")));
                }
                words.push(word.to_owned());
                arguments.push(Expression::Word);
            } else {
                self.cursor.go_to(here);
                arguments.push(self.operand()?);
            }
        }
    }

    /// The block up to its `#end`.
    fn body(&mut self, start: usize) -> Result<Block, ParseError> {
        match self.block()? {
            (body, Ending::Block) => Ok(body),
            (_, Ending::Source) => Err(self.cursor.error_at(start, "A directive needs an #end")),
            _ => Err(self.cursor.error_at(self.cursor.mark, "#else belongs to an #if")),
        }
    }

    fn condition(&mut self, start: usize) -> Result<Node, ParseError> {
        let mut branches = Vec::new();
        loop {
            self.cursor.skip_space();
            if !self.cursor.eat("(") {
                return Err(self.cursor.error("A condition stands in parentheses"));
            }
            let condition = self.expression()?;
            self.close()?;
            let (body, end) = self.block()?;
            branches.push((condition, body));
            match end {
                Ending::ElseIf => {}
                Ending::Block => {
                    return Ok(Node::If { branches: branches.into_boxed_slice(), otherwise: None });
                }
                Ending::Else => {
                    let otherwise = Some(self.body(start)?);
                    return Ok(Node::If { branches: branches.into_boxed_slice(), otherwise });
                }
                Ending::Source => return Err(self.cursor.error_at(start, "A directive needs an #end")),
            }
        }
    }

    /// A `)` and the line end after it.
    fn close(&mut self) -> Result<(), ParseError> {
        if !self.cursor.eat(")") {
            return Err(self.cursor.error("A parenthesis is not closed"));
        }
        self.cursor.skip_line_end();
        Ok(())
    }

    pub(super) fn set(&mut self) -> Result<Node, ParseError> {
        self.cursor.take_while(|byte| matches!(byte, b' ' | b'\t'));
        self.cursor.take_directive();
        self.cursor.take_while(|byte| byte == b' ');
        self.cursor.eat("(");
        self.cursor.skip_space();
        if self.cursor.peek() != Some(b'$') {
            return Err(self.cursor.error("#set takes ($name = value)"));
        }
        let target = self.reference()?;
        self.cursor.skip_space();
        if !self.cursor.eat("=") {
            return Err(self.cursor.error("#set takes ($name = value)"));
        }
        let value = self.expression()?;
        self.close()?;
        Ok(Node::Set { target, value })
    }
}
