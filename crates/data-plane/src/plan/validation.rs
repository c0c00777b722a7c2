//! What a method's requests must have: parameters, and a body that fits the model for its media type.
//!
//! Models are JSON Schema draft 4 and refer to each other by URL
//! (`https://apigateway.amazonaws.com/restapis/{id}/models/{name}`), in circles if they like. Nothing is ever fetched.

use std::collections::HashMap;
use std::rc::Rc;

use jsonschema::{Draft, PatternOptions, Retrieve, Uri, ValidationOptions, Validator};
use serde_json::Value;
use stagedoor_shapes::apigateway::Method;
use stagedoor_shapes::snapshot::RestApiSnapshot;

use super::{PlanError, formats, mismatch};
use crate::document::Document;
use crate::phases::headers::Added;

/// How often a pattern in a schema may step back before the body counts as not fitting.
const BACKTRACK_LIMIT: usize = 20_000;

/// A method's checks.
#[derive(Debug)]
pub struct Validation {
    /// Parameters that must be there and not blank, in the order in which a message lists them.
    pub required: Vec<Parameter>,
    /// Models by media type.
    pub models: Vec<(Box<str>, Validator)>,
}

/// A parameter of the method request.
#[derive(Debug, PartialEq, Eq)]
pub enum Parameter {
    /// A header.
    Header(Box<str>),
    /// A path parameter.
    Path(Box<str>),
    /// A query parameter.
    Query(Box<str>),
}

impl Validation {
    /// The checks of a method; nothing if its validator checks nothing.
    pub(super) fn compile(
        method: &Method,
        snapshot: &RestApiSnapshot,
        place: &str,
        errors: &mut Vec<PlanError>,
    ) -> Option<Self> {
        let id = method.request_validator_id.as_deref().filter(|id| !id.is_empty())?;
        let Some(validator) = snapshot.request_validators.iter().find(|each| each.id.as_deref() == Some(id))
        else {
            errors
                .push(PlanError::new(place, format!("Invalid Request Validator identifier specified: {id}")));
            return None;
        };
        let mut validation = Self { required: Vec::new(), models: Vec::new() };
        if validator.validate_request_parameters == Some(true) {
            let required = method.request_parameters.iter().flatten().filter(|(_, required)| **required);
            let required = required.filter_map(|(name, _)| Parameter::parse(name));
            validation.required = required.filter(|parameter| !parameter.is_always_there()).collect();
        }
        if validator.validate_request_body == Some(true) {
            for (media_type, model) in method.request_models.iter().flatten() {
                match schema(snapshot, model) {
                    Ok(None) => {}
                    Ok(Some(schema)) => {
                        validation.models.push((media_type.to_ascii_lowercase().into(), schema))
                    }
                    Err(message) => errors.push(PlanError::new(format!("{place}, model {model}"), message)),
                }
            }
        }
        (!validation.required.is_empty() || !validation.models.is_empty()).then_some(validation)
    }

    /// What is wrong with a body, or nothing.
    #[must_use]
    pub fn check_body(&self, media_type: &str, body: impl FnOnce() -> Rc<Document>) -> Option<String> {
        let of = |wanted: &str| self.models.iter().find(|(candidate, _)| **candidate == *wanted);
        // One model for all media types that have none of their own.
        let (_, schema) = of(media_type).or_else(|| of("$default"))?;
        mismatch_of(schema, &body())
    }
}

/// What is wrong with a body that has to fit a schema, or nothing.
#[must_use]
pub fn mismatch_of(schema: &Validator, body: &Document) -> Option<String> {
    let Ok(document) = body else { return Some(mismatch::NO_JSON.to_owned()) };
    // Most bodies fit, and finding that out takes less than finding out where one does not.
    if schema.is_valid(document) {
        return None;
    }
    mismatch::describe(schema, document)
}

impl Parameter {
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (place, name) = name.strip_prefix("method.request.")?.split_once('.')?;
        match place {
            "header" | "multivalueheader" => Some(Self::Header(name.into())),
            "path" => Some(Self::Path(name.into())),
            "querystring" | "multivaluequerystring" => Some(Self::Query(name.into())),
            _ => None,
        }
    }

    /// Whether every request has it, because the gateway adds it.
    fn is_always_there(&self) -> bool {
        matches!(self, Self::Header(name) if Added::named(name).is_some())
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Header(name) | Self::Path(name) | Self::Query(name) => name,
        }
    }
}

/// A model's schema, ready for use; nothing for a model without one.
pub(super) fn schema(snapshot: &RestApiSnapshot, name: &str) -> Result<Option<Validator>, String> {
    let Some(model) = snapshot.models.iter().find(|model| model.name.as_deref() == Some(name)) else {
        // Every API begins with this one, which takes anything.
        return if name == "Empty" { Ok(None) } else { Err("Invalid model name specified".to_owned()) };
    };
    let Some(text) = model.schema.as_deref().filter(|text| !text.trim().is_empty()) else { return Ok(None) };
    let document: Value =
        serde_json::from_str(text).map_err(|error| format!("the schema is no JSON: {error}"))?;
    let api = snapshot.rest_api.id.as_deref().unwrap_or_default();
    options()
        .with_base_uri(format!("https://apigateway.amazonaws.com/restapis/{api}/models/{name}"))
        .with_retriever(Models::of(snapshot))
        .build(&document)
        .map(Some)
        .map_err(|error| format!("the schema cannot be used: {error}"))
}

