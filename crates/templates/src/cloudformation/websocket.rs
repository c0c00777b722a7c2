//! `AWS::ApiGatewayV2::*`: WebSocket APIs with all that belongs to them.

use std::collections::HashMap;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use stagedoor_control_plane::whole::WebSocketDefinition;
use stagedoor_shapes::apigatewayv2::{
    Api, Authorizer, Integration, IntegrationResponse, Model, Route, RouteResponse, Stage,
};

use super::properties::{self, Table};
use super::resolve::{Resolver, member_id};
use super::{Kind, Resource, Template, TemplateApi};

/// Reads the WebSocket APIs of a template.
pub(super) fn read(resolver: &Resolver<'_>, template: &mut Template) {
    for resource in resolver.of_kind(&[Kind::Api]) {
        template.apis.extend(api(resolver, resource));
    }
    let deployments = deployments(resolver, &template.apis);
    for resource in resolver.of_kind(&[
        Kind::Model,
        Kind::Authorizer,
        Kind::Integration,
        Kind::IntegrationResponse,
        Kind::Route,
        Kind::RouteResponse,
        Kind::Stage,
    ]) {
        member(resolver, resource, &deployments, template);
    }
    // A stage that is refused is no reason to miss it.
    let has_problems = !resolver.problems().borrow().is_empty();
    for api in &template.apis {
        if !has_problems
            && api.definition.stages.is_empty()
            && let Some(place) = api.places.get("")
        {
            let message = "the API has no stage, so nothing of it would be served".to_owned();
            resolver.problems().borrow_mut().push(crate::Problem { message, ..place.clone() });
        }
    }
}

fn api(resolver: &Resolver<'_>, resource: &Resource<'_>) -> Option<TemplateApi> {
    let properties = read_properties(resolver, resource, "AWS::ApiGatewayV2::Api", properties::API);
    if properties.get("protocolType").and_then(Value::as_str) != Some("WEBSOCKET") {
        let place = resource.properties.as_ref().and_then(|place| place.get("ProtocolType"));
        let message =
            "of a template, WEBSOCKET APIs are served; write HTTP and REST APIs as OpenAPI documents";
        resolver.problem(&place.unwrap_or_else(|| resource.place.clone()), message);
        return None;
    }
    let mut api: Api = shape(resolver, resource, properties)?;
    let id = resolver.physical(resource)?;
    api.api_id = Some(id.clone());
    api.name.get_or_insert_with(|| resource.name.to_owned());
    Some(TemplateApi {
        file: resolver.file().to_owned(),
        id,
        name: api.name.clone().unwrap_or_default(),
        definition: WebSocketDefinition { api, ..WebSocketDefinition::default() },
        places: HashMap::from([(String::new(), resolver.place_of(&resource.place))]),
    })
}

/// A deployment: the API's id, its own, and the stage that it names.
type Deployed = (String, String, Option<String>);

/// Everything is deployed as it stands, so a deployment only says which stages serve it.
fn deployments(resolver: &Resolver<'_>, apis: &[TemplateApi]) -> Vec<Deployed> {
    let mut found = Vec::new();
    for resource in resolver.of_kind(&[Kind::Deployment]) {
        let what = "AWS::ApiGatewayV2::Deployment";
        let properties = read_properties(resolver, resource, what, properties::DEPLOYMENT);
        let text = |name: &str| properties.get(name).and_then(Value::as_str).map(str::to_owned);
        if let Some(api) = own_api(resolver, resource, &properties, apis) {
            found.push((api, member_id(resource.name), text("stageName")));
        }
    }
    found
}

/// The API that a resource says it belongs to.
fn own_api(
    resolver: &Resolver<'_>,
    resource: &Resource<'_>,
    properties: &Map<String, Value>,
    apis: &[TemplateApi],
) -> Option<String> {
    let id = properties.get("apiId").and_then(Value::as_str);
    if let Some(id) = id.filter(|id| apis.iter().any(|api| api.id == *id)) {
        return Some(id.to_owned());
    }
    let place = resource.properties.as_ref().and_then(|place| place.get("ApiId"));
    // What an expression refers to in vain was told, and an API that is refused is no reason to say so of each member.
    if (id.is_none() && place.is_none()) || (id.is_some() && !apis.is_empty()) {
        let message = "'ApiId' must be a WebSocket API of this template";
        resolver.problem(&place.unwrap_or_else(|| resource.place.clone()), message);
    }
    None
}

