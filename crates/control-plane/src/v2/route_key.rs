//! Route keys of HTTP APIs: `GET /pets/{petId}`, `ANY /{proxy+}`, `$default`.

use crate::ApiError;
use crate::control_plane::bad_request;

/// The key of the route that takes what no other takes.
pub(super) const DEFAULT: &str = "$default";

const METHODS: [&str; 8] = ["ANY", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];

/// Checks a key.
///
/// # Errors
/// [`ApiError::BadRequest`] with AWS's sentence for a key of another form, or with what is wrong with its path.
pub(super) fn check(key: &str) -> Result<(), ApiError> {
    if key == DEFAULT {
        return Ok(());
    }
    let malformed = || {
        ApiError::BadRequest(
            "The provided route key is not formatted properly for HTTP protocol. Format should be \"[HTTP METHOD] \
             /[RESOURCE PATH]\" or \"$default\""
                .to_owned(),
        )
    };
    let (method, path) = key.split_once(' ').ok_or_else(malformed)?;
    if !METHODS.contains(&method) || !path.starts_with('/') || path.contains(['?', '#', ' ']) {
        return Err(malformed());
    }
    let mut names = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let name = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        let inner = name.map_or(segment, |name| name.strip_suffix('+').unwrap_or(name));
        // A path may end with a slash, and be nothing but one.
        let is_end = segment.is_empty() && segments.peek().is_none();
        if !is_end && !is_part(inner) {
            return bad_request(
                "One or more path parts appear to be invalid. Parts are validated against this regular expression: \
                 ^(\\{[\\w.:-]+\\+?\\}|[a-zA-Z0-9.:_-]+)$",
            );
        }
        let Some(name) = name else { continue };
        let greedy = name.ends_with('+');
        let name = name.trim_end_matches('+');
        if greedy && segments.peek().is_some() {
            return Err(malformed());
        }
        if names.contains(&name) {
            return Err(ApiError::BadRequest(format!("The path parameter {name} is there twice in {path}")));
        }
        names.push(name);
    }
    Ok(())
}

/// Whether a part of a path, or the name of a parameter in it, has the characters that it may have.
fn is_part(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte))
}

/// A key without the names of its parameters: two routes whose keys have the same form would take the same requests.
pub(super) fn form(key: &str) -> String {
    let segments = key.split('/').map(|segment| match segment.strip_prefix('{') {
        Some(name) if name.ends_with("+}") => "{+}",
        Some(_) => "{}",
        None => segment,
    });
    segments.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    #[test]
    fn keys() {
        let fits = |key: &str, expected: bool| assert_eq!(super::check(key).is_ok(), expected, "{key}");
        fits("$default", true);
        fits("GET /", true);
        fits("ANY /pets/{id}/x", true);
        fits("ANY /{proxy+}", true);
        fits("GET pets", false);
        fits("GET", false);
        fits("get /pets", false);
        fits("TRACE /pets", false);
        fits("GET  /pets", false);
        fits("GET /{proxy+}/x", false);
        fits("GET /{a}/{a}", false);
        fits("GET /{}", false);
        fits("GET /a{b}", false);
        fits("$connect", false);
    }

    #[test]
    fn forms() {
        let same = |one: &str, other: &str, expected: bool| {
            assert_eq!(super::form(one) == super::form(other), expected, "{one} {other}");
        };
        same("GET /a/{x}", "GET /a/{y}", true);
        same("GET /a/{x}", "GET /a/{x+}", false);
        same("GET /a/{x}", "PUT /a/{x}", false);
    }

    proptest! {
        #[test]
        fn any_text_is_a_key_or_none(key in "[$A-Z]{0,4} ?[/{}+a-c?]{0,12}") {
            let _ = super::check(&key);
            let _ = super::form(&key);
        }
    }
}
