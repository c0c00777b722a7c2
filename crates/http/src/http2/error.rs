//! What goes wrong on a connection, and how it is told.

use std::io;

use super::hpack::HpackError;

/// Why a stream or a connection ends (RFC 9113 section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
#[allow(missing_docs, reason = "the names are the RFC's")]
pub enum Code {
    NoError = 0,
    ProtocolError = 1,
    InternalError = 2,
    FlowControlError = 3,
    StreamClosed = 5,
    FrameSizeError = 6,
    RefusedStream = 7,
    CompressionError = 9,
    EnhanceYourCalm = 11,
}

/// Why a connection ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// It failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The client broke the protocol, or asked too much of it.
    #[error("{reason} ({code:?})")]
    Violation {
        /// What it was told.
        code: Code,
        /// What it did.
        reason: &'static str,
    },
    /// The client neither answers nor takes what is sent to it.
    #[error("the client does not answer")]
    Unresponsive,
}

/// What a frame does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Violation {
    /// The connection has to end.
    Connection(Code, &'static str),
    /// The frame's stream has to end.
    Stream(Code),
}

impl From<HpackError> for Violation {
    fn from(error: HpackError) -> Self {
        Self::Connection(
            Code::CompressionError,
            match error {
                HpackError::Truncated => "a header block ends within a field",
                HpackError::Number => "a number in a header block is too large",
                HpackError::Huffman => "a text in a header block is not coded as it should be",
                HpackError::Index => "a header block names a field that is in no table",
                HpackError::TableSize => {
                    "a header block sets a size that the table may not have, or not there"
                }
            },
        )
    }
}
