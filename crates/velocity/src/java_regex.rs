//! Java's regular expressions.
//!
//! Texts may come from anybody, so the engine is a linear-time one wherever it can be. Look-around, back-references,
//! atomic groups and possessive quantifiers need one that steps back. How often it may is decided by what a step can
//! cost: one of a pattern that repeats without limit may look at all the rest of the text.
//!
//! `\d`, `\w`, `\s` and `\b` mean ASCII, as in Java.

use std::sync::OnceLock;
use std::time::Instant;

use regex::{Regex, RegexBuilder};

use crate::methods::java_pattern;

/// What one call may cost, in bytes looked at. In the worst case this takes some tenths of a second.
const WORK_MAX: u64 = 256 << 20;
/// What a step costs beside the text it looks at.
const STEP_BYTES: u64 = 32;
/// How many steps a search may take. The engine knows its limit when it is compiled, so a search begins with the first,
/// which is enough for nearly all, and goes on to the next as long as [`WORK_MAX`] allows.
const LIMITS: [usize; 8] = [1 << 8, 1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 22];

/// How much memory a compiled pattern may take, in bytes: one that a request brings along, and one of a definition.
const IN_TEMPLATE: usize = 1 << 20;
const IN_DEFINITION: usize = 10 << 20;

/// For how many of the limits an engine is kept.
const KEPT: usize = 2;

/// A pattern, compiled.
#[derive(Debug)]
pub struct JavaRegex(Engine);

#[derive(Debug)]
enum Engine {
    /// Takes time in proportion to the text.
    Linear(Regex),
    Bounded(Box<Bounded>),
}

/// A pattern whose steps are bounded.
#[derive(Debug)]
struct Bounded {
    pattern: String,
    size_max: usize,
    /// Whether a step looks at a few characters only.
    is_local: bool,
    /// The engines of the first [`LIMITS`], each made when a search needs it. Those of the others are not kept: making
    /// one takes less than the search that needs it, and they take memory.
    engines: [OnceLock<Option<fancy_regex::Regex>>; KEPT],
}

/// A search takes more steps than are allowed for a text of its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the pattern takes too many steps on this text")]
pub struct TooManySteps;

/// What searches in one text have cost, in bytes looked at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Work(u64);

/// Where a pattern was found, with its groups.
#[derive(Debug)]
pub enum Groups<'t> {
    /// Found by the linear engine, which finds places several times as fast as it finds groups.
    Place(regex::Match<'t>),
    /// Found by the linear engine.
    Linear(regex::Captures<'t>),
    /// Found by the one that steps back.
    Bounded(fancy_regex::Captures<'t, str>),
}

impl JavaRegex {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(pattern: &str) -> Result<Self, String> {
        Self::compile(pattern, java_pattern(pattern), IN_TEMPLATE)
    }

    /// Compiles a pattern that has to fit the whole of a text, as with Java's `matches`.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn whole(pattern: &str) -> Result<Self, String> {
        Self::compile(pattern, whole(pattern), IN_TEMPLATE)
    }

    /// The same for a pattern out of a definition: it is compiled once, and so may be larger.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn defined(pattern: &str) -> Result<Self, String> {
        Self::compile(pattern, whole(pattern), IN_DEFINITION)
    }

    fn compile(java: &str, pattern: String, size_max: usize) -> Result<Self, String> {
        let last_line =
            |error: &dyn std::fmt::Display| error.to_string().lines().last().unwrap_or_default().to_owned();
        if !needs_steps_back(java) {
            let mut builder = RegexBuilder::new(&pattern);
            builder.size_limit(size_max).dfa_size_limit(size_max).nest_limit(64);
            let linear = builder.build().map_err(|error| last_line(&error))?;
            return Ok(Self(Engine::Linear(linear)));
        }
        let pattern = pattern.replace(r"(?-u:\b)", BOUNDARY).replace(r"(?-u:\B)", NO_BOUNDARY);
        let first = engine(&pattern, LIMITS[0], size_max).map_err(|error| last_line(&error))?;
        let bounded = Bounded { is_local: is_local(java), pattern, size_max, engines: Default::default() };
        // It was not there yet.
        let _ = bounded.engines[0].set(Some(first));
        Ok(Self(Engine::Bounded(Box::new(bounded))))
    }

    /// Whether it is found in a text.
    ///
    /// # Errors
    /// [`TooManySteps`].
    pub fn is_match(&self, text: &str) -> Result<bool, TooManySteps> {
        match &self.0 {
            Engine::Linear(regex) => Ok(regex.is_match(text)),
            Engine::Bounded(_) => Ok(self.find_at(text, 0, false, &mut Work::default())?.is_some()),
        }
    }

    /// Whether it is found in a text within the steps that are allowed; one that takes more is not.
    #[must_use]
    pub fn fits(&self, text: &str) -> bool {
        self.is_match(text).unwrap_or(false)
    }

    /// The first place from `from` on where it is found, with its groups if they are asked for.
    ///
    /// # Errors
    /// [`TooManySteps`], counting those of earlier searches.
    fn find_at<'t>(
        &self,
        text: &'t str,
        from: usize,
        with_groups: bool,
        work: &mut Work,
    ) -> Result<Option<Groups<'t>>, TooManySteps> {
        match &self.0 {
            Engine::Linear(regex) if with_groups => Ok(regex.captures_at(text, from).map(Groups::Linear)),
            Engine::Linear(regex) => Ok(regex.find_at(text, from).map(Groups::Place)),
            Engine::Bounded(bounded) => bounded.find_at(text, from, work),
        }
    }

    /// All places where Java finds it, one after the other.
    pub fn find_all<'r, 't>(&'r self, text: &'t str, with_groups: bool) -> Matches<'r, 't> {
        Matches { regex: self, text, from: Some(0), with_groups, work: Work::default() }
    }
}

