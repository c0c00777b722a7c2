//! Models: JSON schemas by name, which only WebSocket APIs have.

use serde_json::Value;
use stagedoor_shapes::apigatewayv2::{
    CreateModelRequest, DeleteModelRequest, GetModelRequest, GetModelTemplateRequest,
    GetModelTemplateResponse, GetModelsRequest, GetModelsResponse, Model, Route, RouteResponse,
    UpdateModelRequest,
};

use super::keys::{self, Kind};
use super::{V2, all, is_http, members, recast, updated};
use crate::control_plane::{bad_request, conflict, required};
use crate::model_template::{flattened, template};
use crate::tx::Tx;
use crate::{ApiError, model_schema, models};

impl V2<'_> {
    /// `CreateModel`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown API, [`ApiError::Conflict`] if the name is taken, [`ApiError::BadRequest`]
    /// for HTTP APIs and for a schema that AWS refuses.
    pub fn create_model(&self, input: CreateModelRequest) -> Result<Model, ApiError> {
        let api = required(&input.api_id);
        self.0.transact(|tx| {
            if is_http(&self.api(tx, api)?) {
                return bad_request(
                    "Currently, Models are not permitted for APIs with a protocol type of HTTP",
                );
            }
            let mut model: Model = recast(&input)?;
            model.model_id = Some(members::unused(tx, api, Kind::Model)?);
            model.content_type.get_or_insert_with(|| "application/json".to_owned());
            check(tx, api, &model)?;
            tx.put(&keys::one(api, Kind::Model, required(&model.model_id)), &model)?;
            self.redeploy(tx, api)?;
            Ok(model)
        })
    }

    /// `GetModel`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such model.
    pub fn get_model(&self, input: GetModelRequest) -> Result<Model, ApiError> {
        let (api, id) = (required(&input.api_id), required(&input.model_id));
        self.0.read(|tx| self.find(tx, api, Kind::Model, id))
    }

    /// `GetModelTemplate`: a mapping template that renders an example.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such model.
    pub fn get_model_template(
        &self,
        input: GetModelTemplateRequest,
    ) -> Result<GetModelTemplateResponse, ApiError> {
        let (api, id) = (required(&input.api_id), required(&input.model_id));
        self.0.read(|tx| {
            let model: Model = self.find(tx, api, Kind::Model, id)?;
            let Ok(schema) = serde_json::from_str::<Value>(required(&model.schema)) else {
                return bad_request("Templates can only be generated from models with a JSON schema");
            };
            let models: Vec<Model> = all(tx, api, Kind::Model)?;
            let lookup = |name: &str| {
                let found = models.iter().find(|model| model.name.as_deref() == Some(name));
                Ok(found.map(models::as_rest))
            };
            Ok(GetModelTemplateResponse { value: Some(template(&flattened(&schema, &lookup)?)) })
        })
    }

    /// `GetModels`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown API, [`ApiError::BadRequest`] for a token that no page has answered.
    pub fn get_models(&self, input: GetModelsRequest) -> Result<GetModelsResponse, ApiError> {
        let (token, max) = (input.next_token.as_deref(), input.max_results.as_deref());
        let (items, next_token) = self.list(required(&input.api_id), Kind::Model, token, max)?;
        Ok(GetModelsResponse { items, next_token })
    }

    /// `UpdateModel`.
    ///
    /// # Errors
    /// As for `CreateModel`, and [`ApiError::NotFound`] if there is no such model.
    pub fn update_model(&self, input: UpdateModelRequest) -> Result<Model, ApiError> {
        let (api, id) = (required(&input.api_id), required(&input.model_id));
        self.0.transact(|tx| {
            let model: Model = updated(&self.find::<Model>(tx, api, Kind::Model, id)?, &input)?;
            check(tx, api, &model)?;
            tx.put(&keys::one(api, Kind::Model, id), &model)?;
            self.redeploy(tx, api)?;
            Ok(model)
        })
    }

    /// `DeleteModel`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such model, [`ApiError::Conflict`] if a route refers to it.
    pub fn delete_model(&self, input: DeleteModelRequest) -> Result<(), ApiError> {
        let (api, id) = (required(&input.api_id), required(&input.model_id));
        self.0.transact(|tx| {
            let model: Model = self.find(tx, api, Kind::Model, id)?;
            check_unused(tx, api, required(&model.name))?;
            tx.delete(&keys::one(api, Kind::Model, id));
            self.redeploy(tx, api)
        })
    }
}

/// A model that something refers to stays.
fn check_unused(tx: &Tx, api: &str, name: &str) -> Result<(), ApiError> {
    let is_it = |(_, model): (&String, &String)| model == name;
    let routes: Vec<Route> = all(tx, api, Kind::Route)?;
    if let Some(route) = routes.iter().find(|route| route.request_models.iter().flatten().any(is_it)) {
        let key = required(&route.route_key);
        return conflict(format!("Cannot delete model '{name}', is referenced in route request: {key}"));
    }
    let responses: Vec<(String, RouteResponse)> = super::owned(tx, api, Kind::RouteResponse)?;
    let in_response =
        |(_, response): &(String, RouteResponse)| response.response_models.iter().flatten().any(is_it);
    match responses.iter().any(in_response) {
        true => conflict(format!("Cannot delete model '{name}', is referenced in a route response")),
        false => Ok(()),
    }
}

/// AWS's rules for a model.
pub(super) fn check(tx: &Tx, api: &str, model: &Model) -> Result<(), ApiError> {
    let name = required(&model.name);
    models::check(&models::as_rest(model))?;
    let others: Vec<Model> = all(tx, api, Kind::Model)?;
    if others.iter().any(|other| other.name == model.name && other.model_id != model.model_id) {
        return conflict(format!("Model name already exists for this API: {name}"));
    }
    if !required(&model.content_type).contains("json") {
        return Ok(());
    }
    let Ok(schema) = serde_json::from_str::<Value>(required(&model.schema)) else { return Ok(()) };
    let is_model =
        |known: &str| known == name || others.iter().any(|other| other.name.as_deref() == Some(known));
    let errors = model_schema::errors(&schema, is_model);
    match errors.is_empty() {
        true => Ok(()),
        false => bad_request(models::invalid(&errors.join(", "))),
    }
}
