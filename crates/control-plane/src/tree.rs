//! An API as a whole: everything that a deployment freezes, read and written at once.
//!
//! Imports and clones work on a whole: they read it, change it in memory, and write it back in one transaction.

use std::collections::BTreeSet;

use serde::Serialize;
use serde::de::DeserializeOwned;
use stagedoor_shapes::snapshot::RestApiSnapshot;

use crate::ApiError;
use crate::control_plane::ControlPlane;
use crate::keys::{self, Kind};
use crate::tx::Tx;

impl ControlPlane {
    /// Reads an API as it is now: resources by path, everything else by name or id.
    pub(crate) fn load_api(&self, tx: &Tx, id: &str) -> Result<RestApiSnapshot, ApiError> {
        let rest_api = tx.get(&keys::api(id))?.ok_or_else(|| self.no_such_api(id))?;
        let mut resources = load(tx, id, Kind::Resource)?;
        resources.sort_by(|one: &stagedoor_shapes::apigateway::Resource, other| one.path.cmp(&other.path));
        Ok(RestApiSnapshot {
            rest_api,
            resources,
            models: load(tx, id, Kind::Model)?,
            request_validators: load(tx, id, Kind::Validator)?,
            authorizers: load(tx, id, Kind::Authorizer)?,
            gateway_responses: load(tx, id, Kind::GatewayResponse)?,
        })
    }
}

/// Puts a whole in the place of what an API has: what is not in it is deleted. Deployments, stages and documentation
/// stay. Ids, parents and paths have to be set and to agree; nothing is checked here.
///
/// The API itself is written as well, so it may be a new one.
pub(crate) fn replace_api(tx: &Tx, id: &str, whole: &RestApiSnapshot) -> Result<(), ApiError> {
    tx.put(&keys::api(id), &whole.rest_api)?;
    replace(tx, id, Kind::Resource, &whole.resources, |resource| resource.id.as_deref())?;
    replace(tx, id, Kind::Model, &whole.models, |model| model.name.as_deref())?;
    replace(tx, id, Kind::Validator, &whole.request_validators, |validator| validator.id.as_deref())?;
    replace(tx, id, Kind::Authorizer, &whole.authorizers, |authorizer| authorizer.id.as_deref())?;
    replace(tx, id, Kind::GatewayResponse, &whole.gateway_responses, |response| {
        response.response_type.map(|kind| kind.as_str())
    })
}

fn load<T: DeserializeOwned>(tx: &Tx, id: &str, kind: Kind) -> Result<Vec<T>, ApiError> {
    Ok(tx.scan(&keys::all(id, kind))?.into_values().collect())
}

fn replace<T: Serialize>(
    tx: &Tx,
    id: &str,
    kind: Kind,
    items: &[T],
    name: impl Fn(&T) -> Option<&str>,
) -> Result<(), ApiError> {
    let mut kept = BTreeSet::new();
    for item in items {
        let name =
            name(item).ok_or_else(|| ApiError::Internal(format!("a {kind:?} has no name to store it by")))?;
        let key = keys::one(id, kind, name);
        tx.put(&key, item)?;
        kept.insert(key);
    }
    for key in tx.keys(&keys::all(id, kind))? {
        if !kept.contains(&key) {
            tx.delete(&key);
        }
    }
    Ok(())
}
