//! Parameter mappings: where a value comes from, parsed once.
//!
//! Requests map `method.request.*`, `context.*`, `stageVariables.*` and `'text'` to the integration's path, query and
//! headers; responses map `integration.response.*` and the rest to the method's headers. Stage variables are known at
//! deployment and become text.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use smallvec::SmallVec;
use stagedoor_http::Header;
use stagedoor_velocity::json_text;

use crate::context::ContextVariable;
use crate::document::Document;
use crate::exchange::Exchange;
use crate::phases::headers::Added;
use crate::vtl::JsonPath;

/// Where a mapped value comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// `'text'`, or a stage variable.
    Static(Arc<str>),
    /// A stage variable that the stage does not have, or a `$context` name that AWS does not know.
    Absent,
    /// `method.request.path.x`. The value stays as it is encoded.
    Path(Arc<str>),
    /// `method.request.querystring.x`: the last value.
    Query(Arc<str>),
    /// `method.request.multivaluequerystring.x`: all values.
    MultiValueQuery(Arc<str>),
    /// `method.request.header.x`: the last value.
    Header(Arc<str>),
    /// `method.request.multivalueheader.x`: all values.
    MultiValueHeader(Arc<str>),
    /// A header that the gateway adds to every request, under either name.
    Added(Added),
    /// `method.request.body`.
    Body,
    /// `method.request.body.x`: a JSONPath below `$.`.
    BodyPath(Arc<JsonPath>),
    /// `context.x`.
    Context(ContextVariable),
    /// `integration.response.header.x`: the last value.
    ResponseHeader(Arc<str>),
    /// `integration.response.multivalueheader.x`: all values.
    ResponseMultiValueHeader(Arc<str>),
    /// `integration.response.body`.
    ResponseBody,
    /// `integration.response.body.x`: a JSONPath below `$.`.
    ResponseBodyPath(Arc<JsonPath>),
}

/// The values of a source; nearly always one or none.
pub type Values<'e> = SmallVec<[Cow<'e, str>; 1]>;

impl Source {
    /// Parses a mapping expression.
    ///
    /// # Errors
    /// A sentence that names the expression and what is wrong with it.
    pub fn parse(expression: &str, variables: &BTreeMap<String, String>) -> Result<Self, String> {
        if let Some(text) = expression.strip_prefix('\'') {
            let Some(text) = text.strip_suffix('\'') else {
                return Err(format!(
                    "Invalid mapping expression specified: the text {expression} has no end"
                ));
            };
            return Ok(Self::Static(text.into()));
        }
        if let Some(name) = expression.strip_prefix("stageVariables.") {
            return Ok(variables.get(name).map_or(Self::Absent, |value| Self::Static(value.as_str().into())));
        }
        if let Some(name) = expression.strip_prefix("context.") {
            return Ok(ContextVariable::parse(name).map_or(Self::Absent, Self::Context));
        }
        if expression == "method.request.body" {
            return Ok(Self::Body);
        }
        if expression == "integration.response.body" {
            return Ok(Self::ResponseBody);
        }
        let json_path = |path: &str| {
            let parsed = JsonPath::parse(&format!("$.{path}"));
            parsed
                .map(Arc::new)
                .map_err(|error| format!("Invalid mapping expression specified: {expression}: {error}"))
        };
        let header = ["method.request.header.", "method.request.multivalueheader."];
        let header = header.iter().find_map(|prefix| expression.strip_prefix(prefix));
        if let Some(added) = header.and_then(Added::named) {
            return Ok(Self::Added(added));
        }
        type Maker = fn(Arc<str>) -> Source;
        let parsers: [(&str, Maker); 7] = [
            ("method.request.path.", Self::Path),
            ("method.request.querystring.", Self::Query),
            ("method.request.multivaluequerystring.", Self::MultiValueQuery),
            ("method.request.header.", Self::Header),
            ("method.request.multivalueheader.", Self::MultiValueHeader),
            ("integration.response.header.", Self::ResponseHeader),
            ("integration.response.multivalueheader.", Self::ResponseMultiValueHeader),
        ];
        for (prefix, make) in parsers {
            match expression.strip_prefix(prefix) {
                Some("") | None => {}
                Some(name) => return Ok(make(name.into())),
            }
        }
        if let Some(path) = expression.strip_prefix("method.request.body.") {
            return json_path(path).map(Self::BodyPath);
        }
        if let Some(path) = expression.strip_prefix("integration.response.body.") {
            return json_path(path).map(Self::ResponseBodyPath);
        }
        Err(format!("Invalid mapping expression specified: {expression}"))
    }

    /// Whether the request's body has to be read for it.
    #[must_use]
    pub fn needs_body(&self) -> bool {
        matches!(self, Self::Body | Self::BodyPath(_))
    }

    /// Whether the body of the integration's answer is read for it.
    #[must_use]
    pub fn needs_answer_body(&self) -> bool {
        matches!(self, Self::ResponseBody | Self::ResponseBodyPath(_))
    }

    /// Whether it is a header of the integration's answer.
    #[must_use]
    pub fn reads_answer_headers(&self) -> bool {
        matches!(self, Self::ResponseHeader(_) | Self::ResponseMultiValueHeader(_))
    }

