//! From a template's text to its tree.
//!
//! Velocity's own parser is a tokenizer whose states depend on what came before; much of what templates rely on (which
//! white space vanishes, what is text and what is an error) follows from it, not from any grammar. The rules here are
//! those of Velocity 1.7, found by running it; `tests/oracle.rs` compares the two.
//!
//! Trap: white space before `#set` vanishes only if no text precedes it on the way back to the last directive or
//! reference, because text swallows white space first.

mod cursor;
mod directive;
mod expression;
mod reference;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use crate::ast::{Block, Macro, Node};
use crate::error::ParseError;
use cursor::Cursor;

/// How deep blocks, lists and parentheses may nest.
const DEPTH_MAX: usize = 64;

/// The largest template, in bytes: a quota of API Gateway's.
pub const TEMPLATE_BYTES_MAX: usize = 300 * 1024;

pub(crate) type Macros = HashMap<Arc<str>, Arc<Macro>>;

pub(crate) struct Parsed {
    pub(crate) body: Block,
    pub(crate) macros: Macros,
}

pub(crate) fn parse(source: &str) -> Result<Parsed, ParseError> {
    let mut parser =
        Parser { cursor: Cursor::new(source), depth: 0, macros: Macros::new(), comments: Vec::new() };
    if source.len() > TEMPLATE_BYTES_MAX {
        return Err(parser.cursor.error(format!("The template is longer than {TEMPLATE_BYTES_MAX} bytes")));
    }
    let (body, end) = parser.block()?;
    match end {
        Ending::Source => Ok(Parsed { body, macros: parser.macros }),
        _ => Err(parser
            .cursor
            .error_at(parser.cursor.mark, "A directive ends or continues what was not begun")),
    }
}

/// What a block ended at. It has been consumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Source,
    Block,
    Else,
    ElseIf,
}

struct Parser<'s> {
    cursor: Cursor<'s>,
    depth: usize,
    macros: Macros,
    /// Where comments stand, for `#literal`, which prints what is in it without them.
    comments: Vec<Range<usize>>,
}

impl<'s> Parser<'s> {
    /// Runs `inner` one level deeper, unless that is too deep.
    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, ParseError>) -> Result<T, ParseError> {
        if self.depth >= DEPTH_MAX {
            return Err(self.cursor.error(format!("More than {DEPTH_MAX} levels are nested")));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    /// Statements up to the end of the source or of the block.
    fn block(&mut self) -> Result<(Block, Ending), ParseError> {
        let mut nodes = Nodes::default();
        loop {
            if self.cursor.is_set_directive() {
                if nodes.lone_sign {
                    nodes.text.pop();
                }
                nodes.push(self.set()?);
                continue;
            }
            match self.cursor.peek() {
                None => return Ok((nodes.finish(), Ending::Source)),
                Some(b'$') => self.dollar(&mut nodes, 0)?,
                Some(b'\\') => self.backslashes(&mut nodes)?,
                Some(b'#') => {
                    if let Some(end) = self.hash(&mut nodes)? {
                        return Ok((nodes.finish(), end));
                    }
                }
                Some(_) => nodes.text(self.cursor.text_run()),
            }
        }
    }

    /// A run of backslashes, which escape what they touch if that is a reference or directive.
    fn backslashes(&mut self, nodes: &mut Nodes) -> Result<(), ParseError> {
        let count = self.cursor.take_while(|byte| byte == b'\\').len();
        if self.cursor.peek() == Some(b'$') {
            return self.dollar(nodes, count);
        }
        let slashes = "\\".repeat(count);
        if self.cursor.peek() != Some(b'#') {
            nodes.text(&slashes);
            return Ok(());
        }
        let word = self.cursor.directive_word();
        let known = word.is_some_and(|word| self.is_known(word));
        if count % 2 == 1 {
            nodes.text(if known { slashes.get(..count / 2).unwrap_or_default() } else { &slashes });
            if word.is_some() {
                nodes.text(self.cursor.take_directive());
            }
        } else {
            // `#set` counts as unknown here: Velocity looks it up together with its parenthesis.
            let halved = known && word != Some("set");
            nodes.text(if halved { slashes.get(..count / 2).unwrap_or_default() } else { &slashes });
        }
        Ok(())
    }

    fn is_known(&self, word: &str) -> bool {
        const DIRECTIVES: [&str; 14] = [
            "if", "end", "set", "else", "elseif", "stop", "foreach", "include", "parse", "macro", "literal",
            "evaluate", "break", "define",
        ];
        DIRECTIVES.contains(&word) || self.macros.contains_key(word)
    }
}

/// The statements of a block in the making; text is gathered until something else follows.
#[derive(Default)]
struct Nodes {
    nodes: Vec<Node>,
    text: String,
    /// The text ends in a `$` or `#` that begins nothing. Velocity loses it if `#set` comes next.
    lone_sign: bool,
}

impl Nodes {
    fn text(&mut self, text: &str) {
        self.text.push_str(text);
        self.lone_sign = false;
    }

    fn sign(&mut self, sign: char) {
        self.text.push(sign);
        self.lone_sign = true;
    }

    fn push(&mut self, node: Node) {
        self.flush();
        self.lone_sign = false;
        self.nodes.push(node);
    }

    fn flush(&mut self) {
        if !self.text.is_empty() {
            self.nodes.push(Node::Text(std::mem::take(&mut self.text).into_boxed_str()));
        }
    }

    fn finish(mut self) -> Block {
        self.flush();
        self.nodes.into_boxed_slice()
    }
}
