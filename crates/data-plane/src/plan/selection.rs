//! `selectionPattern`: a Java regular expression that has to fit the whole of a status or an error message.
//!
//! The message may come from anybody, so no pattern may take long: the engine is a linear-time one wherever it can be.
//! Look-around, back-references and possessive quantifiers need one that steps back, whose steps are bounded.

use regex::Regex;
use stagedoor_velocity::java_pattern;

/// How often a pattern may step back on one text before the text counts as not fitting.
const BACKTRACK_LIMIT: usize = 20_000;

/// A pattern, compiled.
#[derive(Debug)]
pub enum SelectionPattern {
    /// Takes time in proportion to the text.
    Linear(Regex),
    /// Gives up after [`BACKTRACK_LIMIT`] steps.
    Bounded(Box<fancy_regex::Regex>),
}

impl SelectionPattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// A sentence that names the pattern and what is wrong with it.
    pub fn parse(pattern: &str) -> Result<Self, String> {
        let whole = format!("^(?:{})$", java_pattern(pattern));
        let unusable = |error: &dyn std::fmt::Display| {
            let detail = error.to_string();
            let detail = detail.lines().last().unwrap_or_default();
            format!("the selection pattern {pattern:?} cannot be used: {detail}")
        };
        if !needs_steps_back(pattern) {
            return Regex::new(&whole).map(Self::Linear).map_err(|error| unusable(&error));
        }
        let whole = whole.replace(r"(?-u:\b)", r"\b").replace(r"(?-u:\B)", r"\B");
        let bounded = fancy_regex::RegexBuilder::new(&whole).backtrack_limit(BACKTRACK_LIMIT).build();
        bounded.map(|bounded| Self::Bounded(Box::new(bounded))).map_err(|error| unusable(&error))
    }

    /// Whether it fits a text.
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        match self {
            Self::Linear(pattern) => pattern.is_match(text),
            Self::Bounded(pattern) => pattern.is_match(text).unwrap_or(false),
        }
    }
}

/// Whether a pattern has what a linear engine has not. `a*+` would be `(a*)+` to it, which fits other texts.
fn needs_steps_back(pattern: &str) -> bool {
    const SIGNS: [&str; 10] = ["(?=", "(?!", "(?<=", "(?<!", "(?>", "\\k<", "*+", "++", "?+", "}+"];
    let refers_back = pattern.as_bytes().windows(2).any(|pair| matches!(pair, [b'\\', b'1'..=b'9']));
    refers_back || SIGNS.iter().any(|sign| pattern.contains(sign))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn patterns_fit_whole_texts() {
        let check = |pattern: &str, text: &str, expected: bool| {
            assert_eq!(
                SelectionPattern::parse(pattern).unwrap().is_match(text),
                expected,
                "{pattern} {text}"
            );
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
    }

    #[test]
    fn no_pattern_takes_long() {
        let text = "a".repeat(100_000);
        for pattern in ["(a+)+b", "(?:(a+)+)(?!c)b", "(a*)*\\1b"] {
            let begun = Instant::now();
            assert!(!SelectionPattern::parse(pattern).unwrap().is_match(&text));
            assert!(begun.elapsed() < Duration::from_secs(5), "{pattern}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for pattern in ["(", "[a", "*", "a{2,1}"] {
            assert!(SelectionPattern::parse(pattern).is_err(), "{pattern}");
        }
    }
}
