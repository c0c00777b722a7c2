//! An API as a whole: everything that a deployment freezes, read and written at once.
//!
//! Imports and clones work on a whole: they read it, change it in memory, and write it back in one transaction.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde::de::DeserializeOwned;
use stagedoor_shapes::apigateway::{Resource, RestApi};
use stagedoor_shapes::snapshot::RestApiSnapshot;

use crate::ApiError;
use crate::control_plane::ControlPlane;
use crate::ids;
use crate::keys::{self, Kind};
use crate::places;
use crate::tx::Tx;

impl ControlPlane {
    /// Reads an API as it is now: resources by path, everything else by name or id.
    pub(crate) fn load_api(&self, tx: &Tx, id: &str) -> Result<RestApiSnapshot, ApiError> {
        let rest_api = tx.get(&keys::api(id))?.ok_or_else(|| self.no_such_api(id))?;
        let mut resources = load(tx, id, Kind::Resource)?;
        resources.sort_by(|one: &Resource, other| one.path.cmp(&other.path));
        Ok(RestApiSnapshot {
            rest_api,
            resources,
            models: load(tx, id, Kind::Model)?,
            request_validators: load(tx, id, Kind::Validator)?,
            authorizers: load(tx, id, Kind::Authorizer)?,
            gateway_responses: load(tx, id, Kind::GatewayResponse)?,
            vpc_links: BTreeMap::new(),
            vpc_link_names: BTreeMap::new(),
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
    places::drop_all(tx, id)?;
    replace(tx, id, Kind::Model, &whole.models, |model| model.name.as_deref())?;
    replace(tx, id, Kind::Validator, &whole.request_validators, |validator| validator.id.as_deref())?;
    replace(tx, id, Kind::Authorizer, &whole.authorizers, |authorizer| authorizer.id.as_deref())?;
    replace(tx, id, Kind::GatewayResponse, &whole.gateway_responses, |response| {
        response.response_type.map(|kind| kind.as_str())
    })
}

/// A copy for another API: everything in it gets an id of its own, and what refers to it refers to the copy.
///
/// # Errors
/// [`ApiError::Internal`] without random numbers.
pub(crate) fn copied(mut whole: RestApiSnapshot, to: &RestApi) -> Result<RestApiSnapshot, ApiError> {
    let mut new_ids = BTreeMap::new();
    let ids = (whole.resources.iter_mut().map(|resource| &mut resource.id))
        .chain(whole.models.iter_mut().map(|model| &mut model.id))
        .chain(whole.request_validators.iter_mut().map(|validator| &mut validator.id))
        .chain(whole.authorizers.iter_mut().map(|authorizer| &mut authorizer.id));
    for id in ids {
        let new = if *id == whole.rest_api.root_resource_id {
            to.root_resource_id.clone()
        } else {
            Some(ids::short()?)
        };
        if let (Some(old), Some(new)) = (id.take(), &new) {
            new_ids.insert(old, new.clone());
        }
        *id = new;
    }
    let follow = |id: &mut Option<String>| {
        if let Some(new) = id.as_ref().and_then(|id| new_ids.get(id)) {
            *id = Some(new.clone());
        }
    };
    for resource in &mut whole.resources {
        follow(&mut resource.parent_id);
        for method in resource.resource_methods.iter_mut().flat_map(BTreeMap::values_mut) {
            follow(&mut method.authorizer_id);
            follow(&mut method.request_validator_id);
            if let Some(integration) = &mut method.method_integration {
                follow(&mut integration.cache_namespace);
            }
        }
    }
    let reference = |api: &RestApi| format!("/restapis/{}/models/", api.id.as_deref().unwrap_or_default());
    let (before, after) = (reference(&whole.rest_api), reference(to));
    for schema in whole.models.iter_mut().filter_map(|model| model.schema.as_mut()) {
        *schema = schema.replace(&before, &after);
    }
    let from = std::mem::replace(&mut whole.rest_api, to.clone());
    let api = &mut whole.rest_api;
    api.binary_media_types = api.binary_media_types.take().or(from.binary_media_types);
    api.minimum_compression_size = api.minimum_compression_size.or(from.minimum_compression_size);
    Ok(whole)
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
