//! Models: named JSON schemas.

use serde_json::Value;
use stagedoor_shapes::apigateway::{
    CreateModelRequest, DeleteModelRequest, GetModelRequest, GetModelTemplateRequest, GetModelsRequest,
    Method, Model, Models, Resource, Template, UpdateModelRequest,
};
use stagedoor_shapes::apigatewayv2;

use crate::ApiError;
use crate::control_plane::{ControlPlane, bad_request, conflict, not_found, required};
use crate::keys::{self, Kind};
use crate::page::page;
use crate::patch::{REPLACE, Style, Table};
use crate::tx::Tx;
use crate::{ids, methods, model_schema, model_template};

const EMPTY_SCHEMA: &str = "{\n  \"$schema\": \"http://json-schema.org/draft-04/schema#\",\n  \"title\" : \"Empty \
                            Schema\",\n  \"type\" : \"object\"\n}";
const ERROR_SCHEMA: &str = "{\n  \"$schema\" : \"http://json-schema.org/draft-04/schema#\",\n  \"title\" : \"Error \
                            Schema\",\n  \"type\" : \"object\",\n  \"properties\" : {\n    \"message\" : { \"type\" : \
                            \"string\" }\n  }\n}";

/// Where a `$ref` to another model of an API points.
const MODEL_REFERENCE: &str = "https://apigateway.amazonaws.com/restapis/";

#[derive(Clone, Copy, Debug)]
enum Field {
    Description,
    Schema,
}

const PATCHES: Table<Field> = Table {
    style: Style::Listing,
    rows: &[("/description", REPLACE, Field::Description), ("/schema", REPLACE, Field::Schema)],
};

/// The models that every new API has.
pub(crate) fn defaults() -> Result<Vec<Model>, ApiError> {
    Ok(vec![
        default("Empty", "This is a default empty schema model", EMPTY_SCHEMA)?,
        default("Error", "This is a default error schema model", ERROR_SCHEMA)?,
    ])
}

fn default(name: &str, description: &str, schema: &str) -> Result<Model, ApiError> {
    Ok(Model {
        id: Some(ids::short()?),
        name: Some(name.to_owned()),
        description: Some(description.to_owned()),
        schema: Some(schema.to_owned()),
        content_type: Some("application/json".to_owned()),
    })
}

impl ControlPlane {
    /// `CreateModel`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown API, [`ApiError::Conflict`] for a name that is taken,
    /// [`ApiError::BadRequest`] for a name or a schema that AWS refuses.
    pub fn create_model(&self, input: CreateModelRequest) -> Result<Model, ApiError> {
        let api = required(&input.rest_api_id);
        let model = Model {
            id: Some(ids::short()?),
            name: input.name,
            description: input.description.filter(|description| !description.is_empty()),
            schema: input.schema,
            content_type: input.content_type,
        };
        self.transact(|tx| {
            self.api(tx, api)?;
            let name = required(&model.name);
            check(&model)?;
            check_schema(tx, api, &model)?;
            let key = keys::one(api, Kind::Model, name);
            if tx.exists(&key)? {
                return conflict("Model name already exists for this REST API");
            }
            tx.put(&key, &model)
        })?;
        Ok(model)
    }

    /// `GetModel`. `flatten` puts the schemas of models it refers to in the place of the references.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such model.
    pub fn get_model(&self, input: GetModelRequest) -> Result<Model, ApiError> {
        let api = required(&input.rest_api_id);
        self.read(|tx| {
            let mut model = find(tx, api, required(&input.model_name))?;
            if input.flatten == Some(true)
                && let Ok(schema) = serde_json::from_str::<Value>(required(&model.schema))
            {
                let lookup = |name: &str| tx.get::<Model>(&keys::one(api, Kind::Model, name));
                model.schema = Some(model_template::flattened(&schema, &lookup)?.to_string());
            }
            Ok(model)
        })
    }

    /// `GetModels`, by name.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such API.
    pub fn get_models(&self, input: GetModelsRequest) -> Result<Models, ApiError> {
        let api = required(&input.rest_api_id);
        let models = self.read(|tx| {
            self.api(tx, api)?;
            tx.scan::<Model>(&keys::all(api, Kind::Model))
        })?;
        let (items, position) = page(models, input.position.as_deref(), input.limit)?;
        Ok(Models { items, position })
    }

    /// `GetModelTemplate`: a mapping template that renders an example of the model.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such model, [`ApiError::BadRequest`] if its schema is no JSON.
    pub fn get_model_template(&self, input: GetModelTemplateRequest) -> Result<Template, ApiError> {
        let api = required(&input.rest_api_id);
        self.read(|tx| {
            let model = find(tx, api, required(&input.model_name))?;
            let Ok(schema) = serde_json::from_str::<Value>(required(&model.schema)) else {
                return bad_request("Templates can only be generated from models with a JSON schema");
            };
            let lookup = |name: &str| tx.get::<Model>(&keys::one(api, Kind::Model, name));
            Ok(Template {
                value: Some(model_template::template(&model_template::flattened(&schema, &lookup)?)),
            })
        })
    }

