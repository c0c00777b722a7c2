//! Selection expressions: which route, template, model or response is the one for a message.
//!
//! A variable begins with `$` and may stand in braces (`${request.body.version}-beta`); a backslash before a `$` makes
//! it a plain one, as in `\$default`. What variables evaluate to is not evaluated again.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value as Json;

use crate::context::ContextVariable;
use crate::exchange::Exchange;
use crate::phases::transformation::Selector;
use crate::vtl::JsonPath;

/// The key of what is taken where nothing else fits.
pub const DEFAULT: &str = "$default";

/// An expression, parsed.
#[derive(Clone, Debug, Default)]
pub struct Expression(Vec<Part>);

#[derive(Clone, Debug)]
enum Part {
    Text(Box<str>),
    Body(Arc<JsonPath>),
    Header(Box<str>),
    Query(Box<str>),
    Context(ContextVariable),
    /// The status of the integration's answer, or the error message of a function that failed.
    ResponseStatus,
    ResponseHeader(Box<str>),
    ResponseHeaders(Box<str>),
    ResponseBody(Arc<JsonPath>),
    /// A variable that there is not.
    Absent,
}

impl Expression {
    /// Parses an expression.
    ///
    /// # Errors
    /// A sentence that names the expression and what is wrong with it.
    pub fn parse(text: &str, variables: &BTreeMap<String, String>) -> Result<Self, String> {
        let (mut parts, mut literal, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['$', '\\']) {
            let (before, from) = rest.split_at(at);
            literal.push_str(before);
            if let Some(after) = from.strip_prefix("\\$") {
                literal.push('$');
                rest = after;
                continue;
            }
            let found = split_variable(from);
            let Some((name, after)) = found else {
                let mut characters = from.chars();
                literal.extend(characters.next());
                rest = characters.as_str();
                continue;
            };
            // Written without the backslash it can mean nothing else.
            if name == "default" {
                literal.push_str(DEFAULT);
            } else {
                if !literal.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut literal).into()));
                }
                parts.push(variable(name, variables).map_err(|error| format!("{text:?}: {error}"))?);
            }
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() || parts.is_empty() {
            parts.push(Part::Text(literal.into()));
        }
        Ok(Self(parts))
    }

    /// What it evaluates to; nothing if a variable has no value.
    #[must_use]
    pub fn evaluate<'e>(&'e self, exchange: &'e Exchange<'_>) -> Option<Cow<'e, str>> {
        if let [part] = self.0.as_slice() {
            return part.value(exchange);
        }
        let mut text = String::new();
        for part in &self.0 {
            text.push_str(&part.value(exchange)?);
        }
        Some(Cow::Owned(text))
    }
}

impl Part {
    fn value<'e>(&'e self, exchange: &'e Exchange<'_>) -> Option<Cow<'e, str>> {
        let answer = exchange.integration_answer.as_ref();
        match self {
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Body(path) => read(exchange, &exchange.read_body(), path).map(Cow::Owned),
            Self::Header(name) => exchange.header(name),
            Self::Query(name) => exchange.query_parameter(name).map(Cow::Borrowed),
            Self::Context(variable) => variable.value(exchange),
            Self::ResponseStatus => {
                match answer.and_then(|answer| answer.selector.as_ref()).map(Selector::as_str) {
                    Some(selector) => Some(Cow::Borrowed(selector)),
                    None => exchange.record.integration.status.map(|status| Cow::Owned(status.to_string())),
                }
            }
            Self::ResponseHeader(name) => {
                let header = answer?.headers.iter().rfind(|header| header.is(name))?;
                Some(header.value_str())
            }
            Self::ResponseHeaders(name) => {
                let mut values = answer?.headers.iter().filter(|header| header.is(name));
                let first = values.next()?.value_str();
                Some(values.fold(first, |all, header| Cow::Owned(format!("{all},{}", header.value_str()))))
            }
            Self::ResponseBody(path) => read(exchange, &answer?.body, path).map(Cow::Owned),
            Self::Absent => None,
        }
    }
}

/// What stands in a JSON text at a path, as text; nothing for null and for what is no JSON.
fn read(exchange: &Exchange<'_>, body: &Bytes, path: &JsonPath) -> Option<String> {
    found(exchange.document(body).as_ref().as_ref().ok()?, path)
}

