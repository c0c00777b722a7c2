//! Which part of a document a message is about.
//!
//! The control plane and the data plane's compiler know nothing of documents. Their messages name what they are about
//! in their own words (`GET /users, integration response 200, response template application/json: …`), and those words
//! are looked up here. A message that names nothing known is about the document as a whole.

use stagedoor_openapi::{DocPath, Document, Integration, Operation, PathItem};

use crate::stages;

/// The path of what a message is about.
pub(crate) fn blame(document: &Document, message: &str) -> DocPath {
    let definition = &document.definition;
    // The longest path that the message names: `/users/{userId}` names no `/users`, but `/` is in nearly everything.
    let named = definition.paths.iter().filter(|item| says(message, &item.path));
    if let Some(item) = named.max_by_key(|item| item.path.len()) {
        return in_path(document, item, message);
    }
    if let Some(model) = definition.models.iter().find(|(name, _)| says(message, &format!("model {name}"))) {
        return model.1.at.clone();
    }
    in_stages(document, message).or_else(|| in_extensions(document, message)).unwrap_or_default()
}

/// Words of messages about stages, and the member that they are about.
const STAGE_WORDS: &[(&str, &str)] = &[
    ("method setting", "methodSettings"),
    ("metrics/enabled", "methodSettings"),
    ("logging/", "methodSettings"),
    ("tracingEnabled", "tracingEnabled"),
];

/// The stage that a message names, or the first one that has what it is about.
fn in_stages(document: &Document, message: &str) -> Option<DocPath> {
    let stages: Vec<_> = document.root().get(stages::NAME)?.members().collect();
    let named = stages.iter().find(|(name, _)| says(message, &format!("stage {name}")));
    let member = STAGE_WORDS.iter().find(|(word, _)| message.contains(word)).map(|(_, member)| *member);
    match (named, member) {
        (Some((_, stage)), None) => Some(stage.path.clone()),
        (Some((_, stage)), Some(member)) => {
            Some(stage.get(member).map_or_else(|| stage.path.clone(), |place| place.path))
        }
        (None, Some(member)) => {
            stages.iter().find_map(|(_, stage)| stage.get(member)).map(|place| place.path)
        }
        (None, None) => None,
    }
}

/// Words that messages about an API start with, and the extension that they are about.
const EXTENSION_WORDS: &[(&str, &str)] = &[
    ("policy", "policy"),
    ("minimumCompressionSize", "minimum-compression-size"),
    ("gateway response", "gateway-responses"),
    ("endpointConfiguration", "endpoint-configuration"),
    ("endpointAccessMode", "endpoint-access-mode"),
];

fn in_extensions(document: &Document, message: &str) -> Option<DocPath> {
    let (_, extension) = EXTENSION_WORDS.iter().find(|(word, _)| message.starts_with(word))?;
    Some(document.root().get(&format!("x-amazon-apigateway-{extension}"))?.path)
}

fn in_path(document: &Document, item: &PathItem, message: &str) -> DocPath {
    match item.operations.iter().find(|operation| says(message, &operation.method)) {
        Some(operation) => in_operation(document, operation, message),
        None => item.at.clone(),
    }
}

fn in_operation(document: &Document, operation: &Operation, message: &str) -> DocPath {
    let models = &document.definition.models;
    if let Some((_, model)) = models.iter().find(|(name, _)| says(message, &format!("model {name}"))) {
        return model.at.clone();
    }
    let Some(integration) = &operation.integration else { return operation.at.clone() };
    let in_response = integration.responses.values().find(|response| {
        response
            .status_code
            .as_ref()
            .is_some_and(|code| says(message, &format!("integration response {code}")))
    });
    if let Some(response) = in_response {
        let templates = response.response_templates.keys();
        return template(templates, "response template", message).map_or_else(
            || response.at.clone(),
            |media| response.at.child("responseTemplates").child(media),
        );
    }
    in_integration(integration, message)
}

fn in_integration(integration: &Integration, message: &str) -> DocPath {
    let at = &integration.at;
    if let Some(media) = template(integration.request_templates.keys(), "request template", message) {
        return at.child("requestTemplates").child(media);
    }
    if let Some(parameter) = integration.request_parameters.keys().find(|name| says(message, name)) {
        return at.child("requestParameters").child(parameter);
    }
    let about_uri = integration.uri.as_ref().is_some_and(|uri| message.contains(uri.as_str()));
    if about_uri || says(message, "URI") { at.child("uri") } else { at.clone() }
}

fn template<'a>(mut media: impl Iterator<Item = &'a String>, what: &str, message: &str) -> Option<&'a str> {
    media.find(|media| says(message, &format!("{what} {media}"))).map(String::as_str)
}

/// Whether a message has a text in it as a word of its own.
fn says(message: &str, word: &str) -> bool {
    let inside = |one: char| one.is_alphanumeric() || "/{}_-+".contains(one);
    message.match_indices(word).any(|(start, _)| {
        let before = message.get(..start).and_then(|text| text.chars().next_back());
        let after = message.get(start + word.len()..).and_then(|text| text.chars().next());
        !before.is_some_and(inside) && !after.is_some_and(inside)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
openapi: 3.0.1
info: {title: t}
x-amazon-apigateway-policy: {}
x-stagedoor-stages: {dev: {methodSettings: {"*/*": {}}}, prod: {tracingEnabled: true}}
paths:
  /a:
    get:
      x-amazon-apigateway-integration:
        type: http
        uri: http://a.example
        requestTemplates: {application/json: '#if'}
        responses:
          .*gone.*: {statusCode: 410, responseTemplates: {text/plain: '#if'}}
  /a/{b}:
    get: {}
    post: {}
components: {schemas: {Item: {type: object}}}
"#;

    #[test]
    fn messages_name_what_they_are_about() {
        let document = Document::read(TEXT).unwrap();
        let check = |message: &str, expected: &str| {
            assert_eq!(blame(&document, message).to_string(), expected, "{message}");
        };
        let integration = "paths./a.get.x-amazon-apigateway-integration";
        check("GET /a: no", integration);
        check(
            "GET /a, request template application/json: no",
            &format!("{integration}.requestTemplates.application/json"),
        );
        check("GET /a, integration response 410: no", &format!("{integration}.responses..*gone.*"));
        check(
            "GET /a, integration response 410, response template text/plain: no",
            &format!("{integration}.responses..*gone.*.responseTemplates.text/plain"),
        );
        check("for 'GET' at '/a': Invalid HTTP endpoint specified for URI", &format!("{integration}.uri"));
        check("POST /a/{b}: no", "paths./a/{b}.post");
        check("POST /a/{b}, model Item: no", "components.schemas.Item");
        check("resource /a/{b}: no", "paths./a/{b}");
        check("stage dev, method setting */*: no", "x-stagedoor-stages.dev.methodSettings");
        check("tracingEnabled: no", "x-stagedoor-stages.prod.tracingEnabled");
        check("/*/*/logging/loglevel: no", "x-stagedoor-stages.dev.methodSettings");
        check("stage prod: no", "x-stagedoor-stages.prod");
        check("policy: no", "x-amazon-apigateway-policy");
        check("no", "");
    }
}
