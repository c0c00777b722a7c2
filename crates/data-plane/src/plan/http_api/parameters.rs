//! Parameter mapping of HTTP APIs: which headers, query parameters and path an integration is sent, and which headers and
//! status a client.
//!
//! A value is one reference (`$request.header.x`), text with references in braces (`/pets/${request.path.id}`), or text
//! alone. Stage variables are known at deployment and become text.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use serde_json::Value as Json;
use stagedoor_http::Headers;

use crate::context::ContextVariable;
use crate::exchange::Exchange;
use crate::plan::final_status;
use crate::vtl::JsonPath;

/// How much of a body a mapping looks at, in bytes.
pub const BODY_BYTES_MAX: usize = 100 * 1024;

/// A value to be mapped.
#[derive(Clone, Debug)]
pub struct Expression(Vec<Part>);

#[derive(Clone, Debug)]
enum Part {
    Text(Box<str>),
    Header(Box<str>),
    Query(Box<str>),
    Path,
    PathParameter(Box<str>),
    Body(Arc<JsonPath>),
    WholeBody,
    Context(ContextVariable),
    ResponseHeader(Box<str>),
    ResponseBody(Arc<JsonPath>),
    WholeResponseBody,
    /// A variable that AWS does not know, or that the stage does not have.
    Absent,
}

/// An integration's answer, for values that come from it.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// Its headers.
    pub headers: &'a Headers,
    /// Its body, if an expression needs it.
    pub body: &'a [u8],
    /// The same as JSON, if it is any.
    pub json: Option<&'a Json>,
}

impl Expression {
    /// Parses a value.
    ///
    /// # Errors
    /// A sentence that names the expression and what is wrong with it.
    pub fn parse(text: &str, variables: &BTreeMap<String, String>) -> Result<Self, String> {
        if let Some(name) = text.strip_prefix('$').filter(|name| !name.starts_with('{'))
            && let Some(part) = reference(name, variables)?
        {
            return Ok(Self(vec![part]));
        }
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            literal.push_str(before);
            let found = match after.split_once('}') {
                Some((name, after)) => reference(name, variables)?.map(|part| (part, after)),
                None => None,
            };
            match found {
                Some((part, after)) => {
                    if !literal.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut literal).into()));
                    }
                    parts.push(part);
                    rest = after;
                }
                None => {
                    literal.push_str("${");
                    rest = after;
                }
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() || parts.is_empty() {
            parts.push(Part::Text(literal.into()));
        }
        Ok(Self(parts))
    }

    /// Whether the request's body has to be read for it.
    #[must_use]
    pub fn needs_request_body(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Body(_) | Part::WholeBody))
    }

    /// Whether the answer's body has to be read for it.
    #[must_use]
    pub fn needs_response_body(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::ResponseBody(_) | Part::WholeResponseBody))
    }

    /// Whether a header of the request is looked at.
    #[must_use]
    pub fn needs_request_headers(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Header(_) | Part::Context(_)))
    }

    /// The value; nothing if it is a single reference to nothing.
    #[must_use]
    pub fn value(&self, exchange: &Exchange<'_>, answer: Option<Answer<'_>>) -> Option<String> {
        if let [part] = self.0.as_slice() {
            return part.value(exchange, answer).map(Cow::into_owned);
        }
        let mut text = String::new();
        for part in &self.0 {
            text.push_str(&part.value(exchange, answer).unwrap_or_default());
        }
        Some(text)
    }

    /// The value as JSON: a reference into a body keeps its type.
    #[must_use]
    pub fn json(&self, exchange: &Exchange<'_>) -> Option<Json> {
        if let [Part::Body(path)] = self.0.as_slice() {
            return read_json(&exchange.read_body(), path);
        }
        self.value(exchange, None).map(Json::String)
    }
}

