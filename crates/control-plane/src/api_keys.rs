//! API keys: what tells one client of an API from another. What `ImportApiKeys` reads stands in `api_key_import.rs`.
//!
//! A key's value is stored as it is, because AWS gives it out again (`includeValue`). No two keys have the same value,
//! which `keys::api_key_value` holds.

use stagedoor_shapes::apigateway::{
    ApiKey, ApiKeys, CreateApiKeyRequest, DeleteApiKeyRequest, GetApiKeyRequest, GetApiKeysRequest, Op,
    Stage, StageKey, UpdateApiKeyRequest,
};

use crate::control_plane::{ControlPlane, bad_request, conflict, not_found, required, whole_seconds};
use crate::keys::{self, Kind};
use crate::page::page_below;
use crate::patch::{MEMBER, REPLACE, Style, Table};
use crate::tx::Tx;
use crate::{ApiError, ids, tags, usage_plan_keys};

const NAME_MAX: usize = 1024;
const VALUE_MIN: usize = 20;
const VALUE_MAX: usize = 128;
const DESCRIPTION_MAX: usize = 125_000;

#[derive(Clone, Copy, Debug)]
enum Field {
    Name,
    Description,
    Enabled,
    CustomerId,
    Labels,
    Stages,
}

const PATCHES: Table<Field> = Table {
    style: Style::Listing,
    rows: &[
        ("/description", REPLACE, Field::Description),
        ("/enabled", REPLACE, Field::Enabled),
        ("/name", REPLACE, Field::Name),
        ("/customerId", REPLACE, Field::CustomerId),
        ("/labels", MEMBER, Field::Labels),
        ("/stages", MEMBER, Field::Stages),
    ],
};

/// A key by its id.
///
/// # Errors
/// [`ApiError::NotFound`] if there is none.
pub(crate) fn find(tx: &Tx, id: &str) -> Result<ApiKey, ApiError> {
    match tx.get(&keys::api_key(id))? {
        Some(key) => Ok(key),
        None => not_found("Invalid API Key identifier specified"),
    }
}

/// What AWS asks of a value. It travels in a header, so it is visible characters only.
///
/// # Errors
/// The message.
pub(crate) fn check_value(value: &str) -> Result<(), String> {
    let length = value.chars().count();
    if length < VALUE_MIN {
        return Err(format!("API Key value should be at least {VALUE_MIN} characters"));
    }
    if length > VALUE_MAX {
        return Err(format!("API Key value exceeds maximum size of {VALUE_MAX} characters"));
    }
    if !value.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("API Key value should consist of visible ASCII characters without spaces".to_owned());
    }
    Ok(())
}

/// What AWS asks of a name.
///
/// # Errors
/// The message.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    if name.chars().count() > NAME_MAX {
        return Err(format!("Invalid API Key name, can be at most {NAME_MAX} characters."));
    }
    Ok(())
}

/// What AWS asks of a description.
///
/// # Errors
/// The message.
pub(crate) fn check_description(description: &str) -> Result<(), String> {
    if description.chars().count() > DESCRIPTION_MAX {
        return Err("Invalid API Key description specified.".to_owned());
    }
    Ok(())
}

/// Stores a new key under its id and its value, and where lists find it.
pub(crate) fn store_new(tx: &Tx, key: &ApiKey) -> Result<(), ApiError> {
    tx.put(&keys::api_key_order(key.created_date, required(&key.id)), &required(&key.id))?;
    tx.put(&keys::api_key_value(required(&key.value)), &required(&key.id))?;
    tx.put(&keys::api_key(required(&key.id)), key)
}

impl ControlPlane {
    /// `CreateApiKey`. The id is never the value, whatever `generateDistinctId` says: so AWS answers today.
    ///
    /// # Errors
    /// [`ApiError::BadRequest`] for a value or a name that AWS refuses, [`ApiError::Conflict`] if the value is taken,
    /// [`ApiError::NotFound`] for a stage that is not there, [`ApiError::LimitExceeded`] for more keys than there may be.
    pub fn create_api_key(&self, input: CreateApiKeyRequest) -> Result<ApiKey, ApiError> {
        tags::check(input.tags.as_ref())?;
        let value = match input.value.filter(|value| !value.is_empty()) {
            Some(value) => value,
            None => ids::api_key_value()?,
        };
        check_value(&value).map_err(ApiError::BadRequest)?;
        check_name(required(&input.name)).map_err(ApiError::BadRequest)?;
        check_description(required(&input.description)).map_err(ApiError::BadRequest)?;
        let now = self.now();
        let mut key = ApiKey {
            id: Some(ids::api()?),
            value: Some(value),
            name: input.name.filter(|name| !name.is_empty()),
            customer_id: input.customer_id.filter(|customer| !customer.is_empty()),
            description: input.description.filter(|description| !description.is_empty()),
            enabled: Some(input.enabled.unwrap_or(false)),
            created_date: Some(now),
            last_updated_date: Some(now),
            stage_keys: None,
            tags: input.tags.filter(|tags| !tags.is_empty()),
        };
        let stage_keys: Vec<String> = input.stage_keys.iter().flatten().map(stage_key).collect();
        key.stage_keys = Some(stage_keys);
        self.transact(|tx| {
            for stage in key.stage_keys.iter().flatten() {
                check_stage(tx, stage)?;
            }
            self.check_room_for_keys(tx, 1)?;
            if tx.exists(&keys::api_key_value(required(&key.value)))? {
                return conflict("API Key already exists");
            }
            store_new(tx, &key)
        })?;
        self.key_count.one_more();
        Ok(dated(key))
    }

