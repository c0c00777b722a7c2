//! The server's side of RFC 6455 without I/O: the handshake's key, frames, and the messages that they make up.
//!
//! A [`Decoder`] is fed whatever arrives and keeps nothing but what it cannot do without: an idle connection holds no
//! buffer. No extension is known, and only text is taken: a server that does not speak binary closes with 1003.

mod decode;
mod encode;
mod handshake;

pub use decode::{CloseFrame, Decoder, Limits, Received, Violation};
pub use encode::{close, message, ping, pong};
pub use handshake::accept_key;

/// Status codes of close frames.
pub mod code {
    /// All was said.
    pub const NORMAL: u16 = 1000;
    /// The server ends, or waited too long.
    pub const GOING_AWAY: u16 = 1001;
    /// The peer broke the protocol.
    pub const PROTOCOL_ERROR: u16 = 1002;
    /// The peer sent binary.
    pub const UNSUPPORTED: u16 = 1003;
    /// There was no status in the close frame. Never sent.
    pub const NO_STATUS: u16 = 1005;
    /// There was no close frame. Never sent.
    pub const ABNORMAL: u16 = 1006;
    /// Text that is no UTF-8.
    pub const INVALID_DATA: u16 = 1007;
    /// The peer may not be here any more.
    pub const POLICY: u16 = 1008;
    /// A frame or message over the limit.
    pub const TOO_BIG: u16 = 1009;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Opcode {
    Continuation = 0,
    Text = 1,
    Close = 8,
    Ping = 9,
    Pong = 10,
}
