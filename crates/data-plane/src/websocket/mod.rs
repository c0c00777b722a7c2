//! WebSocket APIs: the upgrade, the life of a connection, and the way of its messages.
//!
//! `upgrade` holds a handshake until the `$connect` route has answered; `connection` is the task of one connection, and
//! `message` takes each message through its route. [`connections`] is what others see of connections: ids, and handles to
//! post and close by; `management` answers who does so from outside.

pub(crate) mod connection;
pub mod connections;
pub mod event;
pub(crate) mod management;
pub(crate) mod message;
pub mod metrics;
pub(crate) mod upgrade;

use std::sync::Arc;
use std::time::Duration;

use stagedoor_shared_state::{Bucket, Counters, Limit};

use connections::Connections;

/// How much and how long. The defaults are AWS's.
#[derive(Clone, Copy, Debug)]
pub struct WebSocketLimits {
    /// The longest message, in bytes.
    pub message_bytes_max: usize,
    /// The longest frame, in bytes: of clients, and of what they are sent.
    pub frame_bytes_max: usize,
    /// How long a connection may be open without a frame either way.
    pub idle_time_max: Duration,
    /// How long a connection may be open.
    pub lifetime_max: Duration,
    /// How many connections may be made a second, by all clients of all APIs together, and how many at once.
    pub connections_per_second: Limit,
    /// The longest URL of a handshake, in characters, scheme and host included.
    pub url_characters_max: usize,
    /// How many bytes may wait for a client that reads slowly. Not AWS's: it does not tell.
    pub queue_bytes_max: usize,
}

impl Default for WebSocketLimits {
    fn default() -> Self {
        Self {
            message_bytes_max: 128 * 1024,
            frame_bytes_max: 32 * 1024,
            idle_time_max: Duration::from_secs(10 * 60),
            lifetime_max: Duration::from_secs(2 * 60 * 60),
            connections_per_second: Limit { rate: 500.0, burst: 500 },
            url_characters_max: 4096,
            queue_bytes_max: 1024 * 1024,
        }
    }
}

/// What all workers share of WebSocket APIs.
pub struct WebSockets {
    /// The open connections.
    pub connections: Connections,
    /// How much and how long.
    pub limits: WebSocketLimits,
    new_connections: Arc<dyn Bucket>,
}

impl WebSockets {
    /// Without any connection.
    #[must_use]
    pub fn new(limits: WebSocketLimits, counters: &dyn Counters) -> Self {
        let new_connections = counters.bucket("websocket-connections");
        Self { connections: Connections::default(), limits, new_connections }
    }

    /// Whether one more connection may be made now.
    pub(crate) async fn admit(&self) -> bool {
        self.new_connections.take(self.limits.connections_per_second).get().await
    }
}
