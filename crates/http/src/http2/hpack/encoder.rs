//! From fields to header blocks.
//!
//! What comes again is put into the table when it comes for the second time, and is one byte or two from then on. What never
//! comes again so never drives out what does, and costs no more than the bytes it has. Texts are written as they are: to
//! code them costs more than it saves once all that comes again is in the table.

use bytes::{Bytes, BytesMut};

use super::Kind;
use super::primitives::{put_number, put_text};
use super::table::{Entry, SIZE_DEFAULT, STATIC, Table, static_index};

/// What is remembered of the fields that came, a power of two.
const SLOTS: usize = 64;
/// A longer field is not worth its room.
const INDEXED_BYTES_MAX: usize = 512;

/// The encoding side of a connection.
#[derive(Debug)]
pub(crate) struct Encoder {
    table: Table,
    /// How many fields have ever been put into the table.
    inserted: u32,
    /// By hash: a field in the table.
    indexed: Box<[Indexed; SLOTS]>,
    /// By hash: the hash of a field that came once.
    seen: Box<[u32; SLOTS]>,
    /// The sizes of the table that are still to be told: the smallest that it had meanwhile, and its own.
    size_told: Option<(usize, usize)>,
    size_max: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Indexed {
    hash: u32,
    /// Which of all that were put into the table it is, from 1; 0 for none.
    number: u32,
}

impl Default for Encoder {
    fn default() -> Self {
        Self {
            table: Table::default(),
            inserted: 0,
            indexed: Box::new([Indexed::default(); SLOTS]),
            seen: Box::new([0; SLOTS]),
            size_told: None,
            size_max: SIZE_DEFAULT,
        }
    }
}

impl Encoder {
    /// The peer's limit for the table. Ours is what everybody has at the beginning.
    pub(crate) fn set_size_max(&mut self, size_max: usize) {
        let size_max = size_max.min(SIZE_DEFAULT);
        if size_max == self.size_max {
            return;
        }
        self.size_max = size_max;
        self.table.set_size_max(size_max);
        let smallest = self.size_told.map_or(size_max, |(smallest, _)| smallest.min(size_max));
        self.size_told = Some((smallest, size_max));
    }

    /// What has to stand before the first field of a block.
    pub(crate) fn begin(&mut self, out: &mut Vec<u8>) {
        if let Some((smallest, size)) = self.size_told.take() {
            if smallest < size {
                put_number(out, 0x20, 5, smallest);
            }
            put_number(out, 0x20, 5, size);
        }
    }

    /// Writes `:status`.
    pub(crate) fn status(&mut self, out: &mut Vec<u8>, status: http::StatusCode) {
        let index = match status.as_u16() {
            200 => 8,
            204 => 9,
            206 => 10,
            304 => 11,
            400 => 12,
            404 => 13,
            500 => 14,
            _ => return self.field(out, b":status", status.as_str().as_bytes()),
        };
        out.push(0x80 | index);
    }

    /// Writes a field; its name in lower case.
    pub(crate) fn field(&mut self, out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
        if name.len() + value.len() > INDEXED_BYTES_MAX {
            return Self::literal(out, 0, name, value);
        }
        let hash = hash(name, value);
        let slot = hash as usize % SLOTS;
        let Some(indexed) = self.indexed.get_mut(slot) else { return };
        if indexed.hash == hash && indexed.number > 0 {
            let place = (self.inserted - indexed.number) as usize;
            let same = |entry: &&Entry| entry.value == value && entry.name.eq_ignore_ascii_case(name);
            if self.table.get(place).filter(same).is_some() {
                return put_number(out, 0x80, 7, STATIC.len() + 1 + place);
            }
        }
        let Some(seen) = self.seen.get_mut(slot) else { return };
        if std::mem::replace(seen, hash) != hash || self.size_max < INDEXED_BYTES_MAX * 2 {
            return Self::literal(out, 0, name, value);
        }
        // Numbers that have all been used would not tell entries apart any more.
        let Some(number) = self.inserted.checked_add(1) else { return Self::literal(out, 0, name, value) };
        Self::literal(out, 0x40, name, value);
        self.inserted = number;
        *indexed = Indexed { hash, number };
        let mut text = BytesMut::with_capacity(name.len() + value.len());
        text.extend_from_slice(name);
        text.make_ascii_lowercase();
        text.extend_from_slice(value);
        let mut value: Bytes = text.freeze();
        let name = value.split_to(name.len());
        self.table.insert(Entry { name, value, kind: Kind::Regular, is_valid: true });
    }

