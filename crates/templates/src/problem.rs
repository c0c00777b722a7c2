//! What is wrong with a project, in the words of its author's files.

use std::fmt;
use std::path::{Path, PathBuf};

use stagedoor_openapi::{Document, Finding, Place, Position};

use crate::blame::blame;

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

    /// A problem that the control plane or the compiler named, put where it belongs.
    pub(crate) fn from_message(file: &Path, document: &Document, message: &str) -> Self {
        let at = blame(document, message);
        let Position { line, column } = document.locate(&at);
        Self { file: file.to_owned(), line, column, path: at.to_string(), message: message.to_owned() }
    }
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