    /// The value for a request; of several, the last.
    #[must_use]
    pub fn value<'e>(&'e self, exchange: &'e Exchange<'_>) -> Option<Cow<'e, str>> {
        match self {
            Self::Static(text) => Some(Cow::Borrowed(text)),
            Self::Path(name) => exchange.path_parameter(name).map(Cow::Borrowed),
            Self::Query(name) => exchange.query_parameter(name).map(Cow::Borrowed),
            Self::Header(name) => exchange.header(name),
            Self::Added(added) => {
                Some(Cow::Owned(String::from_utf8_lossy(&added.value(exchange)).into_owned()))
            }
            Self::Context(variable) => variable.value(exchange),
            _ => self.values(exchange).pop(),
        }
    }

    /// All values for a request.
    #[must_use]
    pub fn values<'e>(&'e self, exchange: &'e Exchange<'_>) -> Values<'e> {
        let answer = exchange.integration_answer.as_ref();
        match self {
            Self::MultiValueQuery(name) => {
                let matching = exchange.query().iter().filter(|(candidate, _)| **candidate == **name);
                matching.map(|(_, value)| Cow::Borrowed(value.as_str())).collect()
            }
            Self::MultiValueHeader(name) => {
                exchange.head.headers.iter().filter(|header| header.is(name)).map(Header::value_str).collect()
            }
            Self::Body => one(whole(&exchange.read_body())),
            Self::BodyPath(path) => json_value(path, &exchange.lenient_document(&exchange.read_body())),
            Self::ResponseHeader(name) => answer
                .and_then(|answer| answer.headers.iter().rfind(|header| header.is(name)))
                .map(Header::value_str)
                .into_iter()
                .collect(),
            Self::ResponseMultiValueHeader(name) => answer
                .into_iter()
                .flat_map(|answer| answer.headers.iter().filter(|header| header.is(name)))
                .map(Header::value_str)
                .collect(),
            Self::ResponseBody => answer.map(|answer| whole(&answer.body)).into_iter().collect(),
            Self::ResponseBodyPath(path) => answer
                .map(|answer| json_value(path, &exchange.lenient_document(&answer.body)))
                .unwrap_or_default(),
            Self::Absent => Values::new(),
            Self::Static(_)
            | Self::Path(_)
            | Self::Query(_)
            | Self::Header(_)
            | Self::Added(_)
            | Self::Context(_) => self.value(exchange).into_iter().collect(),
        }
    }
}

/// A body as text. One that is empty is an empty object, as it is to templates.
fn whole(body: &[u8]) -> Cow<'static, str> {
    match body {
        [] => Cow::Borrowed("{}"),
        body => Cow::Owned(String::from_utf8_lossy(body).into_owned()),
    }
}

fn one(value: Cow<'_, str>) -> Values<'_> {
    Values::from_iter([value])
}

/// What a path finds in a JSON text: strings as they are, anything else as JSON, nothing for null.
fn json_value<'e>(path: &JsonPath, document: &Document) -> Values<'e> {
    let Ok(document) = document else { return Values::new() };
    match path.read(document) {
        None => Values::new(),
        Some(found) => match &*found {
            serde_json::Value::Null => Values::new(),
            serde_json::Value::String(text) => one(Cow::Owned(text.clone())),
            other => one(Cow::Owned(json_text(other))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expression: &str, expected: &str) {
        let variables = BTreeMap::from([("host".to_owned(), "example.org".to_owned())]);
        let parsed = Source::parse(expression, &variables);
        let shown = match &parsed {
            Ok(Source::BodyPath(_)) => "BodyPath".to_owned(),
            Ok(Source::ResponseBodyPath(_)) => "ResponseBodyPath".to_owned(),
            Ok(Source::Context(_)) => "Context".to_owned(),
            Ok(source) => format!("{source:?}"),
            Err(_) => "refused".to_owned(),
        };
        assert_eq!(shown, expected, "{expression}");
    }

    #[test]
    fn expressions() {
        check("'it''s'", r#"Static("it''s")"#);
        check("''", r#"Static("")"#);
        check("'open", "refused");
        check("stageVariables.host", r#"Static("example.org")"#);
        check("stageVariables.other", "Absent");
        check("context.identity.sourceIp", "Context");
        check("context.nothing", "Absent");
        check("method.request.path.id", r#"Path("id")"#);
        check("method.request.querystring.q", r#"Query("q")"#);
        check("method.request.multivaluequerystring.q", r#"MultiValueQuery("q")"#);
        check("method.request.header.X-A.b", r#"Header("X-A.b")"#);
        check("method.request.header.x-forwarded-for", "Added(ForwardedFor)");
        check("method.request.multivalueheader.X-Amzn-Trace-Id", "Added(TraceId)");
        check("method.request.header.", "refused");
        check("method.request.body", "Body");
        check("method.request.body.pets[0].name", "BodyPath");
        check("integration.response.header.Location", r#"ResponseHeader("Location")"#);
        check("integration.response.body.url", "ResponseBodyPath");
        check("nonsense", "refused");
    }

    proptest::proptest! {
        #[test]
        fn any_expression_is_parsed_or_refused(
            expression in "('|method\\.request\\.|integration\\.response\\.|context\\.)?(body\\.)?\\PC{0,20}",
        ) {
            let _ = Source::parse(&expression, &BTreeMap::new());
        }
    }
}
