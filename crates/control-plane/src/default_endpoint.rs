//! Whether an API answers at its own address. `disableExecuteApiEndpoint` belongs to the API and counts for all of its
//! stages, but it takes effect with the next change of any stage (developer guide, "Disable the default endpoint"): what
//! is in effect is kept beside the API, and written again by every transaction that writes a stage.

use serde::de::DeserializeOwned;
use stagedoor_shapes::apigateway::RestApi;
use stagedoor_shapes::apigatewayv2::Api;

use crate::store::Snapshot;
use crate::tx::Tx;
use crate::{ApiError, keys, v2};

/// Brings the settings of those APIs into effect of which a transaction writes a stage.
pub(crate) fn settle(tx: &Tx) -> Result<(), ApiError> {
    for api in tx.written(api_of_stage) {
        let is_disabled = match api.starts_with(keys::APIS) {
            true => tx.get::<RestApi>(&api)?.map(|api| api.disable_execute_api_endpoint),
            false => tx.get::<Api>(&api)?.map(|api| api.disable_execute_api_endpoint),
        };
        if let Some(is_disabled) = is_disabled {
            tx.put(&in_effect(&api), &is_disabled.unwrap_or_default())?;
        }
    }
    Ok(())
}

/// Whether an API's own address is switched off in effect; `set` is what the API says. A store that is older than this
/// rule has nothing beside its APIs, and they go on as they are set.
pub(crate) fn is_disabled(view: &dyn Snapshot, api: &str, set: Option<bool>) -> Result<bool, ApiError> {
    let kept = view.get(&in_effect(api))?.map(|kept| decode::<bool>(&kept.value)).transpose()?;
    Ok(kept.or(set).unwrap_or_default())
}

/// Where it is kept, by the API's own key.
fn in_effect(api: &str) -> String {
    format!("{api}/default-endpoint")
}

/// The key of the API whose stage a key is.
fn api_of_stage(key: &str) -> Option<String> {
    let (all, rest) =
        [keys::APIS, v2::keys::APIS].into_iter().find_map(|all| Some((all, key.strip_prefix(all)?)))?;
    let (id, rest) = rest.split_once('/')?;
    rest.starts_with("stages/").then(|| format!("{all}{id}"))
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(bytes).map_err(|error| {
        ApiError::Internal(format!("what is kept of a default endpoint is damaged: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::api_of_stage;

    #[test]
    fn stages_are_told_from_other_things() {
        let check = |key: &str, expected: Option<&str>| {
            assert_eq!(api_of_stage(key).as_deref(), expected, "{key}");
        };
        check(&crate::keys::one("a1", crate::keys::Kind::Stage, "dev"), Some("restapis/a1"));
        check(&crate::v2::keys::one("a1", crate::v2::keys::Kind::Stage, "$default"), Some("apis/a1"));
        check("restapis/a1/resources/stages/", None);
        check("restapis/a1", None);
        check("apikeys/stages/x", None);
    }
}
