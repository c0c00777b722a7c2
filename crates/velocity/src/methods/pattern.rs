//! The methods of `String` that take a regular expression, and how Java spells one.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::{Host, exception};
use crate::error::RenderError;
use crate::java_regex::{Groups, JavaRegex, Matches, TooManySteps};
use crate::value::Value;

/// Compiled patterns kept on each thread: templates use the same few over and over.
const CACHED_MAX: usize = 32;
/// How much more than reading a text it is to search it with steps back.
const BOUNDED_FACTOR: u64 = 4;

thread_local! {
    /// Patterns that are searched for, and those that have to fit the whole.
    static CACHE: RefCell<[HashMap<String, Rc<JavaRegex>>; 2]> = RefCell::default();
}

fn compile(pattern: &str, whole: bool, method: &str) -> Result<Rc<JavaRegex>, RenderError> {
    let found = CACHE.with_borrow(|[parts, wholes]| if whole { wholes } else { parts }.get(pattern).cloned());
    if let Some(found) = found {
        return Ok(found);
    }
    let regex = if whole { JavaRegex::whole(pattern) } else { JavaRegex::new(pattern) };
    let regex = Rc::new(regex.map_err(|error| {
        exception("String", method, format!("the pattern {pattern:?} is not usable: {error}"))
    })?);
    CACHE.with_borrow_mut(|[parts, wholes]| {
        let cache = if whole { wholes } else { parts };
        if cache.len() >= CACHED_MAX {
            cache.clear();
        }
        cache.insert(pattern.to_owned(), Rc::clone(&regex));
    });
    Ok(regex)
}

/// The next place where a pattern is found.
fn next<'t>(matches: &mut Matches<'_, 't>, method: &str) -> Result<Option<Groups<'t>>, RenderError> {
    matches.next().transpose().map_err(|error| too_many_steps(error, method))
}

fn too_many_steps(error: TooManySteps, method: &str) -> RenderError {
    exception("String", method, error.to_string())
}

/// Adds what searches cost to what the rendering may take.
fn charge(host: &mut Host, matches: &Matches<'_, '_>) {
    let bytes = matches.work().bytes().saturating_mul(BOUNDED_FACTOR);
    host.work(usize::try_from(bytes).unwrap_or(usize::MAX));
}

pub(super) fn matches(host: &mut Host, text: &str, pattern: &str) -> Result<bool, RenderError> {
    let regex = compile(pattern, true, "matches")?;
    let mut found = regex.find_all(text, false);
    let is_match = next(&mut found, "matches")?.is_some();
    charge(host, &found);
    Ok(is_match)
}

pub(super) fn split(host: &mut Host, text: &str, pattern: &str, limit: i32) -> Result<Value, RenderError> {
    let regex = compile(pattern, false, "split")?;
    let most = usize::try_from(limit).ok().filter(|limit| *limit > 0);
    let mut parts: Vec<&str> = Vec::new();
    let mut from = 0;
    let mut matches = regex.find_all(text, false);
    while most.is_none_or(|most| parts.len() + 1 < most) {
        let Some(found) = next(&mut matches, "split")? else { break };
        let (start, end) = found.range();
        // A match of nothing at the beginning splits off no empty text.
        if end == 0 {
            continue;
        }
        parts.push(text.get(from..start).unwrap_or_default());
        from = end;
    }
    charge(host, &matches);
    parts.push(text.get(from..).unwrap_or_default());
    if limit == 0 && parts.len() > 1 {
        while parts.last().is_some_and(|part| part.is_empty()) {
            parts.pop();
        }
    }
    Ok(Value::list(parts.into_iter().map(Value::from).collect()))
}

pub(super) fn replace(
    host: &mut Host,
    text: &str,
    pattern: &str,
    replacement: &str,
    method: &str,
) -> Result<Value, RenderError> {
    let regex = compile(pattern, false, method)?;
    let pieces = pieces(replacement).map_err(|message| exception("String", method, message))?;
    let mut output = host.output();
    let mut from = 0;
    let has_groups = pieces.iter().any(|piece| !matches!(piece, Piece::Text(_)));
    let mut matches = regex.find_all(text, has_groups);
    while let Some(found) = next(&mut matches, method)? {
        let (start, end) = found.range();
        output.push(text.get(from..start).unwrap_or_default()).map_err(|_| host.too_long())?;
        for piece in &pieces {
            let part = piece.text(&found).map_err(|message| exception("String", method, message))?;
            output.push(part).map_err(|_| host.too_long())?;
        }
        from = end;
        if method == "replaceFirst" {
            break;
        }
    }
    charge(host, &matches);
    output.push(text.get(from..).unwrap_or_default()).map_err(|_| host.too_long())?;
    Ok(Value::from(output.into_string()))
}

/// A part of a replacement.
enum Piece {
    Text(String),
    Group(usize),
    Named(String),
}

