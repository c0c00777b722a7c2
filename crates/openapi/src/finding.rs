//! What there is to say about a document.

use std::fmt;

use crate::{DocPath, Position};

/// Whether a document can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It can, with something left out.
    Warning,
    /// It cannot.
    Error,
}

/// What sort of thing was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The document cannot be read or makes no sense: an error.
    Broken,
    /// An integration cannot be read, which AWS tells apart from other mistakes: an error.
    MalformedIntegration,
    /// A name that nothing knows, very likely misspelt: a warning, as AWS takes such documents.
    UnknownName,
    /// Something that is right and that an import leaves out: a warning.
    NotApplied,
}

/// Something that a document's author should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What sort of thing it is.
    pub kind: Kind,
    /// Where it stands in the document.
    pub path: DocPath,
    /// Where it stands in the text.
    pub position: Position,
    /// What is wrong and what to do, in one sentence without a full stop; or AWS's own words.
    pub message: String,
    /// What AWS says of it, if it says anything. That tells itself what it is about, so clients get it without its place.
    pub aws: Option<String>,
}

impl Finding {
    /// Something that makes the document unusable.
    #[must_use]
    pub fn error(path: &DocPath, position: Position, message: impl Into<String>) -> Self {
        let (kind, path) = (Kind::Broken, path.clone());
        Self { kind, path, position, message: message.into(), aws: None }
    }

    /// Something that does not.
    #[must_use]
    pub fn warning(kind: Kind, path: &DocPath, position: Position, message: impl Into<String>) -> Self {
        Self { kind, path: path.clone(), position, message: message.into(), aws: None }
    }

    /// The same, whose message is AWS's.
    #[must_use]
    pub fn in_aws_words(self) -> Self {
        let aws = Some(self.message.clone());
        Self { aws, ..self }
    }

    /// Whether the document can be used in spite of it.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        match self.kind {
            Kind::Broken | Kind::MalformedIntegration => Severity::Error,
            Kind::UnknownName | Kind::NotApplied => Severity::Warning,
        }
    }
}

impl fmt::Display for Finding {
    /// `paths./orders.post (line 12, column 5): message`
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { line, column } = self.position;
        if self.path.parts().is_empty() {
            write!(formatter, "line {line}, column {column}: {}", self.message)
        } else {
            write!(formatter, "{} (line {line}, column {column}): {}", self.path, self.message)
        }
    }
}
