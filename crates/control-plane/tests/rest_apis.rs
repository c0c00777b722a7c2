//! REST APIs, their tags and policies.

// A test may fail loudly.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use serde_json::json;
use support::{api, call, mock, patch, plane, resource, text};

#[test]
fn a_new_api_has_the_defaults_of_aws() {
    let plane = plane();
    let answer = call(|input| plane.create_rest_api(input), json!({ "name": "a" }));
    let expected = json!({
        "id": answer["id"], "name": "a", "createdDate": answer["createdDate"], "apiKeySource": "HEADER",
        "endpointConfiguration": { "types": ["EDGE"], "ipAddressType": "ipv4" },
        "disableExecuteApiEndpoint": false, "rootResourceId": answer["rootResourceId"],
    });
    assert_eq!(answer, expected);
    assert!(answer["createdDate"].is_i64());
    let found = call(|input| plane.get_rest_api(input), json!({ "restApiId": answer["id"] }));
    assert_eq!(found["tags"], json!({}));
    let models = call(|input| plane.get_models(input), json!({ "restApiId": answer["id"] }));
    assert_eq!(models["item"][0]["name"], "Empty");
    assert_eq!(models["item"][1]["name"], "Error");
}

#[test]
fn what_aws_refuses_is_refused_in_its_order() {
    let plane = plane();
    let check = |input: serde_json::Value, expected: &str| {
        let answer = call(|input| plane.create_rest_api(input), input);
        assert_eq!(answer, json!({ "BadRequest": expected }));
    };
    let no_description = "Description cannot be an empty string";
    check(json!({ "name": "a", "description": "", "minimumCompressionSize": -1 }), no_description);
    let compression = "Invalid minimum compression size, must be between 0 and 10485760";
    check(json!({ "name": "a", "minimumCompressionSize": -1 }), compression);
    check(json!({ "name": "a", "minimumCompressionSize": 10_485_761 }), compression);
    let endpoint = |types: &[&str], ip: &str| json!({ "name": "a", "endpointConfiguration": { "types": types, "ipAddressType": ip } });
    let none = "REGIONAL Configuration and EDGE Configuration cannot be both DISABLED.";
    check(endpoint(&[], "ipv4"), none);
    check(endpoint(&["EDGE", "REGIONAL"], "ipv4"), "Cannot create an api with multiple Endpoint Types.");
    check(endpoint(&["PRIVATE"], "ipv4"), "Only dualstack ipAddressType is supported for Private APIs.");
}

#[test]
fn a_tag_sets_the_id() {
    let plane = plane();
    let input = json!({ "name": "a", "tags": { "_custom_id_": "my-api", "team": "x" } });
    let answer = call(|input| plane.create_rest_api(input), input.clone());
    assert_eq!(answer["id"], "my-api");
    assert_eq!(answer["tags"], input["tags"]);
    assert_eq!(
        call(|input| plane.create_rest_api(input), input),
        json!({ "Conflict": "An API with the id my-api already exists" })
    );
    for wrong in ["", "a/b", "a b"] {
        let input = json!({ "name": "a", "tags": { "_custom_id_": wrong } });
        assert!(call(|input| plane.create_rest_api(input), input)["BadRequest"].is_string(), "{wrong}");
    }
}

#[test]
fn lists_come_in_pages_in_the_order_of_creation() {
    let plane = plane();
    let ids: Vec<String> = (0..7).map(|_| api(&plane).0).collect();
    let (mut found, mut position) = (Vec::new(), json!(null));
    loop {
        let page = call(|input| plane.get_rest_apis(input), json!({ "limit": 3, "position": position }));
        found.extend(page["item"].as_array().unwrap().iter().map(|api| text(api, "id")));
        position = page["position"].clone();
        if position.is_null() {
            break;
        }
    }
    // Within a millisecond, the ids decide; so the order is compared where it is certain.
    let (mut sorted, mut expected) = (found.clone(), ids.clone());
    sorted.sort();
    expected.sort();
    assert_eq!(sorted, expected);
    assert_eq!(found.len(), 7);
}

