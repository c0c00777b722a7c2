//! What is wrong with a project, in the words of its author's files.

use std::fmt;
use std::path::{Path, PathBuf};

use stagedoor_openapi::{Document, Finding, Place, Position};

/// Something to be changed in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file it is in, as it was named or found.
    pub file: PathBuf,
    /// Counted from 1; 0 if the file cannot be read at all.
    pub line: usize,
    /// In characters, counted from 1; 0 if the file cannot be read at all.
    pub column: usize,
    /// Where it is in the document, such as `paths./orders.post`; empty if it is the document as a whole.
    pub path: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl Problem {
    /// A problem with a file as such.
    pub(crate) fn with_file(file: &Path, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: 0, column: 0, path: String::new(), message: message.into() }
    }

    /// A problem that the reader or an import found.
    pub(crate) fn from_finding(file: &Path, finding: &Finding) -> Self {
        let Position { line, column } = finding.position;
        let path = finding.path.to_string();
        Self { file: file.to_owned(), line, column, path, message: finding.message.clone() }
    }

    /// A problem with a value of ours.
    pub(crate) fn at(file: &Path, place: &Place<'_>, message: impl Into<String>) -> Self {
        let Position { line, column } = place.at();
        Self { file: file.to_owned(), line, column, path: place.path.to_string(), message: message.into() }
    }

    /// A problem that the control plane or the compiler named. It speaks of resources and methods; where it names one
    /// of the document's, the problem is put there.
    pub(crate) fn from_message(file: &Path, document: &Document, message: &str) -> Self {
        let mut best = (0, stagedoor_openapi::DocPath::root());
        for item in &document.definition.paths {
            if !names(message, &item.path) {
                continue;
            }
            if best.0 < item.path.len() {
                best = (item.path.len(), item.at.clone());
            }
            for operation in item.operations.iter().filter(|one| names(message, &one.method)) {
                let at = operation.integration.as_ref().map_or(&operation.at, |integration| &integration.at);
                let score = item.path.len() + operation.method.len();
                if best.0 < score {
                    best = (score, at.clone());
                }
            }
        }
        let Position { line, column } = document.locate(&best.1);
        Self { file: file.to_owned(), line, column, path: best.1.to_string(), message: message.to_owned() }
    }
}

/// Whether a message has a path or method in it as a word of its own: `/users` is not in `/users/{userId}`.
fn names(message: &str, word: &str) -> bool {
    let inside = |one: char| one.is_alphanumeric() || "/{}_-+".contains(one);
    message.match_indices(word).any(|(start, _)| {
        let before = message.get(..start).and_then(|text| text.chars().next_back());
        let after = message.get(start + word.len()..).and_then(|text| text.chars().next());
        !before.is_some_and(inside) && !after.is_some_and(inside)
    })
}

impl fmt::Display for Problem {
    /// `examples/orders/openapi.yaml:12:5: paths./orders.post: message`, which editors and terminals can follow.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.file.display())?;
        if self.line > 0 {
            write!(formatter, ":{}:{}", self.line, self.column)?;
        }
        if self.path.is_empty() {
            write!(formatter, ": {}", self.message)
        } else {
            write!(formatter, ": {}: {}", self.path, self.message)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_put_where_they_belong() {
        let text = "openapi: 3.0.1\ninfo: {title: t}\npaths:\n  /a:\n    get:\n      x-amazon-apigateway-integration:\n        \
                    type: mock\n  /a/{b}:\n    get: {}\n    post: {}\n";
        let document = Document::read(text).unwrap();
        let check = |message: &str, expected: &str| {
            let problem = Problem::from_message(Path::new("api.yaml"), &document, message);
            assert_eq!(problem.to_string(), expected);
        };
        check("GET /a: no", "api.yaml:6:7: paths./a.get.x-amazon-apigateway-integration: GET /a: no");
        check(
            "method 'POST' of '/a/{b}': no",
            "api.yaml:10:5: paths./a/{b}.post: method 'POST' of '/a/{b}': no",
        );
        check("resource /a/{b}: no", "api.yaml:8:3: paths./a/{b}: resource /a/{b}: no");
        check("no", "api.yaml:1:1: no");
    }
}
