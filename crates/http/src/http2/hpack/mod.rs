//! Header compression (RFC 7541).

mod decoder;
mod encoder;
mod huffman;
mod kind;
mod primitives;
mod table;

pub(crate) use decoder::{Decoder, Field};
pub(crate) use encoder::Encoder;
pub(crate) use kind::Kind;

/// Why a header block cannot be decoded. The connection is lost then: both sides do not have the same table any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HpackError {
    /// The block ends within a field.
    Truncated,
    /// A number is too large.
    Number,
    /// A text is not coded as it should be.
    Huffman,
    /// A field is in no table.
    Index,
    /// The size of the table is changed where it may not be, or to more than was agreed on.
    TableSize,
}
