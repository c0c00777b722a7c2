//! Models: JSON schemas by name. HTTP APIs keep them without using them, as AWS does.

use serde_json::Value;
use stagedoor_shapes::apigatewayv2::{
    CreateModelRequest, DeleteModelRequest, GetModelRequest, GetModelTemplateRequest,
    GetModelTemplateResponse, GetModelsRequest, GetModelsResponse, Model, UpdateModelRequest,
};

use super::keys::{self, Kind};
use super::{V2, all, members, recast, updated};
use crate::ApiError;
use crate::control_plane::{bad_request, conflict, required};
use crate::model_template::{flattened, template};
use crate::tx::Tx;

impl V2<'_> {
    /// `CreateModel`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown API, [`ApiError::Conflict`] if the name is taken, [`ApiError::BadRequest`]
    /// for a schema that is no JSON.
    pub fn create_model(&self, input: CreateModelRequest) -> Result<Model, ApiError> {
        let api = required(&input.api_id);
        self.0.transact(|tx| {
            self.api(tx, api)?;
            let mut model: Model = recast(&input)?;
            model.model_id = Some(members::unused(tx, api, Kind::Model)?);
            model.content_type.get_or_insert_with(|| "application/json".to_owned());
            check(tx, api, &model)?;
            tx.put(&keys::one(api, Kind::Model, required(&model.model_id)), &model)?;
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
        let model: Model = self.0.read(|tx| self.find(tx, api, Kind::Model, id))?;
        let schema: Value = serde_json::from_str(required(&model.schema)).unwrap_or_default();
        let schema = flattened(&schema, &|_| Ok(None))?;
        Ok(GetModelTemplateResponse { value: Some(template(&schema)) })
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
            Ok(model)
        })
    }

    /// `DeleteModel`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such model.
    pub fn delete_model(&self, input: DeleteModelRequest) -> Result<(), ApiError> {
        let (api, id) = (required(&input.api_id), required(&input.model_id));
        self.0.transact(|tx| {
            self.find::<Model>(tx, api, Kind::Model, id)?;
            tx.delete(&keys::one(api, Kind::Model, id));
            Ok(())
        })
    }
}

fn check(tx: &Tx, api: &str, model: &Model) -> Result<(), ApiError> {
    let name = required(&model.name);
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return bad_request("Model name must be alphanumeric");
    }
    if !serde_json::from_str::<Value>(required(&model.schema)).is_ok_and(|schema| schema.is_object()) {
        return bad_request("Invalid model schema specified");
    }
    let models: Vec<Model> = all(tx, api, Kind::Model)?;
    match models.iter().any(|other| other.name == model.name && other.model_id != model.model_id) {
        true => conflict(format!("Model name already exists for this API: {name}")),
        false => Ok(()),
    }
}
