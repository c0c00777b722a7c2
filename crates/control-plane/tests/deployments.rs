//! Deployments and the stages that serve them.

// A test may fail loudly.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::sync::Arc;

use serde_json::{Value, json};
use stagedoor_control_plane::{ControlPlane, DeploymentCheck, MemoryStore, Settings};
use stagedoor_shapes::apigateway::Stage;
use stagedoor_shapes::apigatewayv2;
use stagedoor_shapes::snapshot::{ApiSnapshot, RestApiSnapshot};
use support::{api, call, mock, patch, plane, resource, text};

fn deploy(plane: &ControlPlane, api: &str, stage: &str) -> Value {
    call(|input| plane.create_deployment(input), json!({ "restApiId": api, "stageName": stage }))
}

fn update(plane: &ControlPlane, api: &str, patches: &Value) -> Value {
    let input = json!({ "restApiId": api, "stageName": "dev", "patchOperations": patches });
    call(|input| plane.update_stage(input), input)
}

#[test]
fn only_what_can_be_called_is_deployed() {
    let plane = plane();
    let (api, root) = api(&plane);
    let none = json!({ "BadRequest": "The REST API doesn't contain any methods" });
    assert_eq!(deploy(&plane, &api, "dev"), none);
    let method =
        json!({ "restApiId": api, "resourceId": root, "httpMethod": "GET", "authorizationType": "NONE" });
    call(|input| plane.put_method(input), method);
    assert_eq!(deploy(&plane, &api, "dev"), json!({ "BadRequest": "No integration defined for method" }));
    let unknown = json!({ "NotFound": "Invalid API identifier specified 000000000000:none" });
    assert_eq!(deploy(&plane, "none", "dev"), unknown);
}

#[test]
fn a_deployment_is_what_the_api_was() {
    let plane = plane();
    let (api, root) = api(&plane);
    mock(&plane, &api, &root);
    let first = deploy(&plane, &api, "dev");
    assert_eq!(first, json!({ "id": first["id"], "createdDate": first["createdDate"] }));
    mock(&plane, &api, &resource(&plane, &api, &root, "later"));
    let served = |plane: &ControlPlane| {
        let deployed = plane.deployed_api(&api).unwrap().unwrap();
        deployed.stages["dev"].1.snapshot.resources.len()
    };
    assert_eq!(served(&plane), 1);
    let input = json!({ "restApiId": api, "deploymentId": first["id"], "embed": ["apisummary"] });
    let found = call(|input| plane.get_deployment(input), input);
    assert_eq!(
        found["apiSummary"],
        json!({ "/": { "GET": { "authorizationType": "NONE", "apiKeyRequired": false } } })
    );
    deploy(&plane, &api, "dev");
    assert_eq!(served(&plane), 2);
    let back = patch("replace", "/deploymentId", first["id"].as_str().unwrap());
    assert_eq!(update(&plane, &api, &back)["deploymentId"], first["id"]);
    assert_eq!(served(&plane), 1);
    let active = "Active stages pointing to this deployment must be moved or deleted";
    let input = json!({ "restApiId": api, "deploymentId": first["id"] });
    let deleted = call(|input| plane.delete_deployment(input), input.clone());
    assert_eq!(deleted, json!({ "BadRequest": active }));
    call(|input| plane.delete_stage(input), json!({ "restApiId": api, "stageName": "dev" }));
    assert!(call(|input| plane.delete_deployment(input), input).is_null());
}

#[test]
fn a_stage_has_the_defaults_of_aws() {
    let plane = plane();
    let (api, root) = api(&plane);
    mock(&plane, &api, &root);
    let deployment = text(&call(|input| plane.create_deployment(input), json!({ "restApiId": api })), "id");
    let input = json!({ "restApiId": api, "stageName": "dev", "deploymentId": deployment });
    let stage = call(|input| plane.create_stage(input), input.clone());
    let expected = json!({
        "stageName": "dev", "deploymentId": deployment, "cacheClusterEnabled": false,
        "cacheClusterStatus": "NOT_AVAILABLE", "methodSettings": {}, "tracingEnabled": false,
        "createdDate": stage["createdDate"], "lastUpdatedDate": stage["lastUpdatedDate"],
    });
    assert_eq!(stage, expected);
    assert_eq!(call(|input| plane.create_stage(input), input), json!({ "Conflict": "Stage already exists" }));
    let unknown = json!({ "restApiId": api, "stageName": "prod", "deploymentId": "none" });
    let answer = call(|input| plane.create_stage(input), unknown);
    assert_eq!(answer, json!({ "BadRequest": "Deployment id does not exist" }));
    for wrong in ["", "a b", "a/b", "$default"] {
        let input = json!({ "restApiId": api, "stageName": wrong, "deploymentId": deployment });
        assert!(call(|input| plane.create_stage(input), input)["BadRequest"].is_string(), "{wrong}");
    }
}

#[test]
fn variables_are_patched_one_by_one() {
    let plane = plane();
    let (api, root) = api(&plane);
    mock(&plane, &api, &root);
    deploy(&plane, &api, "dev");
    let answer = update(&plane, &api, &patch("replace", "/variables/host", "a.example:80/x?y=z"));
    assert_eq!(answer["variables"], json!({ "host": "a.example:80/x?y=z" }));
    assert!(update(&plane, &api, &patch("replace", "/variables/a-b", "x"))["BadRequest"].is_string());
    assert!(update(&plane, &api, &patch("replace", "/variables/a", "<>"))["BadRequest"].is_string());
    assert!(update(&plane, &api, &patch("remove", "/variables/host", ""))["variables"].is_null());
}

struct Refuse;

impl DeploymentCheck for Refuse {
    fn check(&self, snapshot: &RestApiSnapshot, stage: Option<&Stage>) -> Result<(), Vec<String>> {
        let stage = stage.and_then(|stage| stage.stage_name.clone()).unwrap_or_default();
        Err(vec![format!("{} resources in {stage:?}", snapshot.resources.len()), "and more".to_owned()])
    }

    fn check_v2(&self, _: &ApiSnapshot, _: Option<&apigatewayv2::Stage>) -> Result<(), Vec<String>> {
        Ok(())
    }
}

#[test]
fn what_the_data_plane_refuses_is_not_deployed() {
    let settings = Settings { deployment_check: Arc::new(Refuse), ..Settings::default() };
    let plane = ControlPlane::new(Arc::new(MemoryStore::new()), settings);
    let (api, root) = api(&plane);
    mock(&plane, &api, &root);
    let message = "This cannot be deployed: 1 resources in \"dev\"; and more";
    assert_eq!(deploy(&plane, &api, "dev"), json!({ "BadRequest": message }));
    let stages = call(|input| plane.get_stages(input), json!({ "restApiId": api }));
    assert_eq!(stages["item"], json!([]));
    let deployments = call(|input| plane.get_deployments(input), json!({ "restApiId": api }));
    assert_eq!(deployments["item"], json!([]));
}
