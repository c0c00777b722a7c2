//! What can be wrong with a path, and with applying it.

/// A text that is no path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} at column {column} of the path '{path}'")]
pub struct ParseError {
    /// The path.
    pub path: String,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

/// Why a path could not be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// A function does not work on what it was applied to.
    #[error("the function {function}() {message}")]
    Function {
        /// The function's name.
        function: &'static str,
        /// What is wrong.
        message: &'static str,
    },
    /// The path looks at more places than is reasonable.
    #[error("the path looks at more than {0} places of the document")]
    TooMuch(u32),
    /// A regular expression takes more steps than is reasonable.
    #[error("a regular expression of the path takes too many steps")]
    TooManySteps,
}
