//! HTTP messages, and HTTP/1.1 and HTTP/2 connections for a proxy.
//!
//! What is special here: header names keep their spelling and order, a message that two parsers could read
//! differently is refused (conflicting framing, folded lines, bare line feeds), and bodies are handed on in the
//! pieces in which they arrive.

mod body;
pub mod client;
pub mod clock;
pub mod encode;
mod framing;
pub mod head;
mod headers;
pub mod http2;
mod message;
mod name_set;
pub mod server;
mod transport;
pub mod turn;

pub use body::{Body, BodyError, BodyStream};
pub use headers::{Header, Headers, is_valid_name, is_valid_value};
pub use message::{RequestHead, ResponseHead, Target, Version};
pub use name_set::NameSet;