#[test]
fn policies_are_kept_whole_and_answered_as_aws_does() {
    let plane = plane();
    let (id, _) = api(&plane);
    let policy = r#"{ "Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "execute-api:/*"}] }"#;
    let input = json!({ "restApiId": id, "patchOperations": patch("replace", "/policy", policy) });
    let answer = call(|input| plane.update_rest_api(input), input);
    let arn = format!("arn:aws:execute-api:us-east-1:000000000000:{id}\\/*");
    assert!(text(&answer, "policy").contains(&format!(r#"\"Resource\":\"{arn}\""#)), "{answer}");
    let input = json!({ "restApiId": id, "patchOperations": patch("replace", "/policy", "nonsense") });
    let message =
        "Invalid policy document. Please check the policy syntax and ensure that Principals are valid.";
    assert_eq!(call(|input| plane.update_rest_api(input), input), json!({ "BadRequest": message }));
    let input = json!({ "restApiId": id, "patchOperations": patch("replace", "/policy", "") });
    assert!(call(|input| plane.update_rest_api(input), input)["policy"].is_null());
}

#[test]
fn tags_are_edited_by_arn() {
    let plane = plane();
    let (id, _) = api(&plane);
    let arn = format!("arn:aws:apigateway:us-east-1::/restapis/{id}");
    let tags = |arn: &str| call(|input| plane.get_tags(input), json!({ "resourceArn": arn }));
    call(|input| plane.tag_resource(input), json!({ "resourceArn": arn, "tags": { "a": "1", "b": "2" } }));
    assert_eq!(tags(&arn), json!({ "tags": { "a": "1", "b": "2" } }));
    call(|input| plane.untag_resource(input), json!({ "resourceArn": arn, "tagKeys": ["a", "none"] }));
    assert_eq!(tags(&arn), json!({ "tags": { "b": "2" } }));
    let input = json!({ "resourceArn": arn, "tags": { "aws:x": "1" } });
    assert!(call(|input| plane.tag_resource(input), input)["BadRequest"].is_string());
    assert!(tags("arn:aws:apigateway:us-east-1::/restapis/none")["NotFound"].is_string());
    assert!(tags("arn:aws:apigateway:eu-west-1::/restapis/x")["BadRequest"].is_string());
    assert!(tags(&format!("{arn}/stages/none"))["NotFound"].is_string());
}

#[test]
fn a_clone_has_everything_under_ids_of_its_own() {
    let plane = plane();
    let (id, root) = api(&plane);
    let pets = resource(&plane, &id, &root, "pets");
    mock(&plane, &id, &pets);
    let clone = call(|input| plane.create_rest_api(input), json!({ "name": "b", "cloneFrom": id }));
    assert_ne!(clone["id"], json!(id));
    let input = json!({ "restApiId": clone["id"], "embed": ["methods"] });
    let resources = call(|input| plane.get_resources(input), input);
    assert_eq!(resources["item"][1]["path"], "/pets");
    let integration = &resources["item"][1]["resourceMethods"]["GET"]["methodIntegration"];
    assert_eq!(integration["type"], "MOCK");
    assert_eq!(integration["cacheNamespace"], resources["item"][1]["id"]);
    assert_ne!(integration["cacheNamespace"], json!(pets));
    assert_eq!(resources["item"][1]["parentId"], clone["rootResourceId"]);
    let deleted = call(|input| plane.delete_rest_api(input), json!({ "restApiId": id }));
    assert!(deleted.is_null());
    let resources = call(|input| plane.get_resources(input), json!({ "restApiId": clone["id"] }));
    assert_eq!(resources["item"].as_array().unwrap().len(), 2);
}

#[test]
fn nothing_is_left_of_a_deleted_api() {
    let plane = plane();
    let (id, root) = api(&plane);
    mock(&plane, &id, &root);
    call(|input| plane.create_deployment(input), json!({ "restApiId": id, "stageName": "dev" }));
    call(|input| plane.delete_rest_api(input), json!({ "restApiId": id }));
    assert_eq!(plane.store().snapshot().unwrap().scan("", None, 10).unwrap(), []);
    let again = call(|input| plane.delete_rest_api(input), json!({ "restApiId": id }));
    assert_eq!(again, json!({ "NotFound": format!("Invalid API identifier specified 000000000000:{id}") }));
}
