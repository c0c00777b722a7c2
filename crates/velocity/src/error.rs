//! What can be wrong with a template, and with rendering it.

use std::fmt;

/// A place in a template; both count from 1, columns in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}, column {}", self.line, self.column)
    }
}

/// A template that is not Velocity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} at line {line}, column {column}, near '{near}'")]
pub struct ParseError {
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// The text at that place, at most 24 characters; empty at the end of the template.
    pub near: String,
    /// What is wrong.
    pub message: String,
}

/// Why a template could not be rendered to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// A method was called with arguments it throws an exception for.
    #[error("the method {method} of a {receiver} failed at {position}: {message}")]
    Method {
        /// Where the reference that called it stands.
        position: Position,
        /// The method's name.
        method: String,
        /// Java's name for the type of the object.
        receiver: &'static str,
        /// What the exception would say.
        message: String,
    },
    /// A method or property of the embedder's failed.
    #[error("{0}")]
    Host(String),
    /// What `#evaluate` was given is not Velocity.
    #[error("#evaluate was given a text that is no template: {0}")]
    Evaluate(ParseError),
    /// The output, or a text on the way to it, is longer than [`crate::Limits::output_bytes`].
    #[error("the template makes a text of more than {0} bytes")]
    OutputTooLong(usize),
    /// A list or map grew past [`crate::Limits::items`].
    #[error("the template makes a list or map of more than {0} items")]
    TooManyItems(usize),
    /// More was evaluated than [`crate::Limits::steps`] allows.
    #[error("the template takes more than {0} steps")]
    TooManySteps(u64),
    /// Macros, blocks or values are nested deeper than [`crate::Limits::depth`].
    #[error("the template nests macros, blocks or values more than {0} deep")]
    TooDeep(usize),
}

impl RenderError {
    /// What the embedder's own objects fail with.
    #[must_use]
    pub fn host(message: impl Into<String>) -> Self {
        Self::Host(message.into())
    }
}
