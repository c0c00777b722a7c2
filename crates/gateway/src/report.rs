//! What a person at a terminal reads when something is wrong.

use std::io::Write;

use stagedoor_templates::Problem;

use crate::logging::is_coloured;
use crate::serve::Failure;

/// Says why the gateway did not start.
pub(crate) fn failure(failure: &Failure) {
    if let Failure::Definitions(problems) = failure {
        self::problems(problems);
    }
    let (red, plain) = colours();
    let _ = writeln!(std::io::stderr(), "{red}error:{plain} {failure}");
}

/// Shows problems with the lines they stand in.
pub(crate) fn problems(problems: &[Problem]) {
    let (red, plain) = colours();
    let mut out = std::io::stderr().lock();
    for problem in problems {
        let _ = writeln!(out, "{red}error:{plain} {problem}");
        let source = std::fs::read_to_string(&problem.file).unwrap_or_default();
        if let Some(excerpt) = excerpt(&source, problem.line, problem.column) {
            let _ = writeln!(out, "{excerpt}");
        }
    }
}

fn colours() -> (&'static str, &'static str) {
    if is_coloured(&std::io::stderr()) { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") }
}

/// A source line with a mark under the place. Long lines are cut to what stands around it.
fn excerpt(source: &str, line: usize, column: usize) -> Option<String> {
    const BEFORE: usize = 60;
    const AFTER: usize = 40;
    let text = source.lines().nth(line.checked_sub(1)?)?;
    let at = column.saturating_sub(1);
    let start = at.saturating_sub(BEFORE);
    let shown: String =
        text.chars().skip(start).take(BEFORE + AFTER).map(|c| if c == '\t' { ' ' } else { c }).collect();
    let margin = " ".repeat(line.to_string().len());
    Some(format!("  {line} | {shown}\n  {margin} | {}^", " ".repeat(at - start)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, line: usize, column: usize, expected: Option<&str>) {
        assert_eq!(excerpt(source, line, column).as_deref(), expected);
    }

    #[test]
    fn excerpts_mark_the_place() {
        check("a\nbcd\n", 2, 3, Some("  2 | bcd\n    |   ^"));
        check("a", 1, 9, Some("  1 | a\n    |         ^"));
        check("a", 0, 0, None);
        check("a", 7, 1, None);
        let long = format!("{}X{}", "-".repeat(100), "-".repeat(100));
        let shown = excerpt(&long, 1, 101).unwrap();
        assert!(shown.lines().all(|line| line.len() < 110), "{shown}");
        assert_eq!(shown.lines().map(|line| line.find(['X', '^'])).collect::<Vec<_>>(), [Some(66), Some(66)]);
    }
}
