//! Header fields in the order and spelling in which they were sent.
//!
//! API Gateway hands header names to backends and functions as the client wrote them, so a map that lower-cases
//! its keys cannot carry them. A message has ten to thirty fields: looking one up is a scan, which at that size
//! is faster than hashing.

use bytes::Bytes;

/// One header field. The name is a valid token and the value holds no CR, LF or NUL (RFC 9110 §5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The name, spelled as sent.
    pub name: Bytes,
    /// The value, without surrounding white space.
    pub value: Bytes,
}

impl Header {
    /// Whether this field has the given name, compared without case.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        is_same_name(&self.name, name.as_bytes())
    }

    /// The name as text. Names are ASCII tokens, so nothing is lost.
    #[must_use]
    pub fn name_str(&self) -> &str {
        std::str::from_utf8(&self.name).unwrap_or_default()
    }

    /// The value as text; bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn value_str(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.value)
    }
}

/// An ordered list of header fields; names may repeat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<Header>);

impl Headers {
    /// An empty list.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty list with room for `fields` fields.
    #[must_use]
    pub fn with_capacity(fields: usize) -> Self {
        Self(Vec::with_capacity(fields))
    }

    /// The first value under this name, compared without case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Bytes> {
        self.0.iter().find(|header| header.is(name)).map(|header| &header.value)
    }

    /// The first value under this name, if it is UTF-8.
    #[must_use]
    pub fn get_str(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// All values under this name, in order.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl DoubleEndedIterator<Item = &'a Bytes> {
        self.0.iter().filter(move |header| header.is(name)).map(|header| &header.value)
    }

    /// Whether a field of this name is present.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|header| header.is(name))
    }

    /// Adds a field at the end, beside others of the same name.
    pub fn append(&mut self, name: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.0.push(Header { name: name.into(), value: value.into() });
    }

    /// Puts fields before all others, in the order given.
    pub fn prepend<const N: usize>(&mut self, fields: [(&'static str, Bytes); N]) {
        let field = |(name, value): (&'static str, Bytes)| Header {
            name: Bytes::from_static(name.as_bytes()),
            value,
        };
        self.0.splice(0..0, fields.map(field));
    }

    /// Replaces every field of this name by one; adds it at the end if there was none.
    /// The spelling of the name becomes the new one.
    pub fn set(&mut self, name: impl Into<Bytes>, value: impl Into<Bytes>) {
        let (name, value) = (name.into(), value.into());
        let mut replacement = Some(Header { name: name.clone(), value });
        self.0.retain_mut(|header| {
            if !is_same_name(&header.name, &name) {
                return true;
            }
            match replacement.take() {
                Some(first) => {
                    *header = first;
                    true
                }
                None => false,
            }
        });
        self.0.extend(replacement);
    }

    /// Removes every field of this name.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|header| !header.is(name));
    }

    /// Keeps the fields for which `keep` holds.
    pub fn retain(&mut self, keep: impl FnMut(&Header) -> bool) {
        self.0.retain(keep);
    }

    /// Keeps the fields for which `keep` holds, which may change them.
    pub fn retain_mut(&mut self, keep: impl FnMut(&mut Header) -> bool) {
        self.0.retain_mut(keep);
    }

    /// The fields in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Header> {
        self.0.iter()
    }

    /// The number of fields.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no field.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> IntoIterator for &'a Headers {
    type Item = &'a Header;
    type IntoIter = std::slice::Iter<'a, Header>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl IntoIterator for Headers {
    type Item = Header;
    type IntoIter = std::vec::IntoIter<Header>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl FromIterator<Header> for Headers {
    fn from_iter<T: IntoIterator<Item = Header>>(fields: T) -> Self {
        Self(fields.into_iter().collect())
    }
}

impl Extend<Header> for Headers {
    fn extend<T: IntoIterator<Item = Header>>(&mut self, fields: T) {
        self.0.extend(fields);
    }
}

/// Whether two names are the same, without case. Made for short texts that are mostly spelled alike, or have not even the
/// same length.
pub(crate) fn is_same_name(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).all(|(a, b)| a == b || (a ^ b == 0x20 && a.is_ascii_alphabetic()))
}

/// Whether these bytes form a header name: a non-empty token (RFC 9110 §5.6.2).
#[must_use]
pub fn is_valid_name(name: &[u8]) -> bool {
    !name.is_empty()
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

/// Whether these bytes may stand as a header value: no control characters but tab (RFC 9110 §5.5).
#[must_use]
pub fn is_valid_value(value: &[u8]) -> bool {
    value.iter().all(|&byte| byte == b'\t' || (byte >= 0x20 && byte != 0x7f))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setting_replaces_all_fields_of_the_name_in_place() {
        let mut headers = Headers::new();
        for (name, value) in [("A", "1"), ("x-b", "2"), ("X-B", "3"), ("C", "4")] {
            headers.append(name, value);
        }
        headers.set("X-b", "5");
        headers.set("D", "6");
        let shown: Vec<_> = headers.iter().map(|h| format!("{}={}", h.name_str(), h.value_str())).collect();
        assert_eq!(shown, ["A=1", "X-b=5", "C=4", "D=6"]);
    }

    proptest::proptest! {
        #[test]
        fn names_have_no_case(one in "[!-~]{0,3}", other in "[!-~]{0,3}") {
            let same = |a: &str, b: &str| is_same_name(a.as_bytes(), b.as_bytes());
            proptest::prop_assert_eq!(same(&one, &other), one.eq_ignore_ascii_case(&other));
            proptest::prop_assert!(same(&one, &one.to_ascii_uppercase()));
        }
    }

    #[test]
    fn lookups_ignore_case_and_keep_order() {
        let mut headers = Headers::new();
        headers.append("Accept", "a");
        headers.append("ACCEPT", "b");
        assert_eq!(headers.get_str("accept"), Some("a"));
        assert_eq!(headers.get_all("aCCept").count(), 2);
        headers.remove("accept");
        assert!(headers.is_empty());
    }
}
