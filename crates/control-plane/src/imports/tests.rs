//! What definitions become, without a store. A golden pair is a document and the API that it makes.

use std::cell::Cell;
use std::sync::Arc;

use stagedoor_shapes::apigateway::GetRestApiRequest;
use stagedoor_shapes::snapshot::RestApiSnapshot;

use super::*;
use crate::issuers::KeySets;
use crate::{MemoryStore, Settings};

/// Puts a document over an API, with ids that count.
fn import(before: Option<RestApiSnapshot>, text: &str, options: &Options) -> Result<Applied, String> {
    let count = Cell::new(0);
    let new_id = || {
        count.set(count.get() + 1);
        format!("{:0>6}", count.get())
    };
    let quotas = crate::Quotas::default();
    let surroundings = Surroundings {
        account: "000000000000",
        region: "us-east-1",
        execute_api_arn: "arn:x",
        new_id: &new_id,
        quotas: &quotas,
        check: &crate::NoCheck,
        key_sets: &KeySets::new(),
    };
    let root = Some("root000000".to_owned());
    let new = RestApi { id: Some("abcdefghij".to_owned()), root_resource_id: root, ..RestApi::default() };
    let before = before.unwrap_or_else(|| blank(new));
    let document = Document::read(text).map_err(|findings| ImportError::Unreadable(findings).to_string())?;
    apply(before, &document, options, &surroundings)
        .map_err(|(errors, warnings)| ImportError::Refused { errors, warnings }.to_string())
}

fn golden(text: &str, expected: &str, options: &Options) {
    let applied = import(None, text, options).unwrap();
    let found = serde_json::json!({
        "api": applied.api,
        "documentation": applied.documentation,
        "warnings": applied.warnings.iter().map(warning).collect::<Vec<_>>(),
    });
    if std::env::var_os("STAGEDOOR_GOLDEN").is_some() {
        std::fs::write(expected, format!("{found:#}\n")).unwrap();
    }
    let expected: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(expected).unwrap()).unwrap();
    assert_eq!(found, expected, "{found:#}");
}

/// To write the expected side anew, run with `STAGEDOOR_GOLDEN` set, and read what changed.
#[test]
fn everything() {
    let expected = concat!(env!("CARGO_MANIFEST_DIR"), "/src/imports/golden/everything.json");
    let options = Options { overwrite: true, base_path: BasePath::Split, ..Options::default() };
    golden(include_str!("golden/everything.yaml"), expected, &options);
}

/// A small document: a title and paths.
fn small(paths: &str) -> String {
    format!("openapi: 3.0.1\ninfo: {{title: t}}\npaths: {{{paths}}}\n")
}

const MOCK: &str = "x-amazon-apigateway-integration: {type: mock}";

fn paths(api: &RestApiSnapshot) -> Vec<String> {
    let methods = |one: &stagedoor_shapes::apigateway::Resource| {
        one.resource_methods.iter().flatten().map(|(name, _)| name.clone()).collect::<Vec<_>>().join(",")
    };
    api.resources
        .iter()
        .map(|one| format!("{} {}", one.path.clone().unwrap_or_default(), methods(one)))
        .collect()
}

#[test]
fn merging_keeps_and_overwriting_removes() {
    let first = small(&format!("/a: {{get: {{{MOCK}}}}}, /b: {{get: {{{MOCK}}}}}"));
    let second = small(&format!("/b: {{post: {{{MOCK}}}}}"));
    let api = import(None, &first, &Options::default()).unwrap().api;
    let merged = import(Some(api.clone()), &second, &Options::default()).unwrap().api;
    assert_eq!(paths(&merged), ["/ ", "/a GET", "/b GET,POST"]);
    let overwrite = Options { overwrite: true, ..Options::default() };
    let replaced = import(Some(api.clone()), &second, &overwrite).unwrap().api;
    assert_eq!(paths(&replaced), ["/ ", "/b POST"]);
    // The path is in both, so its id stays.
    let id = |api: &RestApiSnapshot| {
        api.resources.iter().find(|one| one.path.as_deref() == Some("/b")).and_then(|one| one.id.clone())
    };
    assert_eq!(id(&api), id(&replaced));
}

