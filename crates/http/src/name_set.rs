//! Sets of header names.

use crate::headers::is_same_name;

/// Header names to compare others with, without case. Most names are told apart by their lengths, which costs next to
/// nothing: a request's fields go through several such sets.
#[derive(Clone, Copy, Debug)]
pub struct NameSet {
    names: &'static [&'static str],
    /// One bit for each length that a name has.
    lengths: u64,
}

impl NameSet {
    /// The set of these names, each shorter than 64 letters.
    #[must_use]
    #[expect(
        clippy::indexing_slicing,
        reason = "the only way through a list in what is evaluated when it is compiled"
    )]
    pub const fn of(names: &'static [&'static str]) -> Self {
        let (mut lengths, mut place) = (0, 0);
        while place < names.len() {
            lengths |= 1 << names[place].len();
            place += 1;
        }
        Self { names, lengths }
    }

    /// Whether a name is one of them.
    #[must_use]
    pub fn contains(&self, name: &[u8]) -> bool {
        let length = name.len();
        length < 64
            && self.lengths >> length & 1 == 1
            && self.names.iter().any(|known| is_same_name(known.as_bytes(), name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_no_case_and_any_length() {
        const SET: NameSet = NameSet::of(&["te", "connection", "keep-alive"]);
        let check =
            |name: &str, expected: bool| assert_eq!(SET.contains(name.as_bytes()), expected, "{name}");
        check("TE", true);
        check("Connection", true);
        check("keep-alive", true);
        check("connectiom", false);
        check("", false);
        check(&"x".repeat(64 + 2), false);
    }
}