    /// `UpdateModel`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such model, [`ApiError::BadRequest`] for a patch that AWS refuses.
    pub fn update_model(&self, input: UpdateModelRequest) -> Result<Model, ApiError> {
        let (api, name) = (required(&input.rest_api_id), required(&input.model_name));
        self.transact(|tx| {
            let mut model = find(tx, api, name)?;
            for patch in PATCHES.resolve(input.patch_operations.as_deref())? {
                match patch.field {
                    Field::Description => model.description = patch.text(),
                    Field::Schema => model.schema = patch.text(),
                }
            }
            check(&model)?;
            check_schema(tx, api, &model)?;
            tx.put(&keys::one(api, Kind::Model, name), &model)?;
            Ok(model)
        })
    }

    /// `DeleteModel`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such model, [`ApiError::Conflict`] if a method or a model refers to it.
    pub fn delete_model(&self, input: DeleteModelRequest) -> Result<(), ApiError> {
        let (api, name) = (required(&input.rest_api_id), required(&input.model_name));
        self.transact(|tx| {
            find(tx, api, name)?;
            for other in tx.scan::<Model>(&keys::all(api, Kind::Model))?.values() {
                let reference = format!("{MODEL_REFERENCE}{api}/models/{name}\"");
                if other.name.as_deref() != Some(name) && required(&other.schema).contains(&reference) {
                    return conflict(format!(
                        "Cannot delete model '{name}', is referenced in another model: {}",
                        required(&other.name)
                    ));
                }
            }
            let resources = tx.scan::<Resource>(&keys::all(api, Kind::Resource))?;
            let mut resources: Vec<_> = resources.values().collect();
            // Of several that refer to it, the last path is told.
            resources.sort_by(|a, b| b.path.cmp(&a.path));
            for resource in resources {
                for (http_method, method) in resource.resource_methods.iter().flatten() {
                    if let Some(place) = use_of(name, method) {
                        let method = methods::place(&resource.path, http_method);
                        return conflict(format!(
                            "Cannot delete model '{name}', is referenced in method {place}: {method}"
                        ));
                    }
                }
            }
            tx.delete(&keys::one(api, Kind::Model, name));
            Ok(())
        })
    }
}

/// Where a method uses a model.
fn use_of(name: &str, method: &Method) -> Option<&'static str> {
    let in_request = method.request_models.iter().flatten().any(|(_, model)| model == name);
    let responses = method.method_responses.iter().flatten();
    let in_response = responses
        .flat_map(|(_, response)| response.response_models.iter().flatten())
        .any(|(_, model)| model == name);
    if in_request { Some("request") } else { in_response.then_some("response") }
}

fn find(tx: &Tx, api: &str, name: &str) -> Result<Model, ApiError> {
    match tx.get(&keys::one(api, Kind::Model, name))? {
        Some(model) => Ok(model),
        None => not_found(format!("Invalid model name specified: {name}")),
    }
}

/// Holds the schema of a model against AWS's rules, with the models that are in the store.
fn check_schema(tx: &Tx, api: &str, model: &Model) -> Result<(), ApiError> {
    let names: Vec<String> = tx.keys(&keys::all(api, Kind::Model))?;
    check_references(model, |name| names.contains(&keys::one(api, Kind::Model, name)))
}

/// Holds the schema of a model against AWS's rules. `is_model` tells whether there is another model of a name.
///
/// # Errors
/// [`ApiError::BadRequest`] with all that AWS says of it.
pub(crate) fn check_references(model: &Model, is_model: impl Fn(&str) -> bool) -> Result<(), ApiError> {
    if !required(&model.content_type).contains("json") {
        return Ok(());
    }
    let Ok(schema) = serde_json::from_str::<Value>(required(&model.schema)) else { return Ok(()) };
    let own = model.name.as_deref();
    let errors = model_schema::errors(&schema, |name| own == Some(name) || is_model(name));
    if errors.is_empty() { Ok(()) } else { bad_request(invalid(&errors.join(", "))) }
}

/// A model of a WebSocket API as one of a REST API.
pub(crate) fn as_rest(model: &apigatewayv2::Model) -> Model {
    Model {
        id: model.model_id.clone(),
        name: model.name.clone(),
        description: model.description.clone(),
        schema: model.schema.clone(),
        content_type: model.content_type.clone(),
    }
}

/// AWS's words for a model that it does not take.
pub(crate) fn invalid(errors: &str) -> String {
    format!("Invalid model specified: Validation Result: warnings : [], errors : [{errors}]")
}

/// Whether a model can have this name.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Holds a model against AWS's rules.
///
/// # Errors
/// [`ApiError::BadRequest`] with AWS's message.
pub(crate) fn check(model: &Model) -> Result<(), ApiError> {
    let name = required(&model.name);
    if name.is_empty() {
        return bad_request("Model name must be non-empty");
    }
    if !is_name(name) {
        return bad_request(format!("Model name must be alphanumeric: {name}"));
    }
    let content_type = required(&model.content_type);
    let parts = content_type.split_once('/');
    if !parts.is_some_and(|(kind, subtype)| !kind.is_empty() && !subtype.is_empty()) {
        return bad_request(format!(
            "Validation Result: warnings : [], errors : [Invalid content type specified: {content_type}]"
        ));
    }
    let schema = required(&model.schema);
    if schema.is_empty() {
        return bad_request("Model schema must have at least 1 property or array items defined");
    }
    if required(&model.content_type).contains("json") && serde_json::from_str::<Value>(schema).is_err() {
        return bad_request(invalid("Invalid model schema specified"));
    }
    Ok(())
}
