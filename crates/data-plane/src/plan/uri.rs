//! Integration URIs: where an HTTP backend is, and how the target for it is put together; which Lambda function an
//! ARN names.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use stagedoor_http::Target;

use super::mapping::Source;
use crate::exchange::Exchange;
use crate::upstream::Upstream;

/// What a value must not hold as it stands when it becomes part of a path. The slash may stay: a greedy parameter is
/// more than one segment.
const PATH_VALUE: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}')
    .add(b'%');

/// What a path made by a mapping must not hold as it stands. What is encoded already stays.
pub(crate) const MAPPED_PATH: &AsciiSet = &PATH_VALUE.remove(b'%');

/// What a value must not hold as it stands when it becomes part of a query.
pub(crate) const QUERY_VALUE: &AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'*');

/// An HTTP backend's URL, split at its path parameters.
#[derive(Debug)]
pub struct UriTemplate {
    /// The backend.
    pub upstream: Upstream,
    pieces: Vec<Piece>,
    /// The query that the URL itself has, which may hold parameters too.
    query: Option<Vec<Piece>>,
    /// What is asked for where nothing depends on the request.
    constant: Option<Target>,
}

#[derive(Debug)]
enum Piece {
    Literal(Box<str>),
    /// `{name}`, and the value that `integration.request.path.name` maps to it.
    Parameter(Box<str>, Option<Source>),
}

impl UriTemplate {
    /// Splits a URL whose stage variables are already replaced.
    ///
    /// # Errors
    /// AWS's sentence if it is no HTTP URL.
    pub fn parse(url: &str, path_mappings: &BTreeMap<&str, Source>) -> Result<Self, String> {
        let (upstream, rest) = Upstream::parse(url).map_err(|error| error.to_string())?;
        let rest = rest.split('#').next().unwrap_or_default();
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        let pieces = split(if path.is_empty() { "/" } else { path }, path_mappings);
        let query = query.map(|query| split(query, path_mappings));
        let constant = match (&pieces[..], query.as_deref().unwrap_or_default()) {
            ([Piece::Literal(path)], []) => Some(Target::from(path.to_string())),
            _ => None,
        };
        Ok(Self { upstream, pieces, query, constant })
    }

    /// The target for a request: the path with its parameters, the URL's own query and the given one.
    /// `overrides` come before mappings.
    #[must_use]
    pub fn target(
        &self,
        exchange: &Exchange<'_>,
        overrides: &[(String, String)],
        query: Option<&str>,
    ) -> Target {
        let query = query.filter(|query| !query.is_empty());
        if let (Some(constant), None) = (&self.constant, query) {
            return constant.clone();
        }
        let mut target = String::with_capacity(128);
        push(&mut target, &self.pieces, Place::Path, exchange, overrides);
        let mut separator = '?';
        if let Some(own) = self.query.as_deref().filter(|own| !own.is_empty()) {
            target.push(separator);
            push(&mut target, own, Place::Query, exchange, overrides);
            separator = '&';
        }
        if let Some(query) = query {
            target.push(separator);
            target.push_str(query);
        }
        target.into()
    }
}

/// Cuts a path or a query at its parameters.
fn split(text: &str, mappings: &BTreeMap<&str, Source>) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((literal, name, after)) = next_parameter(rest) {
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal.into()));
        }
        let name = name.trim_end_matches('+');
        pieces.push(Piece::Parameter(name.into(), mappings.get(name).cloned()));
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Literal(utf8_percent_encode(rest, CONTROLS).to_string().into()));
    }
    pieces
}

/// Where a value goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Path,
    Query,
}

