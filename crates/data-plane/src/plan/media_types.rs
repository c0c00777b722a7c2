//! An API's binary media types.

/// The list, and what fits it.
#[derive(Clone, Debug, Default)]
pub struct MediaTypes(Vec<Box<str>>);

impl MediaTypes {
    /// A list of media types; `*` may stand for a type or a subtype.
    #[must_use]
    pub fn new(types: &[String]) -> Self {
        Self(types.iter().map(|text| text.to_ascii_lowercase().into()).collect())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a media type without parameters is in the list.
    #[must_use]
    pub fn contains(&self, media_type: &str) -> bool {
        self.0.iter().any(|listed| match (listed.split_once('/'), media_type.split_once('/')) {
            (Some((listed_type, listed_subtype)), Some((type_, subtype))) => {
                fits(listed_type, type_) && fits(listed_subtype, subtype)
            }
            _ => listed.eq_ignore_ascii_case(media_type),
        })
    }
}

fn fits(listed: &str, given: &str) -> bool {
    listed == "*" || listed.eq_ignore_ascii_case(given)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stand_in_the_list_alone() {
        let list = MediaTypes::new(&["image/png".into(), "application/*".into(), "*/test".into()]);
        let check = |media_type: &str, expected: bool| {
            assert_eq!(list.contains(media_type), expected, "{media_type}");
        };
        check("image/png", true);
        check("Image/PNG", true);
        check("image/jpg", false);
        check("image/*", false);
        check("application/json", true);
        check("random/test", true);
        check("*/*", false);
        check("application", false);
        assert!(MediaTypes::new(&["*/*".into()]).contains("text/plain"));
    }
}
