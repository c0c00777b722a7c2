//! One worker: a thread with its own event loop, its own connections from clients and its own to backends.
//!
//! A request never leaves the worker that accepted it, so nothing here needs a lock or is `Send`.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::lambda::LambdaInvoker;
use crate::published::Current;

/// What all workers share: set up once, at start.
pub struct Services {
    /// What is being served.
    pub current: Current,
    /// Where Lambda functions run.
    pub lambda: Arc<dyn LambdaInvoker>,
}

/// A worker's own state.
pub struct Worker {
    /// What all workers share.
    pub services: Arc<Services>,
}

/// The connection a request came in on.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    /// The client's address.
    pub peer: SocketAddr,
    /// The address it connected to.
    pub local: SocketAddr,
    /// Whether the connection is TLS.
    pub tls: bool,
}