impl Bounded {
    fn find_at<'t>(
        &self,
        text: &'t str,
        from: usize,
        work: &mut Work,
    ) -> Result<Option<Groups<'t>>, TooManySteps> {
        let rest = text.len().saturating_sub(from) as u64;
        let step = if self.is_local { STEP_BYTES } else { STEP_BYTES + rest };
        for (index, limit) in LIMITS.iter().enumerate() {
            let most = step.saturating_mul(*limit as u64);
            if work.0.saturating_add(most) > WORK_MAX {
                break;
            }
            let make = || engine(&self.pattern, *limit, self.size_max).ok();
            let made;
            let engine = match self.engines.get(index) {
                Some(slot) => slot.get_or_init(make),
                None => {
                    made = make();
                    &made
                }
            };
            let Some(engine) = engine else { break };
            let begun = Instant::now();
            match engine.captures_from_pos(text, from) {
                Ok(found) => {
                    // The engine does not say how many steps it took. Where they are alike, no more than the place is far;
                    // else time tells: a byte is looked at in about a nanosecond.
                    let end =
                        found.as_ref().and_then(|found| found.get(0)).map_or(text.len(), |found| found.end());
                    let spent = match self.is_local {
                        true => (end.saturating_sub(from) as u64 + 1).saturating_mul(8 * STEP_BYTES),
                        false => u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX),
                    };
                    work.0 += most.min(spent.saturating_add(STEP_BYTES));
                    return Ok(found.map(Groups::Bounded));
                }
                Err(_) => work.0 += most,
            }
        }
        work.0 = work.0.max(WORK_MAX);
        Err(TooManySteps)
    }
}

impl Work {
    /// How many bytes were looked at.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.0
    }
}

/// The places where a pattern is found, as Java's `Matcher` goes through them: after an empty match it moves on by a
/// character.
#[derive(Debug)]
pub struct Matches<'r, 't> {
    regex: &'r JavaRegex,
    text: &'t str,
    from: Option<usize>,
    with_groups: bool,
    work: Work,
}

impl Matches<'_, '_> {
    /// What it has cost so far. Nothing with the linear engine.
    #[must_use]
    pub fn work(&self) -> Work {
        self.work
    }
}

