//! Which names are taken below a resource: an index over the tree of resources, so that a new one need not read the whole
//! tree, whose every change would be a conflict then.
//!
//! The index is made when a resource is first created below any other, and [`drop_all`] does away with it where a tree is
//! replaced as a whole. A mark says that it is there. Whoever moves or deletes a resource tells it.

use std::collections::BTreeMap;

use stagedoor_shapes::apigateway::Resource;

use crate::ApiError;
use crate::control_plane::required;
use crate::keys::{self, Kind};
use crate::resources::{check_siblings, is_variable};
use crate::tx::Tx;

/// Makes sure that the index is there.
pub(crate) fn prepare(tx: &Tx, api: &str) -> Result<(), ApiError> {
    let mark = keys::places(api);
    if tx.exists(&mark)? {
        return Ok(());
    }
    drop_all(tx, api)?;
    for resource in tx.scan::<Resource>(&keys::all(api, Kind::Resource))?.values() {
        take(tx, api, resource)?;
    }
    tx.put(&mark, &true)
}

/// Forgets the index of an API.
pub(crate) fn drop_all(tx: &Tx, api: &str) -> Result<(), ApiError> {
    tx.delete_all(&keys::places(api))
}

/// Whether a resource can have its name beside those that are there.
///
/// # Errors
/// As [`check_siblings`].
pub(crate) fn check(tx: &Tx, api: &str, resource: &Resource) -> Result<(), ApiError> {
    let part = required(&resource.path_part);
    let below = keys::places_below(api, required(&resource.parent_id));
    let mut siblings = Vec::new();
    if tx.exists(&format!("{below}{part}"))? {
        siblings.push(part.to_owned());
    } else if is_variable(part) {
        // Only a variable is in the way of another.
        let variables: BTreeMap<String, String> = tx.scan(&format!("{below}{{"))?;
        siblings.extend(variables.keys().filter_map(|key| key.strip_prefix(&below)).map(str::to_owned));
    }
    check_siblings(part, siblings.iter().map(String::as_str))
}

/// Notes a resource's name. A root has none.
pub(crate) fn take(tx: &Tx, api: &str, resource: &Resource) -> Result<(), ApiError> {
    key(api, resource).map_or(Ok(()), |key| tx.put(&key, &resource.id))
}

/// Gives a resource's name free.
pub(crate) fn leave(tx: &Tx, api: &str, resource: &Resource) {
    if let Some(key) = key(api, resource) {
        tx.delete(&key);
    }
}

fn key(api: &str, resource: &Resource) -> Option<String> {
    let parent = resource.parent_id.as_deref()?;
    Some(format!("{}{}", keys::places_below(api, parent), resource.path_part.as_deref()?))
}