impl Part {
    fn value<'e>(&'e self, exchange: &'e Exchange<'_>, answer: Option<Answer<'e>>) -> Option<Cow<'e, str>> {
        match self {
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Header(name) => joined(exchange.head.headers.get_all(name)),
            Self::Query(name) => {
                let mut values = exchange.query().iter().filter(|(known, _)| **known == **name);
                let first = Cow::Borrowed(values.next()?.1.as_str());
                Some(values.fold(first, |all, (_, value)| Cow::Owned(format!("{all},{value}"))))
            }
            Self::Path => Some(match exchange.path() {
                "" => Cow::Borrowed("/"),
                path => Cow::Borrowed(path),
            }),
            Self::PathParameter(name) => exchange.path_parameter(name).map(Cow::Borrowed),
            Self::Body(path) => {
                read_json(&exchange.read_body(), path).map(|value| Cow::Owned(text_of(value)))
            }
            Self::WholeBody => Some(Cow::Owned(String::from_utf8_lossy(&exchange.read_body()).into_owned())),
            Self::Context(variable) => variable.value(exchange),
            Self::ResponseHeader(name) => joined(answer?.headers.get_all(name)),
            Self::ResponseBody(path) => {
                path.read(answer?.json?).map(|value| Cow::Owned(text_of(value.into_owned())))
            }
            Self::WholeResponseBody => Some(String::from_utf8_lossy(answer?.body)),
            Self::Absent => None,
        }
    }
}

fn joined<'v>(mut values: impl Iterator<Item = &'v Bytes>) -> Option<Cow<'v, str>> {
    let first = String::from_utf8_lossy(values.next()?);
    Some(values.fold(first, |all, value| Cow::Owned(format!("{all},{}", String::from_utf8_lossy(value)))))
}

fn read_json(body: &Bytes, path: &JsonPath) -> Option<Json> {
    if body.len() > BODY_BYTES_MAX {
        return None;
    }
    let document: Json = serde_json::from_slice(body).ok()?;
    path.read(&document).map(Cow::into_owned)
}

fn text_of(value: Json) -> String {
    match value {
        Json::String(text) => text,
        other => other.to_string(),
    }
}

/// What a name refers to; nothing if it is no reference.
fn reference(name: &str, variables: &BTreeMap<String, String>) -> Result<Option<Part>, String> {
    let json_path = |path: &str| {
        let wrong = || format!("Invalid mapping expression specified: ${name}");
        if path.starts_with('.') || path.contains("..") || path.contains("[?") {
            return Err(wrong());
        }
        JsonPath::parse(&format!("$.{path}")).map(Arc::new).map_err(|error| format!("{}: {error}", wrong()))
    };
    Ok(Some(match name.split_once('.') {
        Some(("stageVariables", name)) => {
            variables.get(name).map_or(Part::Absent, |value| Part::Text(value.as_str().into()))
        }
        Some(("context", name)) => ContextVariable::parse(name).map_or(Part::Absent, Part::Context),
        Some(("request", "path")) => Part::Path,
        Some(("request", "body")) => Part::WholeBody,
        Some(("response", "body")) => Part::WholeResponseBody,
        Some((side @ ("request" | "response"), rest)) => match (side, rest.split_once('.')) {
            ("request", Some(("header", name))) => Part::Header(name.into()),
            ("request", Some(("querystring", name))) => Part::Query(name.into()),
            ("request", Some(("path", name))) => Part::PathParameter(name.into()),
            ("request", Some(("body", path))) => Part::Body(json_path(path)?),
            ("response", Some(("header", name))) => Part::ResponseHeader(name.into()),
            ("response", Some(("body", path))) => Part::ResponseBody(json_path(path)?),
            _ => return Err(format!("Invalid mapping expression specified: ${name}")),
        },
        _ => return Ok(None),
    }))
}

/// How a header or a query parameter is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The value is added to those that are there.
    Append,
    /// It takes their place.
    Overwrite,
    /// They are removed.
    Remove,
}

/// A change of something that has a name.
#[derive(Debug)]
pub struct Mapping {
    /// How.
    pub change: Change,
    /// Of what.
    pub name: Box<str>,
    /// To what.
    pub value: Expression,
}

/// What is changed of a request before an integration sees it.
#[derive(Debug, Default)]
pub struct RequestParameters {
    /// Its headers.
    pub headers: Vec<Mapping>,
    /// Its query.
    pub query: Vec<Mapping>,
    /// Its path.
    pub path: Option<Expression>,
    /// Whether the body has to be read for it.
    pub needs_body: bool,
}

/// What is changed of an answer before a client sees it.
#[derive(Debug, Default)]
pub struct ResponseParameters {
    /// Its headers.
    pub headers: Vec<Mapping>,
    /// Its status.
    pub status: Option<Expression>,
    /// Whether the body has to be read for it.
    pub needs_body: bool,
}

/// The response parameters of an integration by the status that they are for.
pub type ByStatus = Vec<(StatusCode, ResponseParameters)>;