#[test]
fn what_cannot_be_made_refuses_the_import() {
    let check = |paths: &str, expected: &str| {
        let error = import(None, &small(paths), &Options::default()).map(|_| ()).unwrap_err();
        assert_eq!(error, format!("Errors found during import:{expected}"), "{paths}");
    };
    check(
        "/a: {get: {x-amazon-apigateway-integration: {type: mock, timeoutInMillis: 1}}}",
        "\n\tUnable to put integration on 'GET' for resource at path '/a': Timeout should be between 50 ms and 29000 ms",
    );
    check(
        "'/{a}/{b}': {}, '/{c}': {}",
        "\n\tUnable to create resource at path '/{c}': A sibling ({a}) of this resource already has a variable path part \
         -- only one is allowed",
    );
    check(
        "'/{a+}/b': {}",
        "\n\tUnable to create resource at path '/{a+}/b': Cannot create a child of a resource with a greedy path \
         variable: {a+}",
    );
    check("/a: {get: {security: [{x: []}]}}", "\n\tthere is no security scheme 'x'");
}

#[test]
fn parameters_of_the_operation() {
    let parameters = |name: &str, value: &str| Some(BTreeMap::from([(name.to_owned(), value.to_owned())]));
    let check = |name: &str, value: &str| options(parameters(name, value).as_ref(), false, None);
    assert_eq!(check("basepath", "split").unwrap().base_path, BasePath::Split);
    assert!(check("ignore", "documentation").unwrap().ignore_documentation);
    assert_eq!(
        check("endpointConfigurationTypes", "REGIONAL").unwrap().endpoint_types,
        Some(vec!["REGIONAL".to_owned()])
    );
    assert!(check("basepath", "keep").is_err());
    assert!(check("ignore", "models").is_err());
}

#[test]
fn the_operations() {
    let control_plane = ControlPlane::new(Arc::new(MemoryStore::new()), Settings::default());
    let body = |text: &str| Some(Blob(text.as_bytes().to_vec()));
    let mistyped = small("/a: {get: {x-amazon-apigateway-integration: {type: mokc, tiemout: 1}}}");

    let refused =
        ImportRestApiRequest { body: body(&mistyped), fail_on_warnings: Some(true), ..Default::default() };
    let error = control_plane.import_rest_api(refused).unwrap_err();
    // The misspelt name, which AWS says nothing of, is no reason.
    assert_eq!(
        error.to_string(),
        "Warnings found during import:\n\tUnknown integration type 'mokc' for 'GET /a'. Ignoring."
    );
    assert_eq!(control_plane.api_ids().unwrap().len(), 0);

    let misspelt = small("/a: {get: {x-amazon-apigateway-integration: {type: mock, tiemout: 1}}}");
    let taken =
        ImportRestApiRequest { body: body(&misspelt), fail_on_warnings: Some(true), ..Default::default() };
    let api = control_plane.import_rest_api(taken).unwrap();
    assert_eq!(api.warnings.map(|warnings| warnings.len()), Some(1));
    // Warnings belong to an answer, and are not kept.
    let get = GetRestApiRequest { rest_api_id: api.id.clone() };
    assert_eq!(control_plane.get_rest_api(get).unwrap().warnings, None);

    let unreadable =
        PutRestApiRequest { rest_api_id: api.id, body: body("openapi: 3.0.1\na: [\n"), ..Default::default() };
    let error = control_plane.put_rest_api(unreadable).unwrap_err().to_string();
    assert_eq!(error, "Invalid OpenAPI input.");

    let nowhere = PutRestApiRequest { rest_api_id: Some("nowhere".to_owned()), ..Default::default() };
    assert!(matches!(control_plane.put_rest_api(nowhere), Err(ApiError::NotFound(_))));
}
