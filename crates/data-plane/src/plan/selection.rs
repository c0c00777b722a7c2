//! `selectionPattern`: a Java regular expression that has to fit the whole of a status or an error message.
//!
//! The message may come from anybody, so no pattern may take long: one that would take too many steps does not fit.

use stagedoor_velocity::JavaRegex;

/// A pattern, compiled.
#[derive(Debug)]
pub struct SelectionPattern(JavaRegex);

impl SelectionPattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// A sentence that names the pattern and what is wrong with it.
    pub fn parse(pattern: &str) -> Result<Self, String> {
        let unusable = |detail| format!("the selection pattern {pattern:?} cannot be used: {detail}");
        JavaRegex::defined(pattern).map(Self).map_err(unusable)
    }

    /// Whether it fits a text.
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        self.0.fits(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_whole_texts() {
        let check = |pattern: &str, text: &str, expected: bool| {
            let parsed = SelectionPattern::parse(pattern).unwrap();
            assert_eq!(parsed.is_match(text), expected, "{pattern} {text}");
        };
        check("4\\d{2}", "404", true);
        check("4\\d{2}", "4040", false);
        check("(?!2\\d\\d)\\d+", "404", true);
        check("(?!2\\d\\d)\\d+", "204", false);
        // More steps than are allowed.
        check("(?:(a+)+)(?!c)b", &"a".repeat(100_000), false);
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for pattern in ["(", "[a", "*", "a{2,1}"] {
            assert!(SelectionPattern::parse(pattern).is_err(), "{pattern}");
        }
    }
}
