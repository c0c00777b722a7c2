//! Lists in pages, as `position` and `limit` ask for them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use serde::de::DeserializeOwned;

use crate::ApiError;
use crate::store::Snapshot;

const LIMIT_DEFAULT: usize = 25;
const LIMIT_MAX: usize = 500;

/// One page: the items, and where the next page begins if there is one.
pub(crate) type Page<T> = (Option<Vec<T>>, Option<String>);

/// Cuts a page out of a list that is sorted by its keys. A position names the last key of the page before, so that
/// what is made or deleted in between neither repeats nor skips anything else.
pub(crate) fn page<T>(
    items: impl IntoIterator<Item = (String, T)>,
    position: Option<&str>,
    limit: Option<i32>,
) -> Result<Page<T>, ApiError> {
    let limit = limit_of(limit);
    let after = position.filter(|position| !position.is_empty()).map(decode).transpose()?;
    let mut rest =
        items.into_iter().skip_while(|(key, _)| after.as_ref().is_some_and(|after| key <= after)).peekable();
    let mut found = Vec::new();
    let mut last = String::new();
    while found.len() < limit
        && let Some((key, item)) = rest.next()
    {
        found.push(item);
        last = key;
    }
    let next = rest.peek().map(|_| STANDARD.encode(&last));
    Ok((Some(found), next))
}

/// One page of what stands below a prefix of the store. It is read no further than the page needs, so that a page of
/// many thousands costs what a page of a few does. `show` turns an entry (its key below the prefix, and its value) into
/// an item, or leaves it out.
pub(crate) fn page_below<T: DeserializeOwned, R>(
    view: &dyn Snapshot,
    prefix: &str,
    position: Option<&str>,
    limit: Option<i32>,
    show: impl Fn(&str, T) -> Result<Option<R>, ApiError>,
) -> Result<Page<R>, ApiError> {
    let limit = limit_of(limit);
    let mut after = match position.filter(|position| !position.is_empty()) {
        Some(position) => Some(format!("{prefix}{}", decode(position)?)),
        None => None,
    };
    let (mut found, mut last) = (Vec::new(), None::<String>);
    loop {
        let batch = view.scan(prefix, after.as_deref(), limit.max(100) + 1)?;
        let Some((end, _)) = batch.last() else { return Ok((Some(found), None)) };
        after = Some(end.clone());
        for (key, entry) in batch {
            let value = serde_json::from_slice(&entry.value).map_err(|error| {
                ApiError::Internal(format!("the store's value under {key} is damaged: {error}"))
            })?;
            let below = key.strip_prefix(prefix).unwrap_or(&key);
            let Some(item) = show(below, value)? else { continue };
            if found.len() == limit {
                return Ok((Some(found), last.map(|last| STANDARD.encode(last))));
            }
            found.push(item);
            last = Some(below.to_owned());
        }
    }
}

/// How many items a page has. AWS takes a limit below 1 as if there were none.
fn limit_of(limit: Option<i32>) -> usize {
    match limit.map(usize::try_from) {
        Some(Ok(limit)) if limit >= 1 => limit.min(LIMIT_MAX),
        _ => LIMIT_DEFAULT,
    }
}

fn decode(position: &str) -> Result<String, ApiError> {
    let key = STANDARD.decode(position).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    key.ok_or_else(|| ApiError::BadRequest("Invalid position specified".to_owned()))
}

/// A key by which things sort in the order in which they were made.
pub(crate) fn by_date(date: Option<f64>, id: &str) -> String {
    // Milliseconds in a fixed width sort as text as they do as numbers.
    format!("{:016}{id}", (date.unwrap_or_default() * 1000.0) as u64)
}

/// A key for lists with the newest first.
pub(crate) fn newest_first(date: Option<f64>, id: &str) -> String {
    format!("{:020}{id}", u64::MAX - (date.unwrap_or_default() * 1000.0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_cover_a_list_once() {
        let list = || (10..40).map(|number: i32| (number.to_string(), number));
        let mut seen = Vec::new();
        let mut position = None;
        loop {
            let (items, next) = page(list(), position.as_deref(), Some(7)).unwrap();
            seen.extend(items.unwrap());
            match next {
                Some(next) => position = Some(next),
                None => break,
            }
        }
        assert_eq!(seen, (10..40).collect::<Vec<_>>());
        assert_eq!(page(list(), None, None).unwrap().0.unwrap().len(), 25);
        assert_eq!(page(list(), None, Some(30)).unwrap().1, None);
        assert_eq!(page(list(), None, Some(-1)).unwrap().0.unwrap().len(), 25);
        assert!(page(list(), Some("?"), None).is_err());
    }
}
