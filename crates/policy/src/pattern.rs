//! Text with wildcards (`*`, `?`) and policy variables (`${aws:username}`), compiled.

use crate::{ContextKeys, Values};

/// How the text is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    /// Whether `*` and `?` are wildcards.
    pub(crate) wildcards: bool,
    /// Whether `${…}` is a variable: in policies of version 2012-10-17 alone.
    pub(crate) variables: bool,
    /// Whether letters are compared without case (ASCII).
    pub(crate) any_case: bool,
}

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(crate) enum Pattern {
    /// Any text.
    Any,
    /// This text.
    Exact(Box<str>),
    /// Any text that begins so.
    Prefix(Box<str>),
    /// Wildcards elsewhere, and the text before the first of them, which decides most requests.
    Glob { begin: Box<str>, units: Box<[Unit]> },
    /// Variables in it: known when the request is.
    Template { parts: Box<[Part]>, any_case: bool },
}

/// What one step of matching looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// This byte.
    Byte(u8),
    /// One character.
    One,
    /// Any number of characters.
    Many,
}

/// A part of a pattern with variables.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    Text(Box<[Unit]>),
    Variable { key: Box<str>, default: Option<Box<str>> },
}

impl Pattern {
    /// Compiles a pattern; nothing if a variable in it has no end or no name.
    pub(crate) fn parse(text: &str, reading: Reading) -> Option<Self> {
        let (mut parts, mut units) = (Vec::new(), Vec::new());
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if reading.variables && rest.starts_with("${") {
                let (inside, after) = rest.strip_prefix("${")?.split_once('}')?;
                rest = after;
                match inside {
                    "*" | "?" | "$" => units.extend(inside.bytes().map(Unit::Byte)),
                    inside => {
                        if !units.is_empty() {
                            parts.push(Part::Text(std::mem::take(&mut units).into()));
                        }
                        parts.push(variable(inside)?);
                    }
                }
                continue;
            }
            let (character, after) = rest.split_at(first.len_utf8());
            rest = after;
            match first {
                '*' if reading.wildcards => {
                    if units.last() != Some(&Unit::Many) {
                        units.push(Unit::Many);
                    }
                }
                '?' if reading.wildcards => units.push(Unit::One),
                _ => {
                    units.extend(character.bytes().map(|byte| {
                        Unit::Byte(if reading.any_case { byte.to_ascii_lowercase() } else { byte })
                    }))
                }
            }
        }
        if parts.is_empty() {
            return Some(Self::simplest(units));
        }
        if !units.is_empty() {
            parts.push(Part::Text(units.into()));
        }
        Some(Self::Template { parts: parts.into(), any_case: reading.any_case })
    }

    fn simplest(units: Vec<Unit>) -> Self {
        let text = |units: &[Unit]| -> Option<Box<str>> {
            let bytes = units.iter().map(|unit| match unit {
                Unit::Byte(byte) => Some(*byte),
                Unit::One | Unit::Many => None,
            });
            String::from_utf8(bytes.collect::<Option<Vec<u8>>>()?).ok().map(String::into_boxed_str)
        };
        if let [Unit::Many] = units.as_slice() {
            return Self::Any;
        }
        if let Some(text) = text(&units) {
            return Self::Exact(text);
        }
        if let Some((Unit::Many, before)) = units.split_last()
            && let Some(text) = text(before)
        {
            return Self::Prefix(text);
        }
        let literal = units.iter().take_while(|unit| matches!(unit, Unit::Byte(_))).count();
        let (begin, rest) = units.split_at(literal);
        match text(begin) {
            Some(begin) => Self::Glob { begin, units: rest.into() },
            None => Self::Glob { begin: Box::default(), units: units.into() },
        }
    }

    /// Whether a text matches; nothing if a variable has no value in this request, which is to match nothing. Where
    /// case does not matter, the text has to come in lower case.
    pub(crate) fn matches(&self, text: &str, keys: &dyn ContextKeys) -> Option<bool> {
        Some(match self {
            Self::Any => true,
            Self::Exact(exact) => **exact == *text,
            Self::Prefix(prefix) => text.starts_with(&**prefix),
            Self::Glob { begin, units } => {
                text.strip_prefix(&**begin).is_some_and(|rest| glob(units, rest.as_bytes()))
            }
            Self::Template { parts, any_case } => glob(&resolved(parts, *any_case, keys)?, text.as_bytes()),
        })
    }
}