/// Puts pieces together; what a value may not hold as it stands is encoded.
fn push(
    target: &mut String,
    pieces: &[Piece],
    place: Place,
    exchange: &Exchange<'_>,
    overrides: &[(String, String)],
) {
    for piece in pieces {
        let (name, source) = match piece {
            Piece::Literal(text) => {
                target.push_str(text);
                continue;
            }
            Piece::Parameter(name, source) => (name, source),
        };
        let overridden = overrides.iter().find(|(candidate, _)| **candidate == **name);
        match (overridden, source) {
            (Some((_, value)), _) => push_encoded(target, value, place),
            // It stands in the client's path as it is to stand in ours.
            (None, Some(Source::Path(name))) => {
                let value = exchange.path_parameter(name).unwrap_or_default();
                match place {
                    Place::Path => target.push_str(value),
                    Place::Query => {
                        push_encoded(target, &percent_decode_str(value).decode_utf8_lossy(), place)
                    }
                }
            }
            (None, Some(source)) => {
                let value = source.value(exchange).unwrap_or(Cow::Borrowed(""));
                push_encoded(target, &value, place);
            }
            // AWS sends a parameter that nothing maps as it stands; braces have to be encoded.
            (None, None) => {
                target.push_str("%7B");
                target.push_str(name);
                target.push_str("%7D");
            }
        }
    }
}

impl std::fmt::Display for UriTemplate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (separator, pieces) in [("", Some(&self.pieces)), ("?", self.query.as_ref())] {
            let Some(pieces) = pieces else { continue };
            f.write_str(separator)?;
            for piece in pieces {
                match piece {
                    Piece::Literal(text) => f.write_str(text)?,
                    Piece::Parameter(name, _) => write!(f, "{{{name}}}")?,
                }
            }
        }
        Ok(())
    }
}

fn push_encoded(target: &mut String, value: &str, place: Place) {
    let unsafe_there = if place == Place::Path { PATH_VALUE } else { QUERY_VALUE };
    target.extend(utf8_percent_encode(value, unsafe_there));
}

/// Splits `before{name}after`.
fn next_parameter(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once('{')?;
    let (name, after) = rest.split_once('}')?;
    (!name.contains(['/', '{'])).then_some((before, name, after))
}

/// Replaces `${stageVariables.x}`. The second value tells whether a variable was missing: AWS deploys such a method
/// and fails when it is called.
#[must_use]
pub fn replace_stage_variables<'t>(
    text: &'t str,
    variables: &BTreeMap<String, String>,
) -> (Cow<'t, str>, bool) {
    const START: &str = "${stageVariables.";
    if !text.contains(START) {
        return (Cow::Borrowed(text), false);
    }
    let (mut replaced, mut missing) = (String::with_capacity(text.len()), false);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(START) {
        replaced.push_str(before);
        let Some((name, after)) = after.split_once('}') else {
            replaced.push_str(START);
            rest = after;
            continue;
        };
        match variables.get(name) {
            Some(value) => replaced.push_str(value),
            None => missing = true,
        }
        rest = after;
    }
    replaced.push_str(rest);
    (Cow::Owned(replaced), missing)
}

/// The function that an integration's ARN invokes:
/// `arn:aws:apigateway:{region}:lambda:path/2015-03-31/functions/{function}/invocations`, or for an answer that streams
/// `…:lambda:path/2021-11-15/functions/{function}/response-streaming-invocations`.
///
/// # Errors
/// A sentence if the ARN is malformed or for another service.
pub fn lambda_function(uri: &str) -> Result<Arc<str>, String> {
    let mut parts = uri.splitn(6, ':');
    let service = match (parts.next(), parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some("arn"), Some(_), Some("apigateway"), Some(_), Some(service)) => service,
        _ => return Err("Invalid ARN specified in the request".to_owned()),
    };
    if service != "lambda" {
        return Err(format!(
            "AWS_PROXY integrations with {service:?} are not supported, Lambda functions are"
        ));
    }
    let action = parts.next().unwrap_or_default();
    let path = action.strip_prefix("path/").map(|path| path.trim_start_matches('/'));
    let function = path
        .and_then(|path| {
            let buffered = path.strip_prefix("2015-03-31/functions/");
            let streamed = path.strip_prefix("2021-11-15/functions/");
            buffered
                .and_then(|path| path.strip_suffix("/invocations"))
                .or_else(|| streamed?.strip_suffix("/response-streaming-invocations"))
        })
        .filter(|function| !function.is_empty());
    function.map(Arc::from).ok_or_else(|| {
        format!("{uri:?} does not end in lambda:path/2015-03-31/functions/FUNCTION_ARN/invocations")
    })
}