impl<'t> Iterator for Matches<'_, 't> {
    type Item = Result<Groups<'t>, TooManySteps>;

    fn next(&mut self) -> Option<Self::Item> {
        let from = self.from.take()?;
        let found = match self.regex.find_at(self.text, from, self.with_groups, &mut self.work) {
            Ok(found) => found?,
            Err(error) => return Some(Err(error)),
        };
        let (start, end) = found.range();
        self.from = match start == end {
            false => Some(end),
            true => {
                let next = self.text.get(end..).and_then(|rest| rest.chars().next());
                next.map(|character| end + character.len_utf8())
            }
        };
        Some(Ok(found))
    }
}

impl<'t> Groups<'t> {
    /// Begin and end of the whole, in bytes.
    #[must_use]
    pub fn range(&self) -> (usize, usize) {
        let range = match self {
            Self::Place(found) => Some((found.start(), found.end())),
            Self::Linear(groups) => groups.get(0).map(|found| (found.start(), found.end())),
            Self::Bounded(groups) => groups.get(0).map(|found| (found.start(), found.end())),
        };
        range.unwrap_or_default()
    }

    /// A group's text by its number; empty if it took no part.
    ///
    /// # Errors
    /// There is no such group.
    pub(crate) fn group(&self, number: usize) -> Result<&'t str, String> {
        let (count, text) = match self {
            Self::Place(found) => (1, (number == 0).then(|| found.as_str())),
            Self::Linear(groups) => (groups.len(), groups.get(number).map(|group| group.as_str())),
            Self::Bounded(groups) => (groups.len(), groups.get(number).map(|group| group.as_str())),
        };
        if number < count { Ok(text.unwrap_or_default()) } else { Err(format!("No group {number}")) }
    }

    /// A group's text by its name; empty if it took no part.
    pub(crate) fn named(&self, name: &str) -> &'t str {
        let text = match self {
            Self::Place(_) => None,
            Self::Linear(groups) => groups.name(name).map(|group| group.as_str()),
            Self::Bounded(groups) => groups.name(name).map(|group| group.as_str()),
        };
        text.unwrap_or_default()
    }
}

/// ASCII word boundaries, which the engine that steps back does not have.
const BOUNDARY: &str = "(?:(?<=[a-zA-Z0-9_])(?![a-zA-Z0-9_])|(?<![a-zA-Z0-9_])(?=[a-zA-Z0-9_]))";
const NO_BOUNDARY: &str = "(?:(?<=[a-zA-Z0-9_])(?=[a-zA-Z0-9_])|(?<![a-zA-Z0-9_])(?![a-zA-Z0-9_]))";

/// A pattern that has to fit the whole of a text.
fn whole(pattern: &str) -> String {
    format!("^(?:{})$", java_pattern(pattern))
}

fn engine(pattern: &str, limit: usize, size_max: usize) -> Result<fancy_regex::Regex, fancy_regex::Error> {
    let mut builder = fancy_regex::RegexBuilder::new(pattern);
    builder.backtrack_limit(limit).delegate_size_limit(size_max).delegate_dfa_size_limit(size_max);
    builder.build()
}

/// Whether a pattern has what a linear engine has not. `a*+` would be `(a*)+` to it, which fits other texts.
fn needs_steps_back(pattern: &str) -> bool {
    const SIGNS: [&str; 10] = ["(?=", "(?!", "(?<=", "(?<!", "(?>", "\\k<", "*+", "++", "?+", "}+"];
    let refers_back = pattern.as_bytes().windows(2).any(|pair| matches!(pair, [b'\\', b'1'..=b'9']));
    refers_back || SIGNS.iter().any(|sign| pattern.contains(sign))
}

