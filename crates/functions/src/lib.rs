//! Lambda functions as local processes.
//!
//! Handlers for Node, Python and `provided` runtimes run each in processes of their own; the last speak the Lambda Runtime
//! API. Processes are reused while warm, reloaded when their code changes, limited in time, memory and output, and killed with
//! their children. Failures have Lambda's shapes and words. No memory is shared with the gateway, and no environment.
//!
//! - [`Functions`] registers and invokes; [`FunctionConfig`] says what a function is.
//! - [`LambdaApi`] answers AWS's own API for them.
//! - `call` is one call on its way to its function, and tries again what nobody waits for; `pool` decides which process runs
//!   what, and its `generations` when code changes hands; `turn` is one invocation, on the thread of whoever invokes, and
//!   `ahead` which of them share a trip; `process` starts and watches one process; `link` talks to our own bootstraps and
//!   `runtime_api` to foreign executables; `queue` keeps asynchronous events on the disk; `guardian` leaves no process behind, and `walls` keep
//!   from it what it should not see.
//!
//! Unix only: processes are handled by group.

mod ahead;
mod api;
mod call;
mod config;
mod contention;
mod dead_letter;
mod environment;
mod error;
mod fingerprint;
mod functions;
mod guardian;
mod interpreter;
mod link;
mod logs;
mod outcome;
mod permission;
mod pool;
mod process;
mod queue;
mod reply;
mod resident;
mod runtime_api;
mod seat;
mod turn;
mod walls;
mod watch;

pub use api::{ApiBody, ApiSettings, LambdaApi};
pub use config::{CONCURRENCY_DEFAULT, FunctionConfig, FunctionRef, LATEST, Runtime};
pub use error::{ConfigError, InvokeError, SetupError};
pub use functions::{AsyncConfig, Functions, Invocation, InvocationType, Settings};
pub use outcome::{ASYNC_EVENT_BYTES_MAX, EVENT_BYTES_MAX, InvocationOutput, RESULT_BYTES_MAX};
pub use reply::{StreamEnd, StreamedInvocation, StreamedOutput};
pub use walls::{LAUNCH, launch};
