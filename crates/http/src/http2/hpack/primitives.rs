//! Numbers and texts (RFC 7541 section 5).

use super::{HpackError, huffman};

/// Nothing that is counted here comes near this.
const NUMBER_MAX: usize = 1 << 24;

/// Takes a number whose first bits stand in the low `prefix` bits of the first byte.
pub(super) fn take_number(input: &mut &[u8], prefix: u32) -> Result<usize, HpackError> {
    let (&first, mut rest) = input.split_first().ok_or(HpackError::Truncated)?;
    let all_ones = (1_usize << prefix) - 1;
    let mut number = usize::from(first) & all_ones;
    if number == all_ones {
        let mut shift = 0;
        loop {
            let (&byte, after) = rest.split_first().ok_or(HpackError::Truncated)?;
            rest = after;
            // Of zeros alone there could be endlessly many.
            if shift > 21 {
                return Err(HpackError::Number);
            }
            number += usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        if number > NUMBER_MAX {
            return Err(HpackError::Number);
        }
    }
    *input = rest;
    Ok(number)
}

/// Writes a number behind the bits of `pattern`.
pub(super) fn put_number(out: &mut Vec<u8>, pattern: u8, prefix: u32, number: usize) {
    let all_ones = (1_usize << prefix) - 1;
    if number < all_ones {
        out.push(pattern | u8::try_from(number).unwrap_or_default());
        return;
    }
    out.push(pattern | u8::try_from(all_ones).unwrap_or_default());
    let mut left = number - all_ones;
    while left >= 0x80 {
        out.push(0x80 | (left & 0x7f) as u8);
        left >>= 7;
    }
    out.push(left as u8);
}

/// A text as it stands in a header block.
#[derive(Clone, Copy)]
pub(super) enum Text<'b> {
    Plain(&'b [u8]),
    Huffman(&'b [u8]),
}

impl Text<'_> {
    /// The most bytes that it can become.
    pub(super) fn length_max(self) -> usize {
        match self {
            Self::Plain(text) => text.len(),
            // The shortest code has five bits.
            Self::Huffman(text) => text.len() * 8 / 5,
        }
    }

    pub(super) fn write(self, out: &mut bytes::BytesMut) -> Result<(), HpackError> {
        match self {
            Self::Plain(text) => out.extend_from_slice(text),
            Self::Huffman(text) => huffman::decode(text, out)?,
        }
        Ok(())
    }
}

pub(super) fn take_text<'b>(input: &mut &'b [u8]) -> Result<Text<'b>, HpackError> {
    let is_huffman = input.first().is_some_and(|first| first & 0x80 != 0);
    let length = take_number(input, 7)?;
    let (text, rest) = input.split_at_checked(length).ok_or(HpackError::Truncated)?;
    *input = rest;
    Ok(if is_huffman { Text::Huffman(text) } else { Text::Plain(text) })
}

/// Writes a text as it is: to code it costs more than the bytes that it saves.
pub(super) fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    put_number(out, 0, 7, text.len());
    out.extend_from_slice(text);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(mut input: &[u8], prefix: u32, expected: Result<usize, HpackError>) {
        let whole = input;
        assert_eq!(take_number(&mut input, prefix), expected, "for {whole:x?}");
        if let Ok(number) = expected {
            assert!(input.is_empty());
            let mut out = Vec::new();
            put_number(&mut out, whole[0] & !((1 << prefix) - 1) as u8, prefix, number);
            assert_eq!(out, whole);
        }
    }

    #[test]
    fn numbers_of_the_specification() {
        // RFC 7541 appendix C.1.
        check(&[0b1110_1010], 5, Ok(10));
        check(&[0b0001_1111, 0b1001_1010, 0b0000_1010], 5, Ok(1337));
        check(&[42], 8, Ok(42));
        check(&[0xff, 0], 8, Ok(255));
        check(&[0x7f, 0xff, 0xff, 0xff, 0x7f], 7, Err(HpackError::Number));
        check(&[0x7f, 0x80, 0x80, 0x80, 0x80, 0x80], 7, Err(HpackError::Number));
        check(&[0x7f, 0x80], 7, Err(HpackError::Truncated));
        check(&[], 7, Err(HpackError::Truncated));
    }

    proptest! {
        #[test]
        fn numbers_are_read_as_written(number in 0..NUMBER_MAX, prefix in 4..8_u32) {
            let mut out = Vec::new();
            put_number(&mut out, 0, prefix, number);
            let mut input = &out[..];
            prop_assert_eq!(take_number(&mut input, prefix), Ok(number));
            prop_assert!(input.is_empty());
        }
    }
}