/// Whether nothing in a pattern is repeated more than a few times. Escaped signs count as if they were not, which costs
/// nothing but a lower limit.
fn is_local(pattern: &str) -> bool {
    !pattern.contains(['*', '+', '{'])
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn patterns_fit_whole_texts() {
        let check = |pattern: &str, text: &str, expected: bool| {
            let regex = JavaRegex::whole(pattern).unwrap();
            assert_eq!(regex.is_match(text), Ok(expected), "{pattern} {text}");
        };
        check("4\\d{2}", "404", true);
        check("4\\d{2}", "4040", false);
        check("4\\d{2}", "4٣٣", false);
        check(".*four hundred.*", "Error: four hundred", true);
        check(".*four.*", "four\nlines", false);
        check("(\\n|.)+", "four\nlines", true);
        check("a|b", "ab", false);
        check("a|b", "b", true);
        check("(?i)error.*", "ERROR!", true);
        check("\\QA.B\\E.*", "A.B!", true);
        check("\\QA.B\\E.*", "AxB!", false);
        check("\\p{Alpha}+\\Z", "abc", true);
        check("(?!2\\d\\d)\\d+", "404", true);
        check("(?!2\\d\\d)\\d+", "204", false);
        check("(?s)^(?!.*Error).*$", "all\nis well", true);
        check(".*(?<=Bad)Request.*", "a BadRequest!", true);
        check("(\\w)\\1", "aa", true);
        check("(\\w)\\1", "ab", false);
        check("\\d++", "12", true);
        check("\\d++2", "12", false);
        check("(?=a).*\\bb\\b.*", "a b c", true);
        check("(?=a).*\\bb\\b.*", "a bb c", false);
    }

    #[test]
    fn all_places_are_found_as_java_finds_them() {
        let check = |pattern: &str, text: &str, expected: &[&str]| {
            let regex = JavaRegex::new(pattern).unwrap();
            for with_groups in [false, true] {
                let found = regex.find_all(text, with_groups);
                let found: Vec<_> = found.map(|found| found.unwrap().group(0).unwrap()).collect();
                assert_eq!(found, expected, "{pattern} {text}");
            }
        };
        check("a*", "aab", &["aa", "", ""]);
        check("(?=b)|a*+", "aab", &["aa", "", ""]);
        check("(?<!\\\\)'", "a'b\\'c'", &["'", "'"]);
        check("\\d(?=(\\d{3})+$)", "1234567", &["1", "4"]);
        check("(.)\\1", "aabbc", &["aa", "bb"]);
        check("(?<=é)", "éé", &["", ""]);
    }

    #[test]
    fn no_pattern_takes_long() {
        let short = "a".repeat(5_000);
        let long = "a".repeat(3_000_000);
        for text in [&short, &long] {
            for pattern in [
                "(a+)+b",
                "(?:(a+)+)(?!c)b",
                "(a*)*\\1b",
                "(?=.*b)a",
                "(?=.*b)",
                "(?<!b)(.)\\1c",
                "((?=a)a+)+b",
            ] {
                let regex = JavaRegex::new(pattern).unwrap();
                let begun = Instant::now();
                assert!(!matches!(regex.find_all(text, true).last(), Some(Ok(_))), "{pattern}");
                assert!(begun.elapsed() < Duration::from_secs(20), "{pattern} took {:?}", begun.elapsed());
            }
        }
    }

    /// What looks at a few characters at a time is not limited by the length of a text.
    #[test]
    fn long_texts_are_searched_by_simple_patterns() {
        let text = "don't ".repeat(100_000);
        let regex = JavaRegex::new("(?<!\\\\)'").unwrap();
        let mut matches = regex.find_all(&text, true);
        assert_eq!(matches.by_ref().filter(Result::is_ok).count(), 100_000);
        assert!(matches.work().bytes() < WORK_MAX);
    }

    #[test]
    fn what_is_found_at_once_costs_little_whatever_it_might_have_cost() {
        let text = r#"{"name":"value","other":1} "#.repeat(4_000);
        let regex = JavaRegex::new(r#""(\w+)"(?=:)"#).unwrap();
        assert_eq!(regex.find_all(&text, true).filter(Result::is_ok).count(), 8_000);
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for pattern in ["(", "[a", "*", "a{2,1}", "(?=", "(?=a)("] {
            assert!(JavaRegex::new(pattern).is_err(), "{pattern}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_pattern_and_text(pattern in "[ab(|)*+?\\\\.=!<1]{0,12}", text in "[ab\\\\é]{0,20}") {
            if let Ok(regex) = JavaRegex::new(&pattern) {
                for found in regex.find_all(&text, true) {
                    let Ok(found) = found else { break };
                    let (start, end) = found.range();
                    proptest::prop_assert!(text.get(start..end).is_some());
                }
            }
        }
    }
}
