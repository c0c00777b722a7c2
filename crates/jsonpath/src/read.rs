//! Applying a path to a document.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::ast::{Path, Token};
use crate::error::ReadError;
use crate::function;

/// The most places a path may look at. Scans within scans multiply.
const PLACES_MAX: u32 = 1_000_000;

/// How deep a document is followed. JSON parsers stop before that.
const DEPTH_MAX: usize = 512;

pub(crate) fn read<'d>(path: &Path, document: &'d Value) -> Result<Option<Cow<'d, Value>>, ReadError> {
    Reader::new(document).read(path, document)
}

/// What is found at a place, or made of what is there.
pub(crate) type Found<'d> = Cow<'d, Value>;

pub(crate) struct Reader<'d> {
    pub(crate) root: &'d Value,
    places: u32,
}

impl<'d> Reader<'d> {
    fn new(root: &'d Value) -> Self {
        Self { root, places: 0 }
    }

    /// Applies a path from a place on.
    pub(crate) fn read(&mut self, path: &Path, from: &'d Value) -> Result<Option<Found<'d>>, ReadError> {
        let definite = path.definite_tokens();
        let (one, many) = path.tokens.split_at_checked(definite).unwrap_or((&path.tokens, &[]));
        let value = match (self.place(one, from)?, many.first()) {
            // Where an object lacks a name, what would be looked for beyond it is an empty list.
            (None, Some(_)) if self.lacks(one, from)? => Some(Cow::Owned(Value::Array(Vec::new()))),
            (None, _) => None,
            (value, None) => value,
            (Some(Cow::Borrowed(at)), Some(token)) if applies(token, at) => {
                let mut found = Vec::new();
                self.follow(many, at, &mut found, 0)?;
                Some(Cow::Owned(Value::Array(found.into_iter().map(Cow::into_owned).collect())))
            }
            _ => None,
        };
        match &path.function {
            Some(call) => {
                function::apply(self, call, value.as_deref(), from).map(|value| value.map(Cow::Owned))
            }
            None => Ok(value),
        }
    }

    /// The place that tokens of which each names one place lead to.
    fn place(&mut self, tokens: &[Token], from: &'d Value) -> Result<Option<Found<'d>>, ReadError> {
        let mut found = Vec::new();
        self.follow(tokens, from, &mut found, 0)?;
        Ok(found.pop())
    }

    /// Whether the first token that leads nowhere is a name that its object does not have.
    fn lacks(&mut self, tokens: &[Token], from: &'d Value) -> Result<bool, ReadError> {
        let mut at = from;
        for token in tokens {
            match self.place(std::slice::from_ref(token), at)? {
                Some(Cow::Borrowed(next)) => at = next,
                _ => return Ok(matches!(token, Token::Names(_)) && at.is_object()),
            }
        }
        Ok(false)
    }

    fn follow(
        &mut self,
        tokens: &[Token],
        at: &'d Value,
        found: &mut Vec<Found<'d>>,
        depth: usize,
    ) -> Result<(), ReadError> {
        self.look()?;
        if depth > DEPTH_MAX {
            return Err(ReadError::TooMuch(PLACES_MAX));
        }
        let Some((token, rest)) = tokens.split_first() else {
            found.push(Cow::Borrowed(at));
            return Ok(());
        };
        match (token, at) {
            (Token::Names(names), Value::Object(entries)) => match names.as_slice() {
                [name] => {
                    if let Some(value) = entries.get(name) {
                        self.follow(rest, value, found, depth + 1)?;
                    }
                }
                names if rest.is_empty() => found.push(Cow::Owned(pick(entries, names))),
                names => {
                    for value in names.iter().filter_map(|name| entries.get(name)) {
                        self.follow(rest, value, found, depth + 1)?;
                    }
                }
            },
            (Token::All, Value::Object(entries)) => {
                for value in entries.values() {
                    self.follow(rest, value, found, depth + 1)?;
                }
            }
            (Token::All, Value::Array(items)) => {
                for value in items {
                    self.follow(rest, value, found, depth + 1)?;
                }
            }
            (Token::Indexes(indexes), Value::Array(items)) => {
                for index in indexes {
                    if let Some(value) = place(*index, items.len()).and_then(|place| items.get(place)) {
                        self.follow(rest, value, found, depth + 1)?;
                    }
                }
            }
            (Token::Slice(from, to), Value::Array(items)) => {
                for index in slice(*from, *to, items.len()) {
                    if let Some(value) = place(index, items.len()).and_then(|place| items.get(place)) {
                        self.follow(rest, value, found, depth + 1)?;
                    }
                }
            }
            (Token::Filter(filter), Value::Array(items)) => {
                for value in items {
                    if self.accepts(filter, value)? {
                        self.follow(rest, value, found, depth + 1)?;
                    }
                }
            }
            (Token::Filter(filter), Value::Object(_)) if self.accepts(filter, at)? => {
                self.follow(rest, at, found, depth + 1)?;
            }
            (Token::Scan, _) => self.scan(rest, at, found, depth)?,
            _ => {}
        }
        Ok(())
    }

    /// Applies the tokens here and at every place below, this one first.
    fn scan(
        &mut self,
        tokens: &[Token],
        at: &'d Value,
        found: &mut Vec<Found<'d>>,
        depth: usize,
    ) -> Result<(), ReadError> {
        self.look()?;
        if depth > DEPTH_MAX {
            return Err(ReadError::TooMuch(PLACES_MAX));
        }
        match at {
            Value::Object(entries) => {
                let wanted = match tokens.first() {
                    // In a scan all of several names must exist.
                    Some(Token::Names(names)) => names.iter().all(|name| entries.contains_key(name)),
                    _ => true,
                };
                if wanted {
                    self.follow(tokens, at, found, depth + 1)?;
                }
                for value in entries.values() {
                    self.scan(tokens, value, found, depth + 1)?;
                }
            }
            Value::Array(items) => {
                // A filter sees the items when the scan comes to them.
                if !matches!(tokens.first(), Some(Token::Filter(_))) {
                    self.follow(tokens, at, found, depth + 1)?;
                }
                for value in items {
                    self.scan(tokens, value, found, depth + 1)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn look(&mut self) -> Result<(), ReadError> {
        self.look_at(1)
    }

    /// Counts so many places against what a path may look at.
    pub(crate) fn look_at(&mut self, places: u64) -> Result<(), ReadError> {
        self.places = self.places.saturating_add(u32::try_from(places).unwrap_or(u32::MAX));
        if self.places > PLACES_MAX {
            return Err(ReadError::TooMuch(PLACES_MAX));
        }
        Ok(())
    }
}

/// Whether a token that may find several places fits the one place it is applied to. If it does not there is no
/// result; further on in the path it only finds nothing.
fn applies(token: &Token, at: &Value) -> bool {
    match token {
        Token::Indexes(_) | Token::Slice(..) => at.is_array(),
        Token::Filter(_) => at.is_array() || at.is_object(),
        Token::Names(_) => at.is_object(),
        Token::All | Token::Scan => true,
    }
}

/// The place of an index; below zero it counts from the end.
fn place(index: i64, length: usize) -> Option<usize> {
    match usize::try_from(index) {
        Ok(place) => Some(place),
        Err(_) => length.checked_sub(usize::try_from(index.unsigned_abs()).ok()?),
    }
}

/// The indexes of a slice. One with both ends takes them as they are: `[1:-1]` is empty, since 1 is not below -1.
fn slice(from: Option<i64>, to: Option<i64>, length: usize) -> std::ops::Range<i64> {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let from_end = |index: i64| if index < 0 { length + index } else { index };
    match (from, to) {
        (Some(from), Some(to)) => from.max(-length)..to.min(length),
        (Some(from), None) => from_end(from).max(0)..length,
        (None, to) => 0..to.map_or(length, from_end).min(length),
    }
}

fn pick(entries: &Map<String, Value>, names: &[String]) -> Value {
    let entry = |name: &String| entries.get(name).map(|value| (name.clone(), value.clone()));
    Value::Object(names.iter().filter_map(entry).collect())
}
