//! What becomes of a message on its way to an integration that is no proxy, and of the answer on its way back: which
//! templates and mappings there are, and which of them is for what.

use std::collections::BTreeMap;

use bytes::Bytes;
use stagedoor_shapes::apigateway::ContentHandlingStrategy as ContentHandling;
use stagedoor_shapes::apigatewayv2::{
    ContentHandlingStrategy, Integration as Shape, IntegrationResponse, IntegrationType, PassthroughBehavior,
};

use super::expressions::{DEFAULT, Expression};
use crate::exchange::Exchange;
use crate::plan::integration::Passthrough;
use crate::plan::mapping::Source;
use crate::plan::selection::SelectionPattern;
use crate::vtl::Template;

/// The key of templates that definitions carry over from REST APIs.
const JSON: &str = "application/json";
/// What chooses an integration response where nothing is set.
const STATUS: &str = "${integration.response.statuscode}";

/// From a message to the integration's request.
#[derive(Debug)]
pub struct RouteRequest {
    /// The integration's headers.
    pub headers: Vec<(Bytes, Source)>,
    /// The integration's query.
    pub query: Vec<(Box<str>, Source)>,
    /// Templates by key.
    pub templates: Templates,
    /// What happens where none fits.
    pub passthrough: Passthrough,
    /// Whether the body is converted first.
    pub content_handling: Option<ContentHandling>,
}

impl Default for RouteRequest {
    fn default() -> Self {
        Self {
            headers: Vec::new(),
            query: Vec::new(),
            templates: Templates::default(),
            passthrough: Passthrough::WhenNoMatch,
            content_handling: None,
        }
    }
}

/// Templates, and which one is taken.
#[derive(Debug, Default)]
pub struct Templates {
    selection: Option<Expression>,
    by_key: Vec<(Box<str>, Template)>,
}

/// The integration responses of a route, and which one is taken.
#[derive(Debug)]
pub struct RouteResponses {
    selection: Expression,
    choices: Vec<(Key, RouteResponse)>,
}

#[derive(Debug)]
enum Key {
    Default,
    /// `/2\d\d/`.
    Pattern(SelectionPattern),
}

/// One integration response.
#[derive(Debug)]
pub struct RouteResponse {
    /// Headers for the client, which sees them only in the answer to its handshake.
    pub headers: Vec<(Bytes, Source)>,
    /// Templates by key.
    pub templates: Templates,
    /// Whether the body is converted.
    pub content_handling: Option<ContentHandling>,
}

impl Templates {
    fn compile(
        selection: Option<&str>,
        templates: Option<&BTreeMap<String, String>>,
        variables: &BTreeMap<String, String>,
    ) -> Result<Self, String> {
        let selection = selection.filter(|text| !text.is_empty());
        let selection = selection.map(|text| Expression::parse(text, variables)).transpose()?;
        let mut by_key = Vec::new();
        for (key, text) in templates.into_iter().flatten() {
            let template = Template::parse(text).map_err(|error| format!("template {key}: {error}"))?;
            by_key.push((key.as_str().into(), template));
        }
        Ok(Self { selection, by_key })
    }

    /// Whether there is none at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// The template for an exchange: the one that the expression names, else `$default`, else the one for JSON.
    #[must_use]
    pub fn choose(&self, exchange: &Exchange<'_>) -> Option<&Template> {
        if self.by_key.is_empty() {
            return None;
        }
        let find = |key: &str| self.by_key.iter().find(|(known, _)| **known == *key);
        let named = self.selection.as_ref().and_then(|selection| selection.evaluate(exchange));
        let found = named.and_then(|key| find(&key)).or_else(|| find(DEFAULT)).or_else(|| find(JSON));
        found.map(|(_, template)| template)
    }
}

impl RouteRequest {
    /// Compiles what an integration sets.
    ///
    /// # Errors
    /// A sentence for the first thing that cannot be.
    pub fn compile(shape: &Shape, variables: &BTreeMap<String, String>) -> Result<Self, String> {
        let mut request = Self::default();
        for (place, name, source) in sources(shape.request_parameters.as_ref(), variables)? {
            match place {
                "header" => request.headers.push((name.into(), source)),
                "querystring" => request.query.push((name.into(), source)),
                // They are a part of the URI.
                _ => {}
            }
        }
        if shape.integration_type == Some(IntegrationType::HttpProxy) {
            return Ok(request);
        }
        let selection = shape.template_selection_expression.as_deref();
        request.templates = Templates::compile(selection, shape.request_templates.as_ref(), variables)?;
        request.passthrough = match shape.passthrough_behavior {
            None | Some(PassthroughBehavior::WhenNoMatch) => Passthrough::WhenNoMatch,
            Some(PassthroughBehavior::WhenNoTemplates) => Passthrough::WhenNoTemplates,
            Some(PassthroughBehavior::Never) => Passthrough::Never,
        };
        request.content_handling = shape.content_handling_strategy.map(content_handling);
        Ok(request)
    }
}

