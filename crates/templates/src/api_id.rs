//! The id of a project's API: the same each time, so that addresses stay.

use std::path::Path;

use stagedoor_openapi::Place;

use crate::Problem;

/// The extension that sets it.
pub(crate) const NAME: &str = "x-stagedoor-api-id";

/// A host name's part has at most this many characters.
const LENGTH_MAX: usize = 63;

/// The id that a document asks for, or the one that its title gives.
pub(crate) fn read(file: &Path, root: &Place<'_>, title: &str, problems: &mut Vec<Problem>) -> String {
    let Some(place) = root.get(NAME) else { return from_title(title) };
    let id = place.text().unwrap_or_default();
    let plain = |one: char| one.is_ascii_lowercase() || one.is_ascii_digit();
    if id.is_empty() || id.len() > LENGTH_MAX || !id.chars().all(plain) {
        problems.push(Problem::at(file, &place, format!("an API's id has 1 to {LENGTH_MAX} of a-z and 0-9")));
    }
    id
}

/// A title's letters and digits, so that the address says what it is the address of.
pub(crate) fn from_title(title: &str) -> String {
    let letters = title.chars().filter(char::is_ascii_alphanumeric).map(|one| one.to_ascii_lowercase());
    let id: String = letters.take(LENGTH_MAX).collect();
    if !id.is_empty() {
        return id;
    }
    // A title without a single such letter: FNV-1a of it, which is as stable.
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:010x}", title.bytes().fold(0xcbf2_9ce4_8422_2325, step) & 0xff_ffff_ffff)
}

#[cfg(test)]
mod tests {
    #[test]
    fn titles() {
        assert_eq!(super::from_title("Example Pet Store (v2)"), "examplepetstorev2");
        assert_eq!(super::from_title("заказы").len(), 10);
    }
}