fn found(document: &Json, path: &JsonPath) -> Option<String> {
    match path.read(document)?.as_ref() {
        Json::Null => None,
        Json::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// `$name` or `${name}` at the beginning of a text: the name, and what follows.
fn split_variable(from: &str) -> Option<(&str, &str)> {
    let name = from.strip_prefix('$')?;
    if let Some(braced) = name.strip_prefix('{') {
        return braced.split_once('}');
    }
    let part_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '[' | ']');
    let end = name.find(|c| !part_of_name(c)).unwrap_or(name.len());
    let end = name.get(..end)?.trim_end_matches(['.', '-']).len();
    let (name, after) = name.split_at(end);
    (!name.is_empty()).then_some((name, after))
}

fn variable(name: &str, variables: &BTreeMap<String, String>) -> Result<Part, String> {
    let path = |path: &str| {
        let parsed = JsonPath::parse(&format!("$.{path}"));
        parsed.map(Arc::new).map_err(|error| format!("Invalid selection expression specified: {error}"))
    };
    if let Some(name) = name.strip_prefix("context.") {
        return Ok(ContextVariable::parse(name).map_or(Part::Absent, Part::Context));
    }
    if let Some(name) = name.strip_prefix("stageVariables.") {
        return Ok(variables.get(name).map_or(Part::Absent, |value| Part::Text(value.as_str().into())));
    }
    if let Some(rest) = name.strip_prefix("request.body.") {
        return path(rest).map(Part::Body);
    }
    if let Some(rest) = name.strip_prefix("integration.response.body.") {
        return path(rest).map(Part::ResponseBody);
    }
    if name.eq_ignore_ascii_case("integration.response.statuscode") {
        return Ok(Part::ResponseStatus);
    }
    type Maker = fn(Box<str>) -> Part;
    let makers: [(&str, Maker); 4] = [
        ("request.header.", Part::Header),
        ("request.querystring.", Part::Query),
        ("integration.response.header.", Part::ResponseHeader),
        ("integration.response.multivalueheader.", Part::ResponseHeaders),
    ];
    let found = makers.iter().find_map(|(prefix, make)| Some(make(name.strip_prefix(prefix)?.into())));
    found.ok_or_else(|| format!("Invalid selection expression specified: ${name} is no variable"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let variables = BTreeMap::from([("color".to_owned(), "red".to_owned())]);
        let Ok(expression) = Expression::parse(text, &variables) else { return "refused".to_owned() };
        let parts = expression.0.iter().map(|part| match part {
            Part::Text(text) => text.to_string(),
            Part::Header(name) => format!("<header {name}>"),
            Part::Absent => "<absent>".to_owned(),
            _ => "<value>".to_owned(),
        });
        parts.collect()
    }

    #[test]
    fn expressions() {
        let check = |text: &str, expected: &str| assert_eq!(shown(text), expected, "{text}");
        check("$request.body.action", "<value>");
        check("${request.body.action}", "<value>");
        check("$request.body.a.b[0].c", "<value>");
        check("${request.body.version}-beta", "<value>-beta");
        check("$request.body.a.$request.body.b", "<value>.<value>");
        check("$default", "$default");
        check("\\$default", "$default");
        check("\\$request.body.a", "$request.body.a");
        check("200", "200");
        check("", "");
        check("$request.header.x-api-key", "<header x-api-key>");
        check("$context.connectionId/$context.nothing", "<value>/<absent>");
        check("$stageVariables.color-$stageVariables.size", "red-<absent>");
        check("${integration.response.statuscode}", "<value>");
        check("$integration.response.header.X", "<value>");
        check("5$ \\ ${", "5$ \\ ${");
        check("$nothing", "refused");
        check("${request.body.a[}", "refused");
    }

    #[test]
    fn values_in_bodies() {
        let check = |body: &str, path: &str, expected: Option<&str>| {
            let path = JsonPath::parse(path).unwrap();
            let document: Json = serde_json::from_str(body).unwrap();
            assert_eq!(found(&document, &path).as_deref(), expected, "{body}");
        };
        check(r#"{"a":"x"}"#, "$.a", Some("x"));
        check(r#"{"a":{"b":[1,true]}}"#, "$.a.b[0]", Some("1"));
        check(r#"{"a":{"b":[1,true]}}"#, "$.a.b[1]", Some("true"));
        check(r#"{"a":null}"#, "$.a", None);
        check(r#"{"a":"x"}"#, "$.b", None);
        check(r#""text""#, "$.a", None);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in "[$\\\\{}a-c.\\[\\]-]{0,8}(request\\.body\\.)?\\PC{0,12}") {
            let _ = shown(&text);
        }
    }
}
