//! HTTP and WebSocket APIs: the operations of `apigatewayv2`, one file per noun.
//!
//! Many operations have the name of one for REST APIs, so they are methods of [`V2`], a view of the control plane. Both
//! protocols share their nouns; what only one of them has is refused for the other where it is set.

mod apis;
mod authorizers;
mod auto_deploy;
mod deployments;
mod domain_names;
mod export;
mod import;
mod integration_responses;
mod integrations;
pub(crate) mod keys;
mod members;
mod models;
mod parameters;
mod route_key;
mod route_responses;
mod routes;
pub(crate) mod routing_rules;
mod stages;
mod tags;
pub(crate) mod vpc_links;
mod websocket;
pub mod whole;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use stagedoor_shapes::apigatewayv2::{Api, ProtocolType};
use stagedoor_shapes::snapshot::ApiSnapshot;

use crate::control_plane::ControlPlane;
use crate::tx::Tx;
use crate::{ApiError, page};
use keys::Kind;

pub use import::HttpStageDefinition;

/// The control plane as `apigatewayv2` shows it.
#[derive(Clone, Copy, Debug)]
pub struct V2<'p>(pub(crate) &'p ControlPlane);

impl ControlPlane {
    /// The operations on HTTP and WebSocket APIs.
    #[must_use]
    pub const fn v2(&self) -> V2<'_> {
        V2(self)
    }
}

impl V2<'_> {
    /// An API, or AWS's answer that there is none.
    pub(crate) fn api(&self, tx: &Tx, id: &str) -> Result<Api, ApiError> {
        tx.get(&keys::api(id))?.ok_or_else(|| self.0.no_such_api(id))
    }

    /// Everything of an API that a deployment freezes.
    pub(crate) fn snapshot(&self, tx: &Tx, id: &str) -> Result<ApiSnapshot, ApiError> {
        Ok(ApiSnapshot {
            api: self.api(tx, id)?,
            routes: all(tx, id, Kind::Route)?,
            route_responses: owned(tx, id, Kind::RouteResponse)?,
            integrations: all(tx, id, Kind::Integration)?,
            integration_responses: owned(tx, id, Kind::IntegrationResponse)?,
            authorizers: all(tx, id, Kind::Authorizer)?,
            models: all(tx, id, Kind::Model)?,
            vpc_link_names: vpc_links::names_now(tx)?,
        })
    }
}

/// Whether a stage is one of a WebSocket API: of this service's stages, those alone can be in usage plans.
pub(crate) fn has_websocket_stage(tx: &Tx, id: &str, stage: &str) -> Result<bool, ApiError> {
    let api = tx.get::<Api>(&keys::api(id))?;
    Ok(api.is_some_and(|api| !is_http(&api)) && tx.exists(&keys::one(id, Kind::Stage, stage))?)
}

/// Whether a stage is one of an HTTP API.
pub(crate) fn has_http_stage(tx: &Tx, id: &str, stage: &str) -> Result<bool, ApiError> {
    let api = tx.get::<Api>(&keys::api(id))?;
    Ok(api.is_some_and(|api| is_http(&api)) && tx.exists(&keys::one(id, Kind::Stage, stage))?)
}

/// All of a kind that an API has.
pub(crate) fn all<T: DeserializeOwned>(tx: &Tx, api: &str, kind: Kind) -> Result<Vec<T>, ApiError> {
    Ok(tx.scan::<T>(&keys::all(api, kind))?.into_values().collect())
}

/// All of a kind that belongs to something of an API, each with the id of what it belongs to.
fn owned<T: DeserializeOwned>(tx: &Tx, api: &str, kind: Kind) -> Result<Vec<(String, T)>, ApiError> {
    let prefix = keys::all(api, kind);
    let items = tx.scan::<T>(&prefix)?.into_iter();
    Ok(items
        .map(|(key, item)| {
            let owner = key.strip_prefix(&prefix).and_then(|rest| rest.split('/').next());
            (owner.unwrap_or_default().to_owned(), item)
        })
        .collect())
}

/// One page of a list, as `maxResults` and `nextToken` ask for it.
pub(crate) fn page_of<T>(
    items: impl IntoIterator<Item = (String, T)>,
    next_token: Option<&str>,
    max_results: Option<&str>,
) -> Result<page::Page<T>, ApiError> {
    let limit = max_results.filter(|text| !text.is_empty()).map(|text| {
        let limit = text.parse::<i32>().ok().filter(|limit| *limit >= 1);
        limit.ok_or_else(|| ApiError::BadRequest("Invalid maxResults specified".to_owned()))
    });
    page::page(items, next_token, limit.transpose()?)
}

/// A shape as another one with the same members. Those that the other does not have are left out.
pub(crate) fn recast<A: Serialize, B: DeserializeOwned>(shape: &A) -> Result<B, ApiError> {
    serde_json::to_value(shape).and_then(serde_json::from_value).map_err(internal)
}

/// A noun with the members of an update in place of its own. Members that the update does not have stay.
pub(crate) fn updated<T: Serialize + DeserializeOwned>(
    noun: &T,
    update: &impl Serialize,
) -> Result<T, ApiError> {
    let mut members = serde_json::to_value(noun).map_err(internal)?;
    let changes = serde_json::to_value(update).map_err(internal)?;
    if let (Value::Object(members), Value::Object(changes)) = (&mut members, changes) {
        members.extend(changes);
    }
    serde_json::from_value(members).map_err(internal)
}

/// The same, with the member of this name merged: what the update does not have of it stays too.
pub(crate) fn updated_within<T: Serialize + DeserializeOwned>(
    noun: &T,
    update: &impl Serialize,
    member: &str,
) -> Result<T, ApiError> {
    let before = serde_json::to_value(noun).map_err(internal)?;
    let mut changes = serde_json::to_value(update).map_err(internal)?;
    if let (Some(Value::Object(before)), Some(Value::Object(changed))) =
        (before.get(member), changes.get_mut(member))
    {
        for (name, value) in before {
            changed.entry(name).or_insert_with(|| value.clone());
        }
    }
    updated(noun, &changes)
}

fn internal(error: serde_json::Error) -> ApiError {
    ApiError::Internal(error.to_string())
}

/// Whether an API speaks HTTP.
pub(crate) fn is_http(api: &Api) -> bool {
    api.protocol_type != Some(ProtocolType::Websocket)
}