fn member(
    resolver: &Resolver<'_>,
    resource: &Resource<'_>,
    deployments: &[Deployed],
    template: &mut Template,
) {
    let (what, table) = match resource.kind {
        Kind::Authorizer => ("AWS::ApiGatewayV2::Authorizer", properties::AUTHORIZER),
        Kind::Integration => ("AWS::ApiGatewayV2::Integration", properties::INTEGRATION),
        Kind::IntegrationResponse => {
            ("AWS::ApiGatewayV2::IntegrationResponse", properties::INTEGRATION_RESPONSE)
        }
        Kind::Model => ("AWS::ApiGatewayV2::Model", properties::MODEL),
        Kind::Route => ("AWS::ApiGatewayV2::Route", properties::ROUTE),
        Kind::RouteResponse => ("AWS::ApiGatewayV2::RouteResponse", properties::ROUTE_RESPONSE),
        _ => ("AWS::ApiGatewayV2::Stage", properties::STAGE),
    };
    let mut read = read_properties(resolver, resource, what, table);
    let Some(api) = own_api(resolver, resource, &read, &template.apis) else { return };
    read.remove("apiId");
    let uri = ["integrationUri", "authorizerUri"].into_iter().find_map(|name| read.get(name)?.as_str());
    if let Some(uri) = uri {
        let place = resource
            .properties
            .as_ref()
            .and_then(|place| place.get("IntegrationUri").or_else(|| place.get("AuthorizerUri")));
        let place = place.unwrap_or_else(|| resource.place.clone());
        template.calls.push((uri.to_owned(), resolver.place_of(&place)));
    }
    let Some(owner) = template.apis.iter_mut().find(|one| one.id == api) else { return };
    let id = member_id(resource.name);
    let mut key = id.clone();
    let definition = &mut owner.definition;
    let id = Value::from(id);
    match resource.kind {
        Kind::Model => {
            read.insert("modelId".to_owned(), id);
            definition.models.extend(shape::<Model>(resolver, resource, read));
        }
        Kind::Authorizer => {
            read.insert("authorizerId".to_owned(), id);
            definition.authorizers.extend(shape::<Authorizer>(resolver, resource, read));
        }
        Kind::Integration => {
            read.insert("integrationId".to_owned(), id);
            definition.integrations.extend(shape::<Integration>(resolver, resource, read));
        }
        Kind::Route => {
            read.insert("routeId".to_owned(), id);
            definition.routes.extend(shape::<Route>(resolver, resource, read));
        }
        Kind::IntegrationResponse => {
            let of = take(resolver, resource, &mut read, "integrationId", "IntegrationId");
            read.insert("integrationResponseId".to_owned(), id);
            let response = shape::<IntegrationResponse>(resolver, resource, read);
            definition.integration_responses.extend(of.zip(response));
        }
        Kind::RouteResponse => {
            let of = take(resolver, resource, &mut read, "routeId", "RouteId");
            read.insert("routeResponseId".to_owned(), id);
            let response = shape::<RouteResponse>(resolver, resource, read);
            definition.route_responses.extend(of.zip(response));
        }
        _ => {
            let Some(name) = take(resolver, resource, &mut read, "stageName", "StageName") else { return };
            let deployment = read.remove("deploymentId");
            let deployment = deployment.as_ref().and_then(Value::as_str);
            let serves = deployments.iter().any(|(of, own, stage)| {
                *of == api && (deployment == Some(own) || stage.as_ref() == Some(&name))
            });
            if !serves && read.get("autoDeploy") != Some(&Value::Bool(true)) {
                let message = "AWS would serve nothing here: a stage needs a DeploymentId of this template, or AutoDeploy";
                resolver.problem(&resource.place, message);
            }
            read.insert("stageName".to_owned(), Value::from(name.clone()));
            key = name;
            definition.stages.extend(shape::<Stage>(resolver, resource, read));
        }
    }
    owner.places.insert(key, resolver.place_of(&resource.place));
}

fn take(
    resolver: &Resolver<'_>,
    resource: &Resource<'_>,
    properties: &mut Map<String, Value>,
    name: &str,
    spelt: &str,
) -> Option<String> {
    let found = properties.remove(name).and_then(|value| value.as_str().map(str::to_owned));
    if found.is_none() {
        resolver.problem(&resource.place, format!("'{spelt}' is missing"));
    }
    found
}

fn read_properties(
    resolver: &Resolver<'_>,
    resource: &Resource<'_>,
    what: &str,
    table: Table,
) -> Map<String, Value> {
    match &resource.properties {
        Some(place) => properties::read(resolver, place, what, table),
        None => Map::new(),
    }
}

/// Properties as the control plane's shape of them; what does not fit is an enumeration's value that there is not.
fn shape<T: DeserializeOwned>(
    resolver: &Resolver<'_>,
    resource: &Resource<'_>,
    properties: Map<String, Value>,
) -> Option<T> {
    match serde_json::from_value(Value::Object(properties)) {
        Ok(shape) => Some(shape),
        Err(error) => {
            resolver.problem(&resource.place, format!("these properties do not fit: {error}"));
            None
        }
    }
}
