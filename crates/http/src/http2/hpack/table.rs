//! The two tables of fields that header blocks refer to (RFC 7541 section 2.3).

use std::collections::VecDeque;

use bytes::Bytes;

use super::Kind;

/// What each side may keep unless it says otherwise, in bytes. We never say so.
pub(super) const SIZE_DEFAULT: usize = 4096;
/// What an entry counts beside its texts.
const ENTRY_BYTES: usize = 32;

/// A field of a table.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: Bytes,
    pub(super) value: Bytes,
    pub(super) kind: Kind,
    /// Whether it may stand in a request.
    pub(super) is_valid: bool,
}

impl Entry {
    pub(super) fn size(&self) -> usize {
        self.name.len() + self.value.len() + ENTRY_BYTES
    }
}

/// The fields that came lately, the last one first.
#[derive(Debug)]
pub(super) struct Table {
    entries: VecDeque<Entry>,
    size: usize,
    size_max: usize,
}

impl Default for Table {
    fn default() -> Self {
        Self { entries: VecDeque::new(), size: 0, size_max: SIZE_DEFAULT }
    }
}

impl Table {
    /// The entry at a place, counted from 0.
    pub(super) fn get(&self, place: usize) -> Option<&Entry> {
        self.entries.get(place)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn set_size_max(&mut self, size_max: usize) {
        self.size_max = size_max;
        self.make_room(0);
    }

    /// Puts an entry before all others. Those that do not fit any more go; one that is larger than the table empties it.
    pub(super) fn insert(&mut self, entry: Entry) {
        let size = entry.size();
        self.make_room(size);
        if size <= self.size_max {
            self.size += size;
            self.entries.push_front(entry);
        }
    }

    fn make_room(&mut self, size: usize) {
        while self.size + size > self.size_max
            && let Some(oldest) = self.entries.pop_back()
        {
            self.size -= oldest.size();
        }
    }
}

/// The kind of a static entry's name.
pub(super) fn static_kind(index: usize) -> Kind {
    match index {
        1 => Kind::Authority,
        2 | 3 => Kind::Method,
        4 | 5 => Kind::Path,
        6 | 7 => Kind::Scheme,
        8..=14 | 57 => Kind::Malformed,
        28 => Kind::ContentLength,
        32 => Kind::Cookie,
        38 => Kind::Host,
        _ => Kind::Regular,
    }
}

/// The place of a name in the static table, if it is there.
pub(super) fn static_index(name: &[u8]) -> Option<usize> {
    // The length leaves a few, and of each name the first place counts.
    let candidates: &[u8] = match name.len() {
        3 => &[21, 60],
        4 => &[33, 34, 37, 38, 45, 59],
        5 => &[22, 50],
        6 => &[19, 32, 35, 54],
        7 => &[36, 51, 52],
        8 => &[39, 42, 46],
        10 => &[55, 58],
        11 => &[53],
        12 => &[31, 47],
        13 => &[18, 23, 24, 30, 41, 44],
        14 => &[15, 28],
        15 => &[16, 17],
        16 => &[26, 27, 29, 61],
        17 => &[40, 57],
        18 => &[48],
        19 => &[25, 43, 49],
        25 => &[56],
        27 => &[20],
        _ => &[],
    };
    candidates.iter().map(|&index| usize::from(index)).find(|&index| {
        STATIC.get(index - 1).is_some_and(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()))
    })
}

/// RFC 7541 appendix A. Indices begin at 1.
#[rustfmt::skip]
pub(super) static STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_static_table_is_what_it_is_said_to_be() {
        for (index, (name, _)) in (1..).zip(&STATIC) {
            assert_eq!(static_kind(index), Kind::of(name.as_bytes()), "{name}");
            if !name.starts_with(':') {
                let found = static_index(name.to_uppercase().as_bytes());
                let first = 1 + STATIC.iter().position(|(known, _)| known == name).unwrap();
                assert_eq!(found, Some(first), "{name}");
            }
        }
        assert_eq!(static_index(b"x-other"), None);
    }

    #[test]
    fn a_table_keeps_what_fits() {
        let entry = |value: &'static str| Entry {
            name: Bytes::from_static(b"n"),
            value: Bytes::from_static(value.as_bytes()),
            kind: Kind::Regular,
            is_valid: true,
        };
        let show = |table: &Table| -> Vec<_> {
            (0..table.len()).map(|at| table.get(at).unwrap().value.clone()).collect()
        };
        let mut table = Table::default();
        table.set_size_max(70);
        for value in ["a", "b", "c"] {
            table.insert(entry(value));
        }
        assert_eq!(show(&table), ["c", "b"]);
        table.insert(entry("1234"));
        assert_eq!(show(&table), ["1234"]);
        table.set_size_max(36);
        assert_eq!(show(&table), [""; 0]);
        table.insert(entry("abcd"));
        assert_eq!(show(&table), [""; 0]);
        assert_eq!(table.size, 0);
    }
}
