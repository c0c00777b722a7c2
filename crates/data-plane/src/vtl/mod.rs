//! Where the pipeline meets the template and JSONPath languages.
//!
//! A mapping template sees `$input` (the message it transforms), `$context`, `$stageVariables` and `$util`. `$context`
//! is one map for the whole request: what the request's template puts into `requestOverride` and `responseOverride`,
//! or anywhere else in it, the response's template finds there.

mod input;
mod json_path;

use std::rc::Rc;

use bytes::Bytes;
use stagedoor_velocity::{Context, Map, Object, RenderError, Util, Value};

use crate::context;
use crate::exchange::Exchange;
use crate::gateway_response::Fault;
use crate::phases::authorization::rest_jwt::as_json;
use crate::phases::headers::for_integration;
use input::Input;
pub(crate) use input::Parameters;
pub use json_path::JsonPath;

/// A mapping template, parsed.
#[derive(Debug)]
pub enum Template {
    /// Text without any reference or directive.
    Constant(Bytes),
    /// Velocity.
    Velocity(Velocity),
}

/// A template with references or directives.
#[derive(Debug)]
pub struct Velocity {
    template: stagedoor_velocity::Template,
    /// Whether `$context` may be read or written. Making it costs more than most templates do.
    sees_context: bool,
    /// Whether `$input.params()` may be asked.
    sees_parameters: bool,
}

/// `$util`, which reads JSON as Jackson does.
#[derive(Debug)]
struct Utilities;

impl Object for Utilities {
    fn call(&self, method: &str, arguments: &[Value]) -> Option<Result<Value, RenderError>> {
        match (method, arguments) {
            ("parseJson", [text]) => {
                let read = stagedoor_jsonpath::json::read(text.to_text().as_bytes());
                Some(read.map(|json| Value::from_json(&json)).map_err(RenderError::host))
            }
            _ => Util.call(method, arguments),
        }
    }
}

/// The claims of a token. They have no value as a whole (developer guide).
#[derive(Debug)]
struct Claims(Map);

impl Object for Claims {
    fn property(&self, name: &str) -> Option<Value> {
        self.0.get(name)
    }

    fn is_null(&self) -> bool {
        true
    }
}

/// Which message a template transforms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The client's request.
    Request,
    /// The integration's answer.
    Response,
}

/// What a request's templates share.
#[derive(Debug)]
pub struct TemplateScope {
    context: Map,
    /// The maps that overrides are put into, by the beginning of their parameters' names.
    overrides: Vec<(&'static str, Map)>,
}

/// What templates overrode.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Headers by name.
    pub headers: Vec<(String, String)>,
    /// Path parameters by name.
    pub path: Vec<(String, String)>,
    /// Query parameters by name.
    pub query: Vec<(String, String)>,
    /// The status, on the way back.
    pub status: Option<String>,
}

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// A sentence with line and column.
    pub fn parse(text: &str) -> Result<Self, String> {
        // Backslashes escape nothing where there is nothing to escape. What is too long is the parser's to refuse.
        if !text.contains(['$', '#']) && text.len() <= stagedoor_velocity::TEMPLATE_BYTES_MAX {
            return Ok(Self::Constant(Bytes::from(text.to_owned())));
        }
        let template = stagedoor_velocity::Template::parse(text).map_err(|error| error.to_string())?;
        // What a template does not name it cannot see, unless it makes the name while it runs.
        let names = |word: &str| text.contains(word) || text.contains("evaluate");
        Ok(Self::Velocity(Velocity {
            template,
            sees_context: names("context"),
            sees_parameters: names("params"),
        }))
    }

    /// Whether it gives the same text for every request.
    #[must_use]
    pub fn is_constant(&self) -> bool {
        matches!(self, Self::Constant(_))
    }

    /// The text for a request.
    ///
    /// # Errors
    /// A [`Fault`] if the template fails or reaches its limits: 400 for a client's body that is no JSON, else 500.
    pub fn render(&self, exchange: &mut Exchange<'_>, side: Side) -> Result<Bytes, Fault> {
        let template = match self {
            Self::Constant(text) => return Ok(text.clone()),
            Self::Velocity(velocity) => velocity,
        };
        let Velocity { template, sees_context, sees_parameters } = template;
        let body = match side {
            Side::Request => exchange.read_body(),
            Side::Response => {
                exchange.integration_answer.as_ref().map(|answer| answer.body.clone()).unwrap_or_default()
            }
        };
        let mut context = Context::new();
        context.print_missing_as_empty();
        if *sees_context {
            let scope = scope_of(exchange);
            for (_, map) in &scope.overrides {
                map.watch_anew();
            }
            context.set("context", Value::Map(scope.context.clone()));
        }
        let parameters = if *sees_parameters { parameters_of(exchange) } else { Rc::default() };
        // To a template no body is an empty object.
        let known = exchange.last_document.known_leniently(&body).filter(|_| !body.is_empty());
        let input = Rc::new(Input::new(parameters, body, known));
        context.set("input", Value::shared(&input));
        context.set("stageVariables", Value::Map(variables(exchange)));
        context.set("util", Value::object(Utilities));
        let text = template.render(&mut context).map_err(|error| fault(side, &input, &error))?;
        if let Some((body, document)) = input.known_document().filter(|(body, _)| !body.is_empty()) {
            exchange.last_document.learn_leniently(body, document);
        }
        let scope = exchange.templates.as_ref().filter(|_| *sees_context);
        match scope.and_then(TemplateScope::overridden_twice) {
            None => Ok(text.into()),
            Some(name) => {
                Err(Fault::internal(format!("the mapping template overrides {name} more than once")))
            }
        }
    }
}