/// How all schemas are read.
fn options<'o>() -> ValidationOptions<'o> {
    let options = jsonschema::options()
        .with_draft(Draft::Draft4)
        .with_pattern_options(PatternOptions::fancy_regex().backtrack_limit(BACKTRACK_LIMIT))
        .should_validate_formats(true);
    formats::known(options)
}

/// A schema without references to models.
#[cfg(test)]
pub(super) fn compiled(schema: &Value) -> Option<Validator> {
    options().build(schema).ok()
}

/// The API's models, for references between them.
struct Models(HashMap<String, Value>);

impl Models {
    fn of(snapshot: &RestApiSnapshot) -> Self {
        let models = snapshot.models.iter().filter_map(|model| {
            let schema = serde_json::from_str(model.schema.as_deref()?).ok()?;
            Some((model.name.clone()?, schema))
        });
        Self(models.collect())
    }
}

impl Retrieve for Models {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        let name = uri.as_str().rsplit_once("/models/").map(|(_, name)| name).unwrap_or_default();
        self.0.get(name).cloned().ok_or_else(|| format!("{uri} is no model of this API").into())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use stagedoor_shapes::apigateway::{Model, RequestValidator};

    use super::*;
    use crate::document::LastDocument;

    fn snapshot(models: &[(&str, &str)]) -> RestApiSnapshot {
        let model = |(name, schema): &(&str, &str)| Model {
            name: Some((*name).to_owned()),
            schema: Some((*schema).to_owned()),
            ..Model::default()
        };
        let validator = RequestValidator {
            id: Some("v".into()),
            validate_request_body: Some(true),
            validate_request_parameters: Some(true),
            ..RequestValidator::default()
        };
        let mut snapshot = RestApiSnapshot {
            models: models.iter().map(model).collect(),
            request_validators: vec![validator],
            ..RestApiSnapshot::default()
        };
        snapshot.rest_api.id = Some("abc".into());
        snapshot
    }

    fn compile(models: &[(&str, &str)], model: &str) -> Result<Validation, Vec<PlanError>> {
        let method = Method {
            request_validator_id: Some("v".into()),
            request_parameters: Some(BTreeMap::from([
                ("method.request.path.issuer".to_owned(), true),
                ("method.request.querystring.qs1".to_owned(), true),
                ("method.request.header.x-header-param".to_owned(), true),
                ("method.request.header.optional".to_owned(), false),
            ])),
            request_models: Some(BTreeMap::from([("application/json".to_owned(), model.to_owned())])),
            ..Method::default()
        };
        let mut errors = Vec::new();
        let validation = Validation::compile(&method, &snapshot(models), "POST /", &mut errors);
        if errors.is_empty() { Ok(validation.unwrap()) } else { Err(errors) }
    }

    #[test]
    fn parameters_in_the_order_of_aws() {
        let validation = compile(&[], "Empty").unwrap();
        let names: Vec<_> = validation.required.iter().map(Parameter::name).collect();
        assert_eq!(names, ["x-header-param", "issuer", "qs1"]);
    }

    #[test]
    fn bodies() {
        let url = "https://apigateway.amazonaws.com/restapis/abc/models";
        let person = format!(
            r#"{{"type":"object","required":["name"],"properties":{{"name":{{"type":"string"}},"house":{{"$ref":"{url}/House"}}}}}}"#
        );
        let house = format!(
            r#"{{"type":"object","properties":{{"contains":{{"type":"array","items":{{"$ref":"{url}/Person"}}}}}}}}"#
        );
        let validation = compile(&[("Person", &person), ("House", &house)], "Person").unwrap();
        let check = |media_type: &str, body: &str, expected: bool| {
            let document = || LastDocument::default().of(&Bytes::from(body.to_owned()));
            assert_eq!(validation.check_body(media_type, document).is_none(), expected, "{body}");
        };
        check("application/json", r#"{"name":"a","house":{"contains":[{"name":"b"}]}}"#, true);
        check("application/json", r#"{"name":"a","house":{"contains":[{"nam":"b"}]}}"#, false);
        check("application/json", r#"{"random":1}"#, false);
        check("application/json", "", false);
        check("application/json", "{", false);
        check("text/plain", "anything", true);
    }

    #[test]
    fn what_cannot_be_checked_is_refused() {
        let check = |models: &[(&str, &str)], model: &str| {
            assert!(compile(models, model).is_err(), "{model}");
        };
        check(&[], "Missing");
        check(&[("Broken", "{")], "Broken");
        check(&[("Remote", r#"{"$ref":"https://example.org/schema"}"#)], "Remote");
    }
}
