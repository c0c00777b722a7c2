//! The server's side of an HTTP/2 connection (RFC 9113).
//!
//! One task owns a connection and all that goes on on it: it reads frames, polls the handlers of requests and the bodies of
//! their answers, and writes. Requests are decoded straight into [`crate::RequestHead`], answers are encoded straight into
//! the bytes that go out, and what several streams have to say leaves in one write. Memory for reading and writing is lent by
//! the thread for the time of a poll: a connection on which nothing goes on keeps none.
//!
//! What a client can make the server do without asking for anything useful is counted, and has a limit.

mod buffers;
mod connection;
mod error;
mod frame;
mod hpack;
mod inflow;
mod notice;
mod receive;
mod request;
mod respond;
mod stream;

pub use connection::Connection;
pub use error::{Code, ConnectionError};
