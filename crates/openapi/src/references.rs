//! `$ref`, inside one document.
//!
//! References to other files and addresses are refused: reading them would let a document choose what this machine
//! opens. A reference that comes back to itself is an error with the way it took, except between models, where it is
//! ordinary (a tree of people, say).

use percent_encoding::percent_decode_str;

use crate::place::Place;

/// How a reference came out.
pub(crate) enum Target<'a> {
    /// A place that holds no reference any more.
    Found(Place<'a>),
    /// Why there is none.
    Failed(String),
}

/// The text of `$ref`, if the place is an object with one.
pub(crate) fn reference(place: &Place<'_>) -> Option<String> {
    let target = place.get("$ref")?;
    target.is_string().then(|| target.text()).flatten()
}

/// Follows references until something else is found.
pub(crate) fn follow<'a>(root: &Place<'a>, place: &Place<'a>) -> Target<'a> {
    let mut seen: Vec<String> = Vec::new();
    let mut place = place.clone();
    while let Some(target) = reference(&place) {
        if seen.contains(&target) {
            seen.push(target);
            return Target::Failed(format!("this reference comes back to itself: {}", seen.join(" -> ")));
        }
        let Some(next) = point(root, &target) else { return Target::Failed(missing(&target)) };
        seen.push(target);
        place = next;
    }
    Target::Found(place)
}

/// Where a reference points to, if that is in this document.
pub(crate) fn point<'a>(root: &Place<'a>, target: &str) -> Option<Place<'a>> {
    let pointer = target.strip_prefix('#')?;
    let mut place = root.clone();
    for part in pointer.split('/').skip(1) {
        let part = percent_decode_str(part).decode_utf8().ok()?.replace("~1", "/").replace("~0", "~");
        place = match part.parse::<usize>() {
            Ok(index) if place.is_list() => place.items().nth(index)?,
            _ => place.get(&part)?,
        };
    }
    Some(place)
}

/// Why a reference cannot be followed.
pub(crate) fn missing(target: &str) -> String {
    if target.starts_with('#') {
        format!("the reference '{target}' points to nothing in this document")
    } else {
        format!(
            "the reference '{target}' leaves this document, and only references that start with '#/' are followed; put \
             what it points to into this document"
        )
    }
}
