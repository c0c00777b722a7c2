//! Regular expressions of filters (`=~`).
//!
//! They run in linear time wherever that is possible. Look-around, back-references and possessive quantifiers need an
//! engine that steps back; how often it may counts against the places that a path may look at, the more the longer the
//! text is.

use std::sync::OnceLock;

use regex::{Regex, RegexBuilder};

use crate::error::ReadError;
use crate::read::Reader;

/// How many steps a match may take: what is enough for nearly all is tried first.
const LIMITS: [usize; 2] = [200, 20_000];
/// A step is a tenth of a place, and so is each 25 bytes that it may look at.
const STEPS_PER_PLACE: u64 = 10;
const STEP_BYTES: u64 = 25;

#[derive(Clone, Debug)]
pub(crate) enum Pattern {
    Linear(Regex),
    Bounded(Box<Bounded>),
}

/// A pattern whose steps are bounded.
#[derive(Clone, Debug)]
pub(crate) struct Bounded {
    whole: String,
    flags: String,
    /// By their [`LIMITS`], each made when a text needs it; nothing if it cannot be made.
    engines: [OnceLock<Option<fancy_regex::Regex>>; LIMITS.len()],
}

impl Bounded {
    fn engine(&self, limit: usize) -> Option<fancy_regex::Regex> {
        let has = |flag: char| self.flags.contains(flag);
        let mut builder = fancy_regex::RegexBuilder::new(&self.whole);
        builder.delegate_size_limit(1 << 20).backtrack_limit(limit).case_insensitive(has('i'));
        builder.multi_line(has('m')).dot_matches_new_line(has('s')).ignore_whitespace(has('x'));
        builder.build().ok()
    }
}

impl Pattern {
    /// A pattern that has to fit the whole of a text, with Java's flags. Nothing if it is not usable.
    pub(crate) fn new(pattern: &str, flags: &str) -> Option<Self> {
        let whole = format!("^(?:{pattern})$");
        let has = |flag: char| flags.contains(flag);
        if !needs_steps_back(pattern) {
            let mut builder = RegexBuilder::new(&whole);
            builder.size_limit(1 << 20).nest_limit(64).case_insensitive(has('i')).multi_line(has('m'));
            builder.dot_matches_new_line(has('s')).ignore_whitespace(has('x'));
            return builder.build().ok().map(Self::Linear);
        }
        let bounded = Bounded { whole, flags: flags.to_owned(), engines: Default::default() };
        let [limit, _] = LIMITS;
        let first = bounded.engine(limit)?;
        let [slot, _] = &bounded.engines;
        // It was not there yet.
        let _ = slot.set(Some(first));
        Some(Self::Bounded(Box::new(bounded)))
    }
}

impl Reader<'_> {
    /// Whether a pattern fits a text.
    pub(crate) fn fits(&mut self, pattern: &Pattern, text: &str) -> Result<bool, ReadError> {
        let bounded = match pattern {
            Pattern::Linear(regex) => return Ok(regex.is_match(text)),
            Pattern::Bounded(bounded) => bounded,
        };
        for (limit, slot) in LIMITS.iter().zip(&bounded.engines) {
            let step = 1 + text.len() as u64 / STEP_BYTES;
            self.look_at(step.saturating_mul(*limit as u64) / STEPS_PER_PLACE)?;
            let engine = slot.get_or_init(|| bounded.engine(*limit));
            if let Some(Ok(fits)) = engine.as_ref().map(|engine| engine.is_match(text)) {
                return Ok(fits);
            }
        }
        Err(ReadError::TooManySteps)
    }
}

/// Whether a pattern has what a linear engine has not.
fn needs_steps_back(pattern: &str) -> bool {
    const SIGNS: [&str; 10] = ["(?=", "(?!", "(?<=", "(?<!", "(?>", "\\k<", "*+", "++", "?+", "}+"];
    let refers_back = pattern.as_bytes().windows(2).any(|pair| matches!(pair, [b'\\', b'1'..=b'9']));
    refers_back || SIGNS.iter().any(|sign| pattern.contains(sign))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{Path, ReadError};

    #[test]
    fn patterns_look_around() {
        let check = |filter: &str, expected: serde_json::Value| {
            let document = json!([{"a": "foobar"}, {"a": "foobaz"}, {"a": "xx"}]);
            let path = Path::parse(&format!("$[?(@.a =~ {filter})].a")).unwrap();
            assert_eq!(path.read(&document).unwrap().unwrap().into_owned(), expected, "{filter}");
        };
        check("/foo(?!bar).*/", json!(["foobaz"]));
        check("/FOO(?=bar).*/i", json!(["foobar"]));
        check(r"/(.)\1/", json!(["xx"]));
        check("/f.++/", json!(["foobar", "foobaz"]));
        check("/f.++r/", json!([]));
    }

    #[test]
    fn steps_are_bounded() {
        let check = |text: String, count: usize, expected: ReadError| {
            let document = json!(vec![json!({"a": text}); count]);
            let path = Path::parse("$[?(@.a =~ /((?=a)a+)+b/)]").unwrap();
            assert_eq!(path.read(&document), Err(expected));
        };
        check("a".repeat(100), 1, ReadError::TooManySteps);
        check("a".repeat(50_000), 5, ReadError::TooMuch(1_000_000));
    }
}