impl Piece {
    fn text<'t>(&'t self, found: &Groups<'t>) -> Result<&'t str, String> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Group(number) => found.group(*number),
            Self::Named(name) => Ok(found.named(name)),
        }
    }
}

fn pieces(replacement: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut characters = replacement.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some(escaped) => text.push(escaped),
                None => return Err("a character to be escaped is missing".to_owned()),
            },
            '$' => {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
                match characters.peek() {
                    Some('{') => {
                        characters.next();
                        let name: String = characters.by_ref().take_while(|c| *c != '}').collect();
                        pieces.push(Piece::Named(name));
                    }
                    Some(digit) => match digit.to_digit(10) {
                        Some(digit) => {
                            characters.next();
                            pieces.push(Piece::Group(digit as usize));
                        }
                        None => return Err("an illegal group reference".to_owned()),
                    },
                    None => return Err("an illegal group reference: group index is missing".to_owned()),
                }
            }
            other => text.push(other),
        }
    }
    pieces.push(Piece::Text(text));
    Ok(pieces)
}

/// A pattern of Java's in the spelling of the crate `regex`.
#[must_use]
pub(crate) fn java_pattern(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut characters = pattern.chars().peekable();
    let mut classes = 0_usize;
    let dot_is_any = has_flag(pattern, 's');
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('Q') => {
                    let mut quoted = String::new();
                    while let Some(next) = characters.next() {
                        if next == '\\' && characters.peek() == Some(&'E') {
                            characters.next();
                            break;
                        }
                        quoted.push(next);
                    }
                    out.push_str(&regex::escape(&quoted));
                }
                Some('p' | 'P') if characters.peek() == Some(&'{') => {
                    characters.next();
                    let name: String = characters.by_ref().take_while(|c| *c != '}').collect();
                    out.push_str(&property(&name));
                }
                Some(escaped) => out.push_str(&escape(escaped, classes > 0)),
                None => out.push('\\'),
            },
            '[' => {
                classes += 1;
                out.push('[');
                if characters.peek() == Some(&'^') {
                    characters.next();
                    out.push('^');
                }
            }
            ']' if classes > 0 => {
                classes -= 1;
                out.push(']');
            }
            '.' if classes == 0 && !dot_is_any => out.push_str(r"[^\n\r\x{85}\x{2028}\x{2029}]"),
            // In a class these are only themselves to Java, but operators to the engine when doubled.
            '~' | '-' if classes > 0 && characters.peek() == Some(&character) => {
                out.push('\\');
                out.push(character);
            }
            other => out.push(other),
        }
    }
    out
}

/// Whether a pattern sets this flag anywhere: `(?s)`, `(?is-m:…)`.
fn has_flag(pattern: &str, flag: char) -> bool {
    pattern.split("(?").skip(1).any(|group| {
        let set = group.chars().take_while(char::is_ascii_alphabetic);
        let ends = group.trim_start_matches(|c: char| c.is_ascii_alphabetic()).starts_with([')', ':', '-']);
        ends && set.into_iter().any(|each| each == flag)
    })
}

fn escape(escaped: char, in_class: bool) -> String {
    let class = |set: &str, negated: bool| match (in_class, negated) {
        (_, true) => format!("[^{set}]"),
        (true, false) => set.to_owned(),
        (false, false) => format!("[{set}]"),
    };
    match escaped {
        'd' => class("0-9", false),
        'D' => class("0-9", true),
        'w' => class("a-zA-Z0-9_", false),
        'W' => class("a-zA-Z0-9_", true),
        's' => class(r" \t\n\x0B\f\r", false),
        'S' => class(r" \t\n\x0B\f\r", true),
        'h' => class(r" \t\x{A0}\x{1680}\x{180E}\x{2000}-\x{200A}\x{202F}\x{205F}\x{3000}", false),
        'b' if !in_class => r"(?-u:\b)".to_owned(),
        'B' if !in_class => r"(?-u:\B)".to_owned(),
        'R' => r"(?:\r\n|[\n\x0B\f\r\x{85}\x{2028}\x{2029}])".to_owned(),
        'Z' => r"\z".to_owned(),
        'e' => r"\x1B".to_owned(),
        '<' | '>' => escaped.to_string(),
        other => format!("\\{other}"),
    }
}

fn property(name: &str) -> String {
    let posix = match name {
        "Lower" => "a-z",
        "Upper" => "A-Z",
        "ASCII" => r"\x00-\x7F",
        "Alpha" => "a-zA-Z",
        "Digit" => "0-9",
        "Alnum" => "a-zA-Z0-9",
        "Punct" => r"!-/:-@\[-`{-~",
        "Graph" => "!-~",
        "Print" => " -~",
        "Blank" => r" \t",
        "Cntrl" => r"\x00-\x1F\x7F",
        "XDigit" => "0-9a-fA-F",
        "Space" => r" \t\n\x0B\f\r",
        other => return format!(r"\p{{{}}}", other.strip_prefix("Is").unwrap_or(other)),
    };
    format!("[{posix}]")
}
