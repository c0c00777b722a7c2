//! Why a function is refused, and why an invocation does not reach it. What a function itself gets wrong is no error
//! here: it is the payload of its [`crate::InvocationOutput`], as on Lambda.

use std::io;
use std::path::PathBuf;

/// Why a function cannot be taken as it is described.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The name is not one that Lambda would take.
    #[error("\"{0}\" is no function name: use 1 to 64 letters, digits, hyphens and underscores")]
    Name(String),
    /// The runtime is unknown, or of a language that is not run here.
    #[error("the runtime \"{found}\" is not available; use one of {known}")]
    Runtime {
        /// What was asked for.
        found: String,
        /// The identifiers that are known.
        known: &'static str,
    },
    /// The timeout is outside of Lambda's bounds.
    #[error("a timeout of {0} s is not possible: use 1 to 900 seconds")]
    Timeout(f64),
    /// The memory is outside of Lambda's bounds.
    #[error("{0} MB of memory are not possible: use 128 to 10240 MB")]
    Memory(u32),
    /// An environment variable that no process can have.
    #[error("the environment variable {0:?} has a name or a value that no process can have")]
    Environment(String),
    /// The code directory is missing.
    #[error("the code of the function {function} is not there: {} is no directory", code.display())]
    Code {
        /// The function.
        function: String,
        /// The directory that was looked for.
        code: PathBuf,
    },
    /// The handler is not of the form `file.function`.
    #[error(
        "the handler \"{handler}\" of the function {function} has not the form file.function, such as index.handler"
    )]
    Handler {
        /// The function.
        function: String,
        /// Its handler.
        handler: String,
    },
    /// No file holds the handler.
    #[error(
        "the handler \"{handler}\" of the function {function} does not exist; looked for {}",
        looked_for.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
    )]
    HandlerFile {
        /// The function.
        function: String,
        /// Its handler.
        handler: String,
        /// The files that would have been taken.
        looked_for: Vec<PathBuf>,
    },
    /// The `bootstrap` of a `provided` runtime is there and cannot be run.
    #[error("the function {function} cannot run {}: it is not executable; chmod +x {}", file.display(), file.display())]
    NotExecutable {
        /// The function.
        function: String,
        /// Its `bootstrap`.
        file: PathBuf,
    },
    /// The gateway is ending.
    #[error("functions are shutting down")]
    ShuttingDown,
}

/// Why an invocation did not reach its function.
#[derive(Clone, Debug, thiserror::Error)]
pub enum InvokeError {
    /// `ResourceNotFoundException`.
    #[error("Function not found: {0}")]
    NotFound(String),
    /// The function's resource policy does not allow the caller.
    #[error("Invalid permissions on Lambda function {0}")]
    NotPermitted(String),
    /// `TooManyRequestsException`: the function's concurrency is used up.
    #[error("Rate Exceeded.")]
    TooManyRequests,
    /// `RequestEntityTooLargeException`: 6 MB.
    #[error("Request must be smaller than {limit} bytes for the InvokeFunction operation")]
    PayloadTooLarge {
        /// The most that is taken, in bytes.
        limit: usize,
    },
    /// The same for asynchronous invocations: 1 MB.
    #[error("{size} byte payload is too large for the Event invocation type (limit {limit} bytes)")]
    EventTooLarge {
        /// What it has, in bytes.
        size: usize,
        /// The most that is taken, in bytes.
        limit: usize,
    },
    /// No process could be started; the text says why and what to do.
    #[error("the function {function} cannot be started: {reason}")]
    Start {
        /// The function.
        function: String,
        /// What went wrong.
        reason: String,
    },
    /// An asynchronous event could not be kept.
    #[error("the event could not be queued: {0}")]
    NotQueued(String),
    /// The gateway is ending.
    #[error("functions are shutting down")]
    ShuttingDown,
}

/// Why no functions can be run at all.
#[derive(Debug, thiserror::Error)]
#[error("functions cannot be run: {what}: {source}")]
pub struct SetupError {
    pub(crate) what: &'static str,
    #[source]
    pub(crate) source: io::Error,
}