/// The function that a URI names: its own ARN, or the one of its invocation through API Gateway.
pub(super) fn function_arn(uri: &str) -> Result<Arc<str>, String> {
    let is_function = uri.split(':').nth(2) == Some("lambda") && uri.split(':').nth(5) == Some("function");
    if is_function { Ok(Arc::from(uri)) } else { lambda_function(uri) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let check = |url: &str, expected: &str| {
            let parsed = UriTemplate::parse(url, &BTreeMap::new());
            let shown = parsed.map_or("refused".to_owned(), |uri| {
                let joined = |pieces: &Vec<Piece>| {
                    let shown = pieces.iter().map(|piece| match piece {
                        Piece::Literal(text) => text.to_string(),
                        Piece::Parameter(name, _) => format!("<{name}>"),
                    });
                    shown.collect::<Vec<_>>().join("|")
                };
                format!(
                    "{} {} {:?}",
                    uri.upstream.authority,
                    joined(&uri.pieces),
                    uri.query.as_ref().map(joined)
                )
            });
            assert_eq!(shown, expected, "{url}");
        };
        check("http://localhost:3000", "localhost:3000 / None");
        check("https://example.org/a/{b}/c/{d+}?x=1#f", r#"example.org /a/|<b>|/c/|<d> Some("x=1")"#);
        check("http://example.org?x", r#"example.org / Some("x")"#);
        check("http://e.org/a?b={c}&d={e}", r#"e.org /a Some("b=|<c>|&d=|<e>")"#);
        check("http://e.org/a{b/c}d", "e.org /a{b/c}d None");
        check("ftp://e.org/", "refused");
        check("https://", "refused");
    }

    #[test]
    fn stage_variables() {
        let variables = BTreeMap::from([("host".to_owned(), "e.org".to_owned())]);
        let check = |text: &str, expected: &str, missing: bool| {
            assert_eq!(replace_stage_variables(text, &variables), (Cow::from(expected), missing), "{text}");
        };
        check("https://${stageVariables.host}/a", "https://e.org/a", false);
        check("https://${stageVariables.other}/a", "https:///a", true);
        check("plain ${other} ${stageVariables.host", "plain ${other} ${stageVariables.host", false);
    }

    #[test]
    fn functions() {
        let check = |uri: &str, expected: Result<&str, &str>| {
            let found = lambda_function(uri);
            match expected {
                Ok(function) => assert_eq!(found.as_deref(), Ok(function), "{uri}"),
                Err(part) => {
                    assert!(found.as_ref().is_err_and(|error| error.contains(part)), "{uri}: {found:?}")
                }
            }
        };
        let function = "arn:aws:lambda:us-east-1:000000000000:function:orders:live";
        let base = "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions";
        check(&format!("{base}/{function}/invocations"), Ok(function));
        check(&format!("{base}//invocations"), Err("does not end in"));
        check(&format!("{base}/{function}/response-streaming-invocations"), Err("does not end in"));
        let base = base.replace("2015-03-31", "2021-11-15");
        check(&format!("{base}/{function}/response-streaming-invocations"), Ok(function));
        check("arn:aws:apigateway:us-east-1:sqs:path/1/queue", Err("\"sqs\""));
        check("http://example.org", Err("Invalid ARN"));
    }

    proptest::proptest! {
        #[test]
        fn pieces_add_up_to_the_url(path in "/[a-z{}?/é]{0,30}") {
            let url = format!("http://e.org{path}");
            let parsed = UriTemplate::parse(&url, &BTreeMap::new()).unwrap();
            let own = path.split(['?', '#']).next().unwrap();
            let joined: String = parsed
                .pieces
                .iter()
                .map(|piece| match piece {
                    Piece::Literal(text) => percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned(),
                    Piece::Parameter(name, _) => format!("{{{name}}}"),
                })
                .collect();
            proptest::prop_assert_eq!(joined, own);
        }

        #[test]
        fn any_arn_is_read_or_refused(uri in "(arn:aws:apigateway:r:(lambda|s3):)?\\PC{0,40}") {
            let _ = lambda_function(&uri);
            let _ = replace_stage_variables(&uri, &BTreeMap::new());
        }
    }
}