fn variable(inside: &str) -> Option<Part> {
    let (name, default) = match inside.split_once(',') {
        Some((name, default)) => {
            (name, Some(default.trim().strip_prefix('\'')?.strip_suffix('\'')?.to_owned().into()))
        }
        None => (inside, None),
    };
    let key = name.trim().to_ascii_lowercase();
    (!key.is_empty()).then(|| Part::Variable { key: key.into(), default })
}

/// A variable that has several values has none: AWS does not choose between them.
fn resolved(parts: &[Part], any_case: bool, keys: &dyn ContextKeys) -> Option<Vec<Unit>> {
    let mut units = Vec::with_capacity(64);
    for part in parts {
        match part {
            Part::Text(text) => units.extend_from_slice(text),
            Part::Variable { key, default } => {
                let values = keys.values(key);
                let text = match &values {
                    Values::One(value) => &**value,
                    Values::Many(values) if values.len() == 1 => values.first().map(|value| &**value)?,
                    Values::Absent | Values::Many(_) => default.as_deref()?,
                };
                units.extend(
                    text.bytes()
                        .map(|byte| Unit::Byte(if any_case { byte.to_ascii_lowercase() } else { byte })),
                );
            }
        }
    }
    Some(units)
}

/// Matches in at most the product of both lengths: only the last `Many` is ever tried again, because what an earlier
/// one could take, the last can take as well.
fn glob(units: &[Unit], text: &[u8]) -> bool {
    if let (Some(Unit::Byte(last)), found) = (units.last(), text.last())
        && found != Some(last)
    {
        return false;
    }
    let (mut unit, mut at) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let step = match (units.get(unit), text.get(at)) {
            (Some(Unit::Many), _) => {
                retry = Some((unit, at));
                unit += 1;
                continue;
            }
            (Some(Unit::Byte(expected)), Some(byte)) if expected == byte => Some(1),
            (Some(Unit::One), Some(byte)) => Some(match byte {
                0xC0..0xE0 => 2,
                0xE0..0xF0 => 3,
                0xF0.. => 4,
                _ => 1,
            }),
            (None, None) => return true,
            _ => None,
        };
        match (step, &mut retry) {
            (Some(step), _) => (unit, at) = (unit + 1, at + step),
            (None, Some((many, from))) if *from < text.len() => {
                *from += 1;
                if let Some(Unit::Byte(next)) = units.get(*many + 1) {
                    // Straight to where it could go on. A pattern's byte after a wildcard begins a character.
                    let rest = text.get(*from..).unwrap_or_default();
                    let Some(ahead) = rest.iter().position(|byte| byte == next) else { return false };
                    *from += ahead;
                }
                // Never into the middle of a character, of which `One` could take a part.
                while text.get(*from).is_some_and(|byte| matches!(byte, 0x80..0xC0)) {
                    *from += 1;
                }
                (unit, at) = (*many + 1, *from);
            }
            (None, _) => return false,
        }
    }
}

/// An ARN's pattern for the ARN operators: its six parts are matched each for itself.
#[derive(Clone, Debug)]
pub(crate) struct ArnPattern(Vec<Pattern>);

impl ArnPattern {
    pub(crate) fn parse(text: &str, reading: Reading) -> Option<Self> {
        split_outside_variables(text)
            .map(|part| Pattern::parse(part, reading))
            .collect::<Option<_>>()
            .map(Self)
    }

    pub(crate) fn matches(&self, text: &str, keys: &dyn ContextKeys) -> Option<bool> {
        if let [whole] = self.0.as_slice() {
            return whole.matches(text, keys);
        }
        let mut parts = text.splitn(6, ':');
        for pattern in &self.0 {
            let Some(part) = parts.next() else { return Some(false) };
            if !pattern.matches(part, keys)? {
                return Some(false);
            }
        }
        Some(parts.next().is_none())
    }
}