    /// Writes a field that is in no table and never will be, here or at whoever passes it on.
    pub(crate) fn never_indexed(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
        Self::literal(out, 0x10, name, value);
    }

    fn literal(out: &mut Vec<u8>, pattern: u8, name: &[u8], value: &[u8]) {
        let prefix = if pattern == 0x40 { 6 } else { 4 };
        let index = if name == b":status" { Some(8) } else { static_index(name) };
        put_number(out, pattern, prefix, index.unwrap_or_default());
        if index.is_none() {
            put_number(out, 0, 7, name.len());
            out.extend(name.iter().map(u8::to_ascii_lowercase));
        }
        put_text(out, value);
    }
}

/// Few bytes are hashed by each response, and nobody gains by two that have the same: all that is lost is a place in the table.
fn hash(name: &[u8], value: &[u8]) -> u32 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut state = (name.len() as u64).wrapping_mul(FACTOR) ^ value.len() as u64;
    let mut add = |word: u64| state = (state.rotate_left(23) ^ word).wrapping_mul(FACTOR);
    let (words, rest) = value.as_chunks::<8>();
    words.iter().for_each(|word| add(u64::from_le_bytes(*word)));
    add(rest.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)));
    (state >> 32) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Decoder, decoder::tests::hex};
    use super::*;

    fn decode(decoder: &mut Decoder, block: &[u8]) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        decoder.decode(block, |field| fields.push((text(&field.name), text(&field.value)))).unwrap();
        fields
    }

    #[test]
    fn what_comes_again_is_short() {
        let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
        let mut check = |name: &str, value: &str, expected: &str| {
            let mut out = Vec::new();
            encoder.begin(&mut out);
            encoder.field(&mut out, name.as_bytes(), value.as_bytes());
            assert_eq!(out, hex(expected), "{name}: {value}");
            assert_eq!(decode(&mut decoder, &out), [(name.to_lowercase(), value.to_owned())]);
        };
        check("Content-Type", "a/b", "0f10 03 612f62");
        check("Content-Type", "a/b", "5f 03 612f62");
        check("content-type", "a/b", "be");
        check("X-Y", "z", "00 03 782d79 01 7a");
        check("X-Y", "z", "40 03 782d79 01 7a");
        check("Content-Type", "a/b", "bf");
        check("X-Y", "z", "be");
    }

    #[test]
    fn statuses() {
        let mut encoder = Encoder::default();
        let mut check = |status: u16, expected: &str| {
            let mut out = Vec::new();
            encoder.status(&mut out, http::StatusCode::from_u16(status).unwrap());
            assert_eq!(out, hex(expected), "{status}");
        };
        check(200, "88");
        check(500, "8e");
        check(403, "08 03 343033");
        check(403, "48 03 343033");
        check(403, "be");
    }

    #[test]
    fn changes_of_the_tables_size_are_told() {
        let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
        let mut check = |sizes: &[usize], expected: &str| {
            sizes.iter().for_each(|size| encoder.set_size_max(*size));
            let mut out = Vec::new();
            encoder.begin(&mut out);
            encoder.field(&mut out, b"a", b"b");
            assert_eq!(out, hex(expected), "{sizes:?}");
            assert_eq!(decode(&mut decoder, &out), [("a".to_owned(), "b".to_owned())]);
        };
        check(&[4096], "00 01 61 01 62");
        check(&[100_000], "40 01 61 01 62");
        check(&[], "be");
        check(&[0, 4096], "20 3fe11f 40 01 61 01 62");
        check(&[0], "20 00 01 61 01 62");
        check(&[], "00 01 61 01 62");
    }

    proptest! {
        #[test]
        fn all_fields_are_decoded_as_they_were(
            fields in proptest::collection::vec(("[a-c]{1,2}|date|server", "[a-b]{0,2}|x{400}"), 0..200),
            sizes in proptest::collection::vec(0_usize..5000, 4),
        ) {
            let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
            for (at, block) in fields.chunks(7).enumerate() {
                if let Some(size) = sizes.get(at) {
                    encoder.set_size_max(*size);
                }
                let mut out = Vec::new();
                encoder.begin(&mut out);
                block.iter().for_each(|(name, value)| encoder.field(&mut out, name.as_bytes(), value.as_bytes()));
                prop_assert_eq!(&decode(&mut decoder, &out), block);
            }
        }
    }
}
