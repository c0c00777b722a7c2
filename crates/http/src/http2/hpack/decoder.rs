//! From header blocks to fields.

use bytes::{Bytes, BytesMut};

use super::primitives::{Text, take_number, take_text};
use super::table::{Entry, SIZE_DEFAULT, STATIC, Table, static_kind};
use super::{HpackError, Kind};

/// A decoded field.
pub(crate) struct Field {
    pub(crate) name: Bytes,
    pub(crate) value: Bytes,
    pub(crate) kind: Kind,
    /// Whether name and value may stand in a request.
    pub(crate) is_valid: bool,
}

/// The decoding side of a connection.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    table: Table,
}

/// A name that a field may be made with.
struct Name {
    text: Bytes,
    kind: Kind,
}

impl Decoder {
    /// Hands over each field of a whole header block. What comes literally of a block shares one allocation; what goes
    /// into the table has one of its own, so that the table keeps nothing else.
    ///
    /// # Errors
    /// [`HpackError`]: the connection has to end.
    pub(crate) fn decode(&mut self, block: &[u8], mut each: impl FnMut(Field)) -> Result<(), HpackError> {
        let mut input = block;
        let mut arena = BytesMut::new();
        let mut has_begun = false;
        while let Some(&first) = input.first() {
            if first & 0x80 != 0 {
                each(self.indexed(take_number(&mut input, 7)?)?);
            } else if first & 0xe0 == 0x20 {
                let size = take_number(&mut input, 5)?;
                if has_begun || size > SIZE_DEFAULT {
                    return Err(HpackError::TableSize);
                }
                self.table.set_size_max(size);
                continue;
            } else {
                let goes_into_table = first & 0x40 != 0;
                let index = take_number(&mut input, if goes_into_table { 6 } else { 4 })?;
                each(self.literal(index, &mut input, goes_into_table, &mut arena)?);
            }
            has_begun = true;
        }
        Ok(())
    }

    fn indexed(&self, index: usize) -> Result<Field, HpackError> {
        if let Some((name, value)) = index.checked_sub(1).and_then(|place| STATIC.get(place)) {
            let kind = static_kind(index);
            return Ok(Field {
                name: Bytes::from_static(name.as_bytes()),
                value: Bytes::from_static(value.as_bytes()),
                kind,
                is_valid: kind != Kind::Malformed,
            });
        }
        let Entry { name, value, kind, is_valid } = self.entry(index)?.clone();
        Ok(Field { name, value, kind, is_valid })
    }

    fn entry(&self, index: usize) -> Result<&Entry, HpackError> {
        index.checked_sub(STATIC.len() + 1).and_then(|place| self.table.get(place)).ok_or(HpackError::Index)
    }

    fn name(&self, index: usize) -> Result<Name, HpackError> {
        if let Some((name, _)) = index.checked_sub(1).and_then(|place| STATIC.get(place)) {
            return Ok(Name { text: Bytes::from_static(name.as_bytes()), kind: static_kind(index) });
        }
        let entry = self.entry(index)?;
        Ok(Name { text: entry.name.clone(), kind: entry.kind })
    }

    fn literal(
        &mut self,
        index: usize,
        input: &mut &[u8],
        goes_into_table: bool,
        arena: &mut BytesMut,
    ) -> Result<Field, HpackError> {
        let known = if index > 0 { Some(self.name(index)?) } else { None };
        let name = if known.is_none() { Some(take_text(input)?) } else { None };
        let value = take_text(input)?;
        let length_max = name.map_or(0, Text::length_max) + value.length_max();
        if goes_into_table {
            *arena = BytesMut::with_capacity(length_max);
        } else if arena.capacity() < length_max {
            *arena = BytesMut::with_capacity(length_max + input.len());
        }
        let name = match (known, name) {
            (Some(known), _) => known,
            (None, Some(text)) => {
                text.write(arena)?;
                let kind = Kind::of(arena);
                Name { text: arena.split().freeze(), kind }
            }
            (None, None) => return Err(HpackError::Index),
        };
        value.write(arena)?;
        let value = arena.split().freeze();
        let is_valid = name.kind.takes(&value);
        let Name { text: name, kind } = name;
        if goes_into_table {
            *arena = BytesMut::new();
            self.table.insert(Entry { name: name.clone(), value: value.clone(), kind, is_valid });
        }
        Ok(Field { name, value, kind, is_valid })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<_> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<String, HpackError> {
        let mut shown = Vec::new();
        decoder.decode(block, |field| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            shown.push(format!("{}: {}", text(&field.name), text(&field.value)));
        })?;
        Ok(shown.join("\n"))
    }

    /// Blocks one after another on one connection.
    fn check(blocks: &[(&str, Result<&str, HpackError>)]) {
        let mut decoder = Decoder::default();
        for (block, expected) in blocks {
            assert_eq!(decode(&mut decoder, &hex(block)), expected.map(str::to_owned), "{block}");
        }
    }

    #[test]
    fn requests_of_the_specification() {
        let first = ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com";
        let second =
            ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\ncache-control: no-cache";
        let third = ":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\ncustom-key: custom-value";
        // RFC 7541 appendix C.3, and C.4 with the Huffman code.
        check(&[
            ("8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", Ok(first)),
            ("8286 84be 5808 6e6f 2d63 6163 6865", Ok(second)),
            ("8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65", Ok(third)),
        ]);
        check(&[
            ("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", Ok(first)),
            ("8286 84be 5886 a8eb 1064 9cbf", Ok(second)),
            ("8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf", Ok(third)),
        ]);
    }

    #[test]
    fn fields_of_the_specification() {
        // RFC 7541 appendix C.2.
        check(&[
            (
                "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
                Ok("custom-key: custom-header"),
            ),
            ("040c 2f73 616d 706c 652f 7061 7468", Ok(":path: /sample/path")),
            ("1008 7061 7373 776f 7264 0673 6563 7265 74", Ok("password: secret")),
            ("82 be", Ok(":method: GET\ncustom-key: custom-header")),
        ]);
    }

    #[test]
    fn what_is_in_no_table_is_an_error() {
        check(&[("80", Err(HpackError::Index))]);
        check(&[("be", Err(HpackError::Index))]);
        check(&[("7e 00", Err(HpackError::Index))]);
        check(&[("40 01 61", Err(HpackError::Truncated))]);
        check(&[("40 05 61", Err(HpackError::Truncated))]);
        check(&[("ff ff ff ff ff 0f", Err(HpackError::Number))]);
    }

    #[test]
    fn the_table_changes_its_size_at_the_beginning_and_within_limits() {
        check(&[("40 01 61 01 62", Ok("a: b")), ("20 be", Err(HpackError::Index))]);
        check(&[("40 01 61 01 62", Ok("a: b")), ("20 3f e1 1f 82", Ok(":method: GET"))]);
        check(&[("3f e2 1f", Err(HpackError::TableSize))]);
        check(&[("82 20", Err(HpackError::TableSize))]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(blocks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 1..4)) {
            let mut decoder = Decoder::default();
            for block in blocks {
                let _ = decode(&mut decoder, &block);
                prop_assert!(decoder.table.len() <= SIZE_DEFAULT / 32);
            }
        }
    }
}