/// Splits at the first five colons that belong to no variable.
fn split_outside_variables(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    let mut made = 0;
    std::iter::from_fn(move || {
        let from = rest.take()?;
        made += 1;
        let mut depth = 0_usize;
        let end = from.char_indices().find(|&(at, c)| {
            match c {
                '{' if from.get(..at).is_some_and(|before| before.ends_with('$')) => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            c == ':' && depth == 0
        });
        match end {
            Some((at, _)) if made < 6 => {
                let (part, after) = from.split_at(at);
                rest = after.get(1..);
                Some(part)
            }
            _ => Some(from),
        }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn keys() -> BTreeMap<String, Vec<String>> {
        let several = vec!["a".to_owned(), "b".to_owned()];
        BTreeMap::from([
            ("aws:username".to_owned(), vec!["ann*".to_owned()]),
            ("aws:many".to_owned(), several),
        ])
    }

    fn check(pattern: &str, text: &str, expected: Option<bool>) {
        let reading = Reading { wildcards: true, variables: true, any_case: false };
        let pattern_ = Pattern::parse(pattern, reading).unwrap();
        assert_eq!(pattern_.matches(text, &keys()), expected, "{pattern} {text}");
    }

    #[test]
    fn patterns() {
        check("*", "", Some(true));
        check("abc", "abc", Some(true));
        check("abc", "ABC", Some(false));
        check("ab*", "ab", Some(true));
        check("a?c", "aéc", Some(true));
        check("a?c", "ac", Some(false));
        check("*a*b*c", "xxabxbxc", Some(true));
        check("*a*b*c", "xxabxbx", Some(false));
        check("a*", "b", Some(false));
        check("", "", Some(true));
        check("", "a", Some(false));
        check("u/${aws:UserName}", "u/ann*", Some(true));
        check("u/${aws:username}", "u/anna", Some(false));
        check("u/${aws:nobody}", "u/", None);
        check("u/${aws:nobody, 'all'}", "u/all", Some(true));
        check("u/${aws:many}", "u/a", None);
        check("${*}${?}${$}*", "*?$more", Some(true));
        check("${*}", "x", Some(false));
    }

    #[test]
    fn arns_match_part_by_part() {
        let reading = Reading { wildcards: true, variables: true, any_case: false };
        let check = |pattern: &str, text: &str, expected: Option<bool>| {
            assert_eq!(
                ArnPattern::parse(pattern, reading).unwrap().matches(text, &keys()),
                expected,
                "{pattern}"
            );
        };
        check("arn:aws:iam::1:role/*", "arn:aws:iam::1:role/a:b", Some(true));
        check("arn:*:role/x", "arn:aws:iam::1:role/x", Some(false));
        check("arn:aws:*::*:role/x", "arn:aws:iam::1:role/x", Some(true));
        check("arn:aws:iam::1:user/${aws:username}", "arn:aws:iam::1:user/ann*", Some(true));
        check("*", "arn:aws:iam::1:user/x", Some(true));
    }

    #[test]
    fn variables_without_end_are_refused() {
        let reading = Reading { wildcards: true, variables: true, any_case: false };
        for text in ["${", "a${b", "${}", "${a, b}"] {
            assert!(Pattern::parse(text, reading).is_none(), "{text}");
        }
        assert!(Pattern::parse("${", Reading { variables: false, ..reading }).is_some());
    }

    proptest::proptest! {
        /// Held against a regular expression's reading, written as plain recursion.
        #[test]
        fn globs_match_as_recursion_does(pattern in "[ab*?]{0,8}", text in "[abé€]{0,8}") {
            fn naive(pattern: &[char], text: &[char]) -> bool {
                match (pattern, text) {
                    ([], []) => true,
                    (['*', rest @ ..], text) => {
                        naive(rest, text) || (!text.is_empty() && naive(pattern, &text[1..]))
                    }
                    (['?', rest @ ..], [_, after @ ..]) => naive(rest, after),
                    ([c, rest @ ..], [d, after @ ..]) if c == d => naive(rest, after),
                    _ => false,
                }
            }
            let (pattern_, text_): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
            check(&pattern, &text, Some(naive(&pattern_, &text_)));
        }
    }
}