    /// `GetApiKey`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such key.
    pub fn get_api_key(&self, input: GetApiKeyRequest) -> Result<ApiKey, ApiError> {
        let key = self.read(|tx| find(tx, required(&input.api_key)))?;
        Ok(answer(key, input.include_value == Some(true)))
    }

    /// `GetApiKeys`, the newest first; those whose name starts with `nameQuery` if there is one.
    ///
    /// # Errors
    /// [`ApiError::BadRequest`] for a position that no page has answered.
    pub fn get_api_keys(&self, input: GetApiKeysRequest) -> Result<ApiKeys, ApiError> {
        let show = |tx: &Tx, id: &str| {
            let key = find(tx, id)?;
            let named =
                input.name_query.as_deref().is_none_or(|query| required(&key.name).starts_with(query));
            let bought = input.customer_id.is_none() || input.customer_id == key.customer_id;
            let with_value = input.include_values == Some(true);
            Ok((named && bought).then(|| dated(ApiKey { value: key.value.filter(|_| with_value), ..key })))
        };
        let (items, position) = self.read(|tx| {
            let (position, show) = (input.position.as_deref(), |_: &str, id: String| show(tx, &id));
            page_below(tx.view(), keys::API_KEY_ORDER, position, input.limit, show)
        })?;
        Ok(ApiKeys { warnings: None, position, items })
    }

    /// `UpdateApiKey`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such key, [`ApiError::BadRequest`] for a patch that AWS refuses.
    pub fn update_api_key(&self, input: UpdateApiKeyRequest) -> Result<ApiKey, ApiError> {
        let id = required(&input.api_key);
        self.transact(|tx| {
            let mut key = find(tx, id)?;
            for patch in PATCHES.resolve(input.patch_operations.as_deref())? {
                match patch.field {
                    Field::Name => {
                        check_name(required(&patch.value)).map_err(ApiError::BadRequest)?;
                        key.name = patch.text();
                    }
                    Field::Description => {
                        check_description(required(&patch.value)).map_err(ApiError::BadRequest)?;
                        key.description = patch.text();
                    }
                    // AWS takes labels, and shows them nowhere.
                    Field::Labels => {}
                    Field::Enabled => key.enabled = Some(patch.truth()),
                    Field::CustomerId => key.customer_id = patch.text(),
                    Field::Stages => {
                        let stage = required(&patch.value);
                        let stages = key.stage_keys.get_or_insert_default();
                        stages.retain(|known| known != stage);
                        if patch.op == Op::Add {
                            check_stage(tx, stage)?;
                            stages.push(stage.to_owned());
                        }
                    }
                }
            }
            key.last_updated_date = Some(self.now());
            tx.put(&keys::api_key(id), &key)?;
            Ok(answer(key, false))
        })
    }

    /// `DeleteApiKey`. The key leaves its usage plans.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such key.
    pub fn delete_api_key(&self, input: DeleteApiKeyRequest) -> Result<(), ApiError> {
        let id = required(&input.api_key);
        self.transact(|tx| {
            let key = find(tx, id)?;
            for plan in usage_plan_keys::plans_of(tx, id)? {
                usage_plan_keys::remove(tx, &plan, &key);
            }
            tx.delete(&keys::api_key_order(key.created_date, id));
            tx.delete(&keys::api_key_value(required(&key.value)));
            tx.delete(&keys::api_key(id));
            Ok(())
        })?;
        self.key_count.one_less();
        Ok(())
    }
}

/// A key with its tags, and with its value if that was asked for.
fn answer(mut key: ApiKey, with_value: bool) -> ApiKey {
    key.value = key.value.filter(|_| with_value);
    key.tags.get_or_insert_default();
    dated(key)
}

fn dated(mut key: ApiKey) -> ApiKey {
    key.created_date = whole_seconds(key.created_date);
    key.last_updated_date = whole_seconds(key.last_updated_date);
    key
}

fn stage_key(key: &StageKey) -> String {
    format!("{}/{}", required(&key.rest_api_id), required(&key.stage_name))
}

/// A stage that is named as `{api}/{stage}` must be there. Naming it has no other effect: what a key may call is
/// decided by usage plans alone, as in every account that AWS opens today.
fn check_stage(tx: &Tx, stage: &str) -> Result<(), ApiError> {
    let found = match stage.split_once('/') {
        Some((api, name)) => tx.get::<Stage>(&keys::one(api, Kind::Stage, name))?.is_some(),
        None => return bad_request("Invalid stage key specified. It must be {restApiId}/{stageName}"),
    };
    if found { Ok(()) } else { not_found("Invalid stage identifier specified") }
}