fn fault(side: Side, input: &Input, error: &RenderError) -> Fault {
    match (side, input.parse_error()) {
        (Side::Request, Some(detail)) => Fault::unreadable_body(&detail),
        _ => {
            let what = if side == Side::Request { "request" } else { "response" };
            Fault::internal(format!("the mapping template failed: {error}"))
                .logged_as_configuration_error(&format!("Unable to transform {what}"))
        }
    }
}

fn scope_of<'x>(exchange: &'x mut Exchange<'_>) -> &'x TemplateScope {
    let scope = match exchange.templates.take() {
        Some(scope) => scope,
        None => TemplateScope::new(exchange),
    };
    exchange.templates.insert(scope)
}

/// What `$input.params()` tells. The first template that asks has it made: an integration may take the headers along.
fn parameters_of(exchange: &mut Exchange<'_>) -> Rc<Parameters> {
    if let Some(made) = &exchange.template_parameters {
        return Rc::clone(made);
    }
    let parameters = Rc::new(Parameters {
        path: exchange.path_parameters().map(|(name, value)| (name.into(), value.into())).collect(),
        query: exchange.query().to_vec(),
        headers: for_integration(exchange),
    });
    Rc::clone(exchange.template_parameters.insert(parameters))
}

fn variables(exchange: &Exchange<'_>) -> Map {
    exchange.plan.variables.iter().map(|(name, value)| (name.as_str(), Value::from(value.as_str()))).collect()
}

impl TemplateScope {
    fn new(exchange: &Exchange<'_>) -> Self {
        let context = Map::new();
        for (name, value) in context::all(exchange) {
            let (mut holder, mut last) = (context.clone(), name);
            while let Some((first, rest)) = last.split_once('.') {
                holder = child(&holder, first);
                last = rest;
            }
            // The one number among them: templates calculate with it.
            let number = (name == "requestTimeEpoch").then(|| value.parse::<i64>().ok()).flatten();
            holder.insert(last, number.map_or_else(|| Value::from(&*value), Value::from));
        }
        if let Some(authorizer) = &exchange.record.authorizer {
            let holder = child(&context, "authorizer");
            for (name, value) in &authorizer.context {
                if let Some(text) = context::stringified(value) {
                    holder.insert(name.as_str(), Value::from(&*text));
                }
            }
            if let Some(claims) = &authorizer.claims {
                let texts = claims.iter().filter_map(|(name, value)| {
                    Some((name.as_str(), Value::from(&*context::stringified(value)?)))
                });
                holder.insert("claims", Value::object(Claims(texts.collect())));
            }
            if let Some(claims) = &authorizer.verified {
                let texts = claims.iter().map(|(name, value)| (name.as_str(), Value::from(as_json(value))));
                holder.insert("claims", Value::object(Claims(texts.collect())));
            }
        }
        let (request, response) = (Map::new(), Map::watched());
        let mut overrides = vec![("responseOverride", response.clone())];
        for (holder, part, name) in [
            (&request, "header", "requestOverride.header"),
            (&request, "path", "requestOverride.path"),
            (&request, "querystring", "requestOverride.querystring"),
            (&response, "header", "responseOverride.header"),
        ] {
            let map = Map::watched();
            holder.insert(part, Value::Map(map.clone()));
            overrides.push((name, map));
        }
        context.insert("requestOverride", Value::Map(request));
        context.insert("responseOverride", Value::Map(response));
        Self { context, overrides }
    }

    /// What the last template overrode more than once, which AWS answers with a 5XX: an override is final. Anything else
    /// that a template keeps there (`responseOverride.custom`) is its own affair.
    fn overridden_twice(&self) -> Option<String> {
        self.overrides.iter().find_map(|(beginning, map)| {
            let name = map.set_twice()?.to_value().to_text();
            (*beginning != "responseOverride" || name == "status").then(|| format!("{beginning}.{name}"))
        })
    }

    /// One override by its path, such as `header.X-Name` or `status`, if a template has set it.
    #[must_use]
    pub fn overridden(&self, side: Side, path: &str) -> Option<String> {
        let side = match side {
            Side::Request => "requestOverride",
            Side::Response => "responseOverride",
        };
        let mut found = self.context.get(side)?;
        for name in path.splitn(2, '.') {
            let Value::Map(map) = found else { return None };
            found = map.get(name)?;
        }
        match found {
            Value::Null | Value::Map(_) => None,
            value => Some(value.to_text()),
        }
    }

    /// `$context.requestOverride`.
    #[must_use]
    pub fn request_overrides(&self) -> Overrides {
        let Some(Value::Map(side)) = self.context.get("requestOverride") else { return Overrides::default() };
        Overrides {
            headers: entries(&side, "header"),
            path: entries(&side, "path"),
            query: entries(&side, "querystring"),
            status: None,
        }
    }

    /// `$context.responseOverride`.
    #[must_use]
    pub fn response_overrides(&self) -> Overrides {
        let Some(Value::Map(side)) = self.context.get("responseOverride") else {
            return Overrides::default();
        };
        let status = side.get("status").filter(|status| !status.is_null());
        Overrides {
            headers: entries(&side, "header"),
            status: status.map(|status| status.to_text()),
            ..Overrides::default()
        }
    }
}

/// The map under this name, made if there is none.
fn child(map: &Map, name: &str) -> Map {
    match map.get(name) {
        Some(Value::Map(found)) => found,
        _ => {
            let made = Map::new();
            map.insert(name, Value::Map(made.clone()));
            made
        }
    }
}

fn entries(side: &Map, part: &str) -> Vec<(String, String)> {
    let Some(Value::Map(part)) = side.get(part) else { return Vec::new() };
    part.with(|entries| {
        let present = entries.iter().filter(|(_, value)| !value.is_null());
        present.map(|(name, value)| (name.to_value().to_text(), value.to_text())).collect()
    })
}
