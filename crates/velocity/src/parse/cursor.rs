//! A place in the source, and the small steps forward from it.

use std::cell::Cell;

use crate::error::{ParseError, Position};

const START: (usize, Position) = (0, Position { line: 1, column: 1 });

pub(super) struct Cursor<'s> {
    source: &'s str,
    at: usize,
    /// Where the last `#else`, `#elseif` or `#end` began, for the message when it is one too many.
    pub(super) mark: usize,
    /// For text within a string literal: where the literal stands in the template.
    base: Option<Position>,
    /// The last place whose position was asked for. Lines are counted on from there: many references on one long line
    /// would otherwise take quadratic time.
    counted: Cell<(usize, Position)>,
}

impl<'s> Cursor<'s> {
    pub(super) fn new(source: &'s str) -> Self {
        Self { source, at: 0, mark: 0, base: None, counted: Cell::new(START) }
    }

    /// A cursor over the inside of a string literal.
    pub(super) fn within(source: &'s str, base: Position) -> Self {
        Self { source, at: 0, mark: 0, base: Some(base), counted: Cell::new(START) }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn go_to(&mut self, at: usize) {
        self.at = at;
    }

    pub(super) fn rest(&self) -> &'s str {
        self.source.get(self.at..).unwrap_or_default()
    }

    pub(super) fn since(&self, start: usize) -> &'s str {
        self.source.get(start..self.at).unwrap_or_default()
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.peek_at(0)
    }

    pub(super) fn peek_at(&self, offset: usize) -> Option<u8> {
        self.source.as_bytes().get(self.at + offset).copied()
    }

    /// Steps over `text` if it stands here.
    pub(super) fn eat(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        if found {
            self.at += text.len();
        }
        found
    }

    /// Steps over ASCII bytes for which `wanted` holds. It must not hold for bytes above 127.
    pub(super) fn take_while(&mut self, wanted: impl Fn(u8) -> bool) -> &'s str {
        let rest = self.rest();
        let end = rest.bytes().position(|byte| !wanted(byte)).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    pub(super) fn skip_space(&mut self) {
        self.take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    }

    /// Steps past the next `text` and gives what stands before it.
    pub(super) fn take_through(&mut self, text: &str) -> Option<&'s str> {
        let rest = self.rest();
        let end = rest.find(text)?;
        self.at += end + text.len();
        rest.get(..end)
    }

    /// Text up to the next character that may begin something else.
    pub(super) fn text_run(&mut self) -> &'s str {
        let rest = self.rest();
        let end = rest.bytes().position(|byte| matches!(byte, b'$' | b'#' | b'\\')).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    /// Blanks and the line end after a directive belong to it, if the line ends there.
    pub(super) fn skip_line_end(&mut self) {
        let start = self.at;
        self.take_while(|byte| matches!(byte, b' ' | b'\t'));
        if !(self.eat("\r\n") || self.eat("\n") || self.eat("\r")) {
            self.at = start;
        }
    }

    pub(super) fn is_set_directive(&self) -> bool {
        let rest = self.rest().trim_start_matches([' ', '\t']);
        rest.strip_prefix("#set")
            .or_else(|| rest.strip_prefix("#{set}"))
            .is_some_and(|rest| rest.trim_start_matches(' ').starts_with('('))
    }

    /// The word of the directive at the `#` here, without `#` and braces.
    pub(super) fn directive_word(&self) -> Option<&'s str> {
        let rest = self.rest().strip_prefix('#')?;
        let (rest, braced) = rest.strip_prefix('{').map_or((rest, false), |rest| (rest, true));
        let first = *rest.as_bytes().first()?;
        if !(first.is_ascii_alphabetic() || first == b'_' || (first == b'@' && !braced)) {
            return None;
        }
        let end = rest.bytes().position(|byte| !is_word(byte)).unwrap_or(rest.len());
        if braced && rest.as_bytes().get(end) != Some(&b'}') {
            return None;
        }
        rest.get(..end)
    }

    /// Steps over the directive's `#`, word and braces.
    pub(super) fn take_directive(&mut self) -> &'s str {
        let start = self.at;
        let length = self.directive_word().map_or(0, str::len);
        self.at += 1;
        let braced = self.eat("{");
        self.at += length + usize::from(braced);
        self.since(start)
    }

    pub(super) fn position(&self, at: usize) -> Position {
        if let Some(base) = self.base {
            return base;
        }
        let (mut from, mut position) = self.counted.get();
        if at < from {
            (from, position) = START;
        }
        for character in self.source.get(from..at).unwrap_or_default().chars() {
            if character == '\n' {
                position.line += 1;
                position.column = 1;
            } else {
                position.column += 1;
            }
        }
        self.counted.set((at, position));
        position
    }

    pub(super) fn error(&self, message: impl Into<String>) -> ParseError {
        self.error_at(self.at, message)
    }

    pub(super) fn error_at(&self, at: usize, message: impl Into<String>) -> ParseError {
        let Position { line, column } = self.position(at);
        let near = self.source.get(at..).unwrap_or_default().chars().take(24).collect();
        ParseError { line, column, near, message: message.into() }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'@')
}
