//! The order of a hash table of Java's, in which AWS's exports list nearly everything that has a name: parameters,
//! headers, responses, templates, schemas. Found by comparing published exports; all of them agree with it.

use serde_json::{Map, Value};

/// Sorts entries as a table that holds them lists them. Entries at one place keep the order that they came in.
pub(super) fn sort<T>(entries: &mut [T], name: impl Fn(&T) -> &str) {
    let mut places: u32 = 16;
    // A table is three quarters full at most.
    while entries.len() as u64 * 4 > u64::from(places) * 3 {
        places *= 2;
    }
    entries.sort_by_key(|entry| {
        let hash = hash(name(entry));
        (hash ^ (hash >> 16)) & (places - 1)
    });
}

/// An object whose members are in that order.
pub(super) fn object<'a, V>(entries: impl IntoIterator<Item = (&'a String, &'a V)>) -> Map<String, Value>
where
    V: Clone + Into<Value> + 'a,
{
    let mut entries: Vec<_> = entries.into_iter().collect();
    sort(&mut entries, |(name, _)| name.as_str());
    entries.into_iter().map(|(name, value)| (name.clone(), value.clone().into())).collect()
}

/// The members of an object, put in that order.
pub(super) fn members(members: Map<String, Value>) -> Map<String, Value> {
    let mut entries: Vec<_> = members.into_iter().collect();
    sort(&mut entries, |(name, _)| name.as_str());
    entries.into_iter().collect()
}

fn hash(text: &str) -> u32 {
    text.encode_utf16().fold(0, |hash: u32, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)))
}

#[cfg(test)]
mod tests {
    use super::sort;

    fn check(expected: &[&str]) {
        let mut names = expected.to_vec();
        names.sort_unstable();
        sort(&mut names, |name| name);
        assert_eq!(names, expected);
    }

    #[test]
    fn as_published_exports_have_it() {
        let with = |prefix: &str, names: &[&str]| -> Vec<String> {
            names.iter().map(|name| format!("{prefix}{name}")).collect()
        };
        let allow = with("method.response.header.Access-Control-Allow-", &["Methods", "Headers", "Origin"]);
        check(&allow.iter().map(String::as_str).collect::<Vec<_>>());
        check(&["/{proxy+}", "/"]);
        check(&["4\\d{2}", "default", "5\\d{2}"]);
        check(&["Content-Length", "Timestamp", "Content-Type"]);
        check(&["RequestBodyModel", "ArrayOfError", "Error"]);
        check(&["method.request.querystring.type", "method.request.querystring.page"]);
        check(&["application/xml", "application/json"]);
    }
}