impl RouteResponses {
    /// Compiles the responses of an integration.
    ///
    /// # Errors
    /// A sentence for the first thing that cannot be.
    pub fn compile(
        shape: &Shape,
        responses: &[(String, IntegrationResponse)],
        variables: &BTreeMap<String, String>,
    ) -> Result<Self, String> {
        let text = shape.integration_response_selection_expression.as_deref();
        let text = text.filter(|text| !text.is_empty()).unwrap_or(STATUS);
        let selection = Expression::parse(text, variables)?;
        let mut choices = Vec::new();
        for (owner, response) in responses {
            if Some(owner) != shape.integration_id.as_ref() {
                continue;
            }
            let key = response.integration_response_key.as_deref().unwrap_or(DEFAULT);
            let compiled = RouteResponse::compile(response, variables)
                .map_err(|error| format!("integration response {key}: {error}"))?;
            let pattern = key.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
            match pattern {
                Some(pattern) => choices.push((Key::Pattern(SelectionPattern::parse(pattern)?), compiled)),
                None if key == DEFAULT => choices.push((Key::Default, compiled)),
                None => return Err(format!("{key:?} is no integration response key")),
            }
        }
        Ok(Self { selection, choices })
    }

    /// Whether there is none at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.choices.is_empty()
    }

    /// The response for an integration's answer.
    #[must_use]
    pub fn choose(&self, exchange: &Exchange<'_>) -> Option<&RouteResponse> {
        let key = self.selection.evaluate(exchange);
        let fits = |choice: &&(Key, RouteResponse)| match (&choice.0, &key) {
            (Key::Pattern(pattern), Some(key)) => pattern.is_match(key),
            _ => false,
        };
        let found = self.choices.iter().find(fits);
        let found = found.or_else(|| self.choices.iter().find(|(key, _)| matches!(key, Key::Default)));
        found.map(|(_, response)| response)
    }
}

impl RouteResponse {
    fn compile(response: &IntegrationResponse, variables: &BTreeMap<String, String>) -> Result<Self, String> {
        let mut headers = Vec::new();
        for (target, expression) in response.response_parameters.iter().flatten() {
            let name = ["method.response.header.", "route.response.header."]
                .iter()
                .find_map(|prefix| target.strip_prefix(prefix))
                .filter(|name| stagedoor_http::is_valid_name(name.as_bytes()))
                .ok_or_else(|| {
                    format!("Invalid mapping expression specified: {target} is no response header")
                })?;
            headers.push((Bytes::from(name.to_owned()), source(expression, variables)?));
        }
        let selection = response.template_selection_expression.as_deref();
        let templates = Templates::compile(selection, response.response_templates.as_ref(), variables)?;
        let content_handling = response.content_handling_strategy.map(content_handling);
        Ok(Self { headers, templates, content_handling })
    }
}

fn content_handling(strategy: ContentHandlingStrategy) -> ContentHandling {
    match strategy {
        ContentHandlingStrategy::ConvertToBinary => ContentHandling::ConvertToBinary,
        ContentHandlingStrategy::ConvertToText => ContentHandling::ConvertToText,
    }
}

/// The request parameters of an integration: where each goes, under which name, and where it comes from.
pub(super) fn sources(
    parameters: Option<&BTreeMap<String, String>>,
    variables: &BTreeMap<String, String>,
) -> Result<Vec<(&'static str, String, Source)>, String> {
    let mut found = Vec::new();
    for (target, expression) in parameters.into_iter().flatten() {
        let place = target.strip_prefix("integration.request.").and_then(|rest| rest.split_once('.'));
        match place {
            Some(("path", name)) if !name.is_empty() => {
                found.push(("path", name.to_owned(), source(expression, variables)?));
            }
            // Where a source has several values, all of them go there, whatever the target's name says.
            Some(("querystring" | "multivaluequerystring", name)) if !name.is_empty() => {
                found.push(("querystring", name.to_owned(), source(expression, variables)?));
            }
            Some(("header" | "multivalueheader", name)) if stagedoor_http::is_valid_name(name.as_bytes()) => {
                found.push(("header", name.to_owned(), source(expression, variables)?));
            }
            _ => {
                return Err(format!(
                    "Invalid mapping expression specified: {target} is no part of a request"
                ));
            }
        }
    }
    Ok(found)
}

/// A mapping expression: those of REST APIs under another name for the request.
fn source(expression: &str, variables: &BTreeMap<String, String>) -> Result<Source, String> {
    match expression.strip_prefix("route.request.") {
        Some(rest) => Source::parse(&format!("method.request.{rest}"), variables)
            .map_err(|_| format!("Invalid mapping expression specified: {expression}")),
        None => Source::parse(expression, variables),
    }
}
