//! What an exchange of a WebSocket API has beside others: which event of which connection it is.

use std::time::SystemTime;

use bytes::Bytes;

use super::connections::ConnectionId;

/// The event of a connection that a route is run for.
#[derive(Clone, Debug)]
pub struct SocketEvent {
    /// The connection.
    pub id: ConnectionId,
    /// When its handshake began.
    pub connected_at: SystemTime,
    /// What has happened.
    pub kind: EventKind,
}

/// What has happened.
#[derive(Clone, Debug)]
pub enum EventKind {
    /// A client wants to connect.
    Connect,
    /// A message came.
    Message {
        /// Its id.
        id: Bytes,
    },
    /// The connection is closed.
    Disconnect {
        /// With this status: the client's, the server's, or 1005 and 1006 where there was none.
        status: u16,
        /// With these words.
        reason: Box<str>,
    },
}

impl EventKind {
    /// `$context.eventType`.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::Message { .. } => "MESSAGE",
            Self::Disconnect { .. } => "DISCONNECT",
        }
    }
}

/// Where messages come from, in `requestContext.messageDirection`.
pub(crate) const DIRECTION: &str = "IN";