impl RequestParameters {
    /// Compiles `requestParameters`; nothing if there are none.
    ///
    /// # Errors
    /// A sentence for the first that cannot be.
    pub fn compile(
        parameters: Option<&BTreeMap<String, String>>,
        variables: &BTreeMap<String, String>,
    ) -> Result<Option<Box<Self>>, String> {
        let mut compiled = Self::default();
        for (target, value) in parameters.into_iter().flatten() {
            let value = Expression::parse(value, variables)?;
            compiled.needs_body |= value.needs_request_body();
            match parse_target(target)? {
                (Change::Overwrite, "path", "") => compiled.path = Some(value),
                (change, "header", name) if stagedoor_http::is_valid_name(name.as_bytes()) => {
                    compiled.headers.push(Mapping { change, name: name.into(), value });
                }
                (change, "querystring", name) if !name.is_empty() => {
                    compiled.query.push(Mapping { change, name: name.into(), value });
                }
                _ => return Err(format!("Invalid Request Actioned Parameter mapping specified: {target}")),
            }
        }
        let none = compiled.headers.is_empty() && compiled.query.is_empty() && compiled.path.is_none();
        Ok((!none).then(|| Box::new(compiled)))
    }
}

impl ResponseParameters {
    /// Compiles `responseParameters`.
    ///
    /// # Errors
    /// A sentence for the first that cannot be.
    pub fn compile(
        parameters: Option<&BTreeMap<String, BTreeMap<String, String>>>,
        variables: &BTreeMap<String, String>,
    ) -> Result<ByStatus, String> {
        let mut by_status = Vec::new();
        for (status, parameters) in parameters.into_iter().flatten() {
            let code = final_status(status).ok_or_else(|| format!("{status:?} is no status code"))?;
            let mut compiled = Self::default();
            for (target, value) in parameters {
                let value = Expression::parse(value, variables)?;
                compiled.needs_body |= value.needs_response_body();
                match parse_target(target)? {
                    (Change::Overwrite, place, "") if place.eq_ignore_ascii_case("statuscode") => {
                        compiled.status = Some(value);
                    }
                    (change, "header", name) if stagedoor_http::is_valid_name(name.as_bytes()) => {
                        compiled.headers.push(Mapping { change, name: name.into(), value });
                    }
                    _ => {
                        return Err(format!(
                            "Invalid Response Actioned Parameter mapping specified: {target}"
                        ));
                    }
                }
            }
            by_status.push((code, compiled));
        }
        Ok(by_status)
    }
}

/// Splits `append:header.x` into how, where and what.
fn parse_target(target: &str) -> Result<(Change, &str, &str), String> {
    let (change, place) = target.split_once(':').unwrap_or(("", target));
    let change = match change {
        "append" => Change::Append,
        "overwrite" => Change::Overwrite,
        "remove" => Change::Remove,
        _ => return Err(format!("{target:?} neither appends, overwrites nor removes a parameter")),
    };
    let (place, name) = place.split_once('.').unwrap_or((place, ""));
    Ok((change, place, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let variables = BTreeMap::from([("color".to_owned(), "red".to_owned())]);
        match Expression::parse(text, &variables) {
            Err(error) => error,
            Ok(expression) => {
                let parts = expression.0.iter().map(|part| match part {
                    Part::Text(text) => text.to_string(),
                    Part::Absent => "<absent>".to_owned(),
                    _ => "<value>".to_owned(),
                });
                parts.collect()
            }
        }
    }

    #[test]
    fn expressions() {
        let check = |text: &str, expected: &str| assert_eq!(shown(text), expected, "{text}");
        check("$request.header.x", "<value>");
        check("$request.path", "<value>");
        check("$request.body.a.b[0]", "<value>");
        check("$response.header.x", "<value>");
        check("$context.requestId", "<value>");
        check("$context.nothing", "<absent>");
        check("$stageVariables.color", "red");
        check("$stageVariables.size", "<absent>");
        check("/a/${request.path.id}/${stageVariables.color}!", "/a/<value>/red!");
        check("text", "text");
        check("", "");
        check("${", "${");
        check("5$", "5$");
        check("$request.body..a", "Invalid mapping expression specified: $request.body..a");
        check("$request.cookie.a", "Invalid mapping expression specified: $request.cookie.a");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in "[${}a-c.]{0,6}(request|context)?[.a-d\\[\\]?*}]{0,12}") {
            let _ = shown(&text);
        }
    }
}
