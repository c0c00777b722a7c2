//! Lists in pages: `MaxItems` and `Marker`.

use serde_json::{Map, Value};

use super::respond::{Answer, ApiError};
use super::routes::Route;

/// Answers one page of a list under the name of its member. Items come with keys, in the order of these; a page that is not
/// the last tells the key of its last item as `NextMarker`. `asked_max` is the most that may be asked for, and `shown_max`
/// the most that is shown.
///
/// # Errors
/// `ValidationException` for a `MaxItems` out of bounds.
pub(super) fn page(
    route: &Route,
    member: &str,
    (asked_max, shown_max): (u64, usize),
    items: impl IntoIterator<Item = (String, Value)>,
) -> Result<Answer, ApiError> {
    let count = match route.query.get("MaxItems") {
        None => shown_max,
        Some(text) => {
            let refuse = |bound| Err(ApiError::validation(text, "maxItems", bound));
            match text.parse::<u64>() {
                Ok(count) if count > asked_max => {
                    return refuse(&format!("Member must have value less than or equal to {asked_max}"));
                }
                Ok(count) if count > 0 => usize::try_from(count).unwrap_or(shown_max).min(shown_max),
                _ => return refuse("Member must have value greater than or equal to 1"),
            }
        }
    };
    let after = route.query.get("Marker").map(String::as_str);
    let mut rest = items.into_iter().skip_while(|(key, _)| after.is_some_and(|after| key.as_str() <= after));
    let (mut shown, mut last) = (Vec::new(), String::new());
    for (key, item) in rest.by_ref().take(count) {
        last = key;
        shown.push(item);
    }
    let mut body = Map::new();
    body.insert(member.to_owned(), Value::Array(shown));
    if rest.next().is_some() {
        body.insert("NextMarker".to_owned(), Value::String(last));
    }
    Ok(Answer::json(200, &Value::Object(body)))
}

/// A key by which numbers are in order.
pub(super) fn ascending(number: u64) -> String {
    format!("{number:020}")
}

/// A key by which numbers are in the opposite order.
pub(super) fn descending(number: u64) -> String {
    ascending(u64::MAX - number)
}
