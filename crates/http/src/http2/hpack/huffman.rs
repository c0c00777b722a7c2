//! The Huffman code of header compression (RFC 7541 appendix B).
//!
//! The code is canonical: codes of one length follow one another in the order of their symbols, and each length goes on where
//! the one before it ended. So the lengths are the whole table, and the rest is computed from them at compile time.

use super::HpackError;

const SYMBOLS: usize = 257;
/// The symbol that ends a text. It never stands in one.
const END: u16 = 256;
const LENGTH_MAX: usize = 30;

/// How many bits each byte's code has, and that of the end.
#[rustfmt::skip]
const LENGTHS: [u8; SYMBOLS] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7,
    7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21,
    23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24,
    21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

/// What is known of the codes of one length.
#[derive(Clone, Copy)]
struct Row {
    /// The first code.
    first: u32,
    /// How many there are.
    count: u32,
    /// Where their symbols begin in [`Tables::in_order`].
    start: usize,
}

struct Tables {
    rows: [Row; LENGTH_MAX + 1],
    /// The symbols in the order of their codes.
    in_order: [u16; SYMBOLS],
    /// For each beginning of eight bits the symbol whose code it begins with, and that code's length; 0 if it is longer.
    short: [(u8, u8); 256],
}

static TABLES: Tables = tables();

#[allow(clippy::indexing_slicing, reason = "evaluated at compile time, where it would not compile")]
const fn tables() -> Tables {
    let mut rows = [Row { first: 0, count: 0, start: 0 }; LENGTH_MAX + 1];
    let mut in_order = [0; SYMBOLS];
    let mut short = [(0, 0); 256];
    let (mut length, mut code, mut placed) = (1, 0_u32, 0);
    while length <= LENGTH_MAX {
        code <<= 1;
        rows[length].first = code;
        rows[length].start = placed;
        let mut symbol = 0;
        while symbol < SYMBOLS {
            if LENGTHS[symbol] as usize == length {
                in_order[placed] = symbol as u16;
                if length <= 8 {
                    let mut rest = 0;
                    while rest < 1 << (8 - length) {
                        short[((code as usize) << (8 - length)) + rest] = (symbol as u8, length as u8);
                        rest += 1;
                    }
                }
                placed += 1;
                code += 1;
            }
            symbol += 1;
        }
        rows[length].count = code - rows[length].first;
        length += 1;
    }
    Tables { rows, in_order, short }
}

/// Writes what the text stands for.
///
/// # Errors
/// If the text holds the end's code, or ends in anything but the beginning of that, of at most seven bits.
pub(super) fn decode(text: &[u8], out: &mut impl Extend<u8>) -> Result<(), HpackError> {
    let mut text = text.iter();
    // The next bits, the very next on top, and how many there are.
    let (mut bits, mut count) = (0_u64, 0_u32);
    loop {
        while count <= 56
            && let Some(&byte) = text.next()
        {
            bits |= u64::from(byte) << (56 - count);
            count += 8;
        }
        if count == 0 {
            return Ok(());
        }
        let (symbol, length) = match TABLES.short.get((bits >> 56) as usize) {
            Some(&(symbol, length)) if length != 0 => (symbol, u32::from(length)),
            _ => match long(bits) {
                Some((symbol, length)) => (symbol, length),
                None => (0, u32::MAX),
            },
        };
        if length > count {
            let is_padding = count < 8 && bits >> (64 - count) == (1 << count) - 1;
            return if is_padding { Ok(()) } else { Err(HpackError::Huffman) };
        }
        out.extend([symbol]);
        bits <<= length;
        count -= length;
    }
}

/// The symbol of a code of more than eight bits, and their number.
fn long(bits: u64) -> Option<(u8, u32)> {
    for (length, row) in (0_u32..).zip(&TABLES.rows).skip(9) {
        let code = (bits >> (64 - length)) as u32;
        // The codes of this length and all that are shorter are below; what is above is longer.
        if code < row.first + row.count {
            let place = row.start + code.checked_sub(row.first)? as usize;
            let symbol = *TABLES.in_order.get(place)?;
            return if symbol == END { None } else { Some((u8::try_from(symbol).ok()?, length)) };
        }
    }
    None
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The code of a text, for what decodes it.
    pub(in crate::http2) fn encode(text: &[u8]) -> Vec<u8> {
        let (mut out, mut bits, mut count) = (Vec::new(), 0_u64, 0);
        for &byte in text {
            let length = LENGTHS[usize::from(byte)];
            let row = TABLES.rows[usize::from(length)];
            let place = TABLES.in_order.iter().position(|&symbol| symbol == u16::from(byte)).unwrap();
            bits = bits << length | u64::from(row.first + (place - row.start) as u32);
            count += length;
            while count >= 8 {
                out.push((bits >> (count - 8)) as u8);
                count -= 8;
            }
        }
        if count > 0 {
            out.push((bits << (8 - count)) as u8 | (0xff >> count));
        }
        out
    }

    fn check(code: &[u8], expected: Result<&str, HpackError>) {
        let mut text = Vec::new();
        let decoded = decode(code, &mut text).map(|()| String::from_utf8(text).unwrap());
        assert_eq!(decoded, expected.map(str::to_owned), "for {code:x?}");
    }

    #[test]
    fn texts_of_the_specification() {
        // RFC 7541 appendices C.4 and C.6.
        check(b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff", Ok("www.example.com"));
        check(b"\xa8\xeb\x10\x64\x9c\xbf", Ok("no-cache"));
        check(b"\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f", Ok("custom-key"));
        check(b"\x64\x02", Ok("302"));
        check(
            b"\xd0\x7a\xbe\x94\x10\x54\xd4\x44\xa8\x20\x05\x95\x04\x0b\x81\x66\xe0\x82\xa6\x2d\x1b\xff",
            Ok("Mon, 21 Oct 2013 20:13:21 GMT"),
        );
        check(b"", Ok(""));
    }

    #[test]
    fn only_a_short_beginning_of_the_end_may_follow() {
        check(b"\xff", Err(HpackError::Huffman));
        check(b"\xff\xff\xff\xff", Err(HpackError::Huffman));
        // `0` and padding of zeros, of ones.
        check(b"\x00", Err(HpackError::Huffman));
        check(b"\x07", Ok("0"));
        // Eight bits of padding.
        check(b"\x07\xff", Err(HpackError::Huffman));
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut decoded = Vec::new();
            decode(&encode(&text), &mut decoded).unwrap();
            prop_assert_eq!(decoded, text);
        }

        #[test]
        fn what_is_decoded_is_encoded_so(code in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut text = Vec::new();
            if decode(&code, &mut text).is_ok() {
                prop_assert_eq!(encode(&text), code);
            }
        }
    }
}
