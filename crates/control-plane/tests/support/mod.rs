//! Calls with JSON on both sides, so that tests read like the calls of a client.

// Each test file uses its own part of this.
#![allow(dead_code)]

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use stagedoor_control_plane::{ApiError, ControlPlane, MemoryStore, Settings};

/// A control plane over an empty store.
pub(crate) fn plane() -> ControlPlane {
    ControlPlane::new(Arc::new(MemoryStore::new()), Settings::default())
}

/// The answer to a call as JSON; a refusal is `{"Kind": "message"}`.
pub(crate) fn call<I: DeserializeOwned, O: Serialize>(
    method: impl FnOnce(I) -> Result<O, ApiError>,
    input: Value,
) -> Value {
    match method(serde_json::from_value(input).unwrap()) {
        Ok(output) => serde_json::to_value(output).unwrap(),
        Err(ApiError::NotFound(message)) => json!({ "NotFound": message }),
        Err(ApiError::BadRequest(message)) => json!({ "BadRequest": message }),
        Err(ApiError::Conflict(message)) => json!({ "Conflict": message }),
        Err(other) => json!({ "Other": format!("{other:?}") }),
    }
}

/// A member that has to be a string.
pub(crate) fn text(answer: &Value, member: &str) -> String {
    answer[member].as_str().unwrap_or_else(|| panic!("no {member} in {answer}")).to_owned()
}

/// A new API: its id and the id of its root resource.
pub(crate) fn api(plane: &ControlPlane) -> (String, String) {
    let api = call(|input| plane.create_rest_api(input), json!({ "name": "test" }));
    (text(&api, "id"), text(&api, "rootResourceId"))
}

/// A new resource: its id.
pub(crate) fn resource(plane: &ControlPlane, api: &str, parent: &str, part: &str) -> String {
    let input = json!({ "restApiId": api, "parentId": parent, "pathPart": part });
    text(&call(|input| plane.create_resource(input), input), "id")
}

/// A method with a mock integration, enough to be deployed.
pub(crate) fn mock(plane: &ControlPlane, api: &str, resource: &str) {
    let method =
        json!({ "restApiId": api, "resourceId": resource, "httpMethod": "GET", "authorizationType": "NONE" });
    call(|input| plane.put_method(input), method);
    let integration =
        json!({ "restApiId": api, "resourceId": resource, "httpMethod": "GET", "type": "MOCK" });
    call(|input| plane.put_integration(input), integration);
}

/// One patch operation.
pub(crate) fn patch(op: &str, path: &str, value: &str) -> Value {
    json!([{ "op": op, "path": path, "value": value }])
}
