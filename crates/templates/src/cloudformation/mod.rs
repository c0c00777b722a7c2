//! CloudFormation and SAM templates, as far as WebSocket APIs and the functions behind them go.
//!
//! Every resource and every property either takes effect or is refused with its place in the file. What a template says of
//! permissions (roles, policies, `AWS::Lambda::Permission`) has no effect: functions of a project need none.

mod function;
mod properties;
mod resolve;
mod websocket;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use stagedoor_control_plane::whole::{Refusal, WebSocketDefinition};
use stagedoor_openapi::{Document, Node, Place, Value};

use crate::functions::FunctionSpec;
use crate::reader::Reader;
use crate::{Problem, Surroundings};
use resolve::Resolver;

/// The members of a template that are read.
const MEMBERS: &[&str] = &[
    "AWSTemplateFormatVersion",
    "Description",
    "Globals",
    "Metadata",
    "Outputs",
    "Parameters",
    "Resources",
    "Transform",
];

/// What a template may say of a resource.
const RESOURCE_MEMBERS: &[&str] =
    &["DeletionPolicy", "DependsOn", "Metadata", "Properties", "Type", "UpdateReplacePolicy"];

/// SAM's transform, the only one that is known here.
const SERVERLESS: &str = "AWS::Serverless-2016-10-31";

/// A WebSocket API of a template.
#[derive(Clone, Debug)]
pub struct TemplateApi {
    /// The file.
    pub file: PathBuf,
    /// The API's id, the same each time.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What the control plane is told.
    pub definition: WebSocketDefinition,
    /// Where its members stand, by id; stages by name, the API by an empty text.
    places: HashMap<String, Problem>,
}

/// What a template defines.
#[derive(Debug, Default)]
pub(crate) struct Template {
    pub(crate) apis: Vec<TemplateApi>,
    pub(crate) functions: Vec<FunctionSpec>,
    /// Integration and authorizer URIs, each with a problem that stands where it does.
    pub(crate) calls: Vec<(String, Problem)>,
}

/// What a resource is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Api,
    Authorizer,
    Deployment,
    Integration,
    IntegrationResponse,
    Model,
    Route,
    RouteResponse,
    Stage,
    /// `AWS::Serverless::Function`.
    Serverless,
    /// `AWS::Lambda::Function`.
    Lambda,
    LogGroup,
    /// A role, a policy or a permission: nothing here asks for any.
    Permission,
}

/// The types that are read.
const TYPES: &[(&str, Kind)] = &[
    ("AWS::ApiGatewayV2::Api", Kind::Api),
    ("AWS::ApiGatewayV2::Authorizer", Kind::Authorizer),
    ("AWS::ApiGatewayV2::Deployment", Kind::Deployment),
    ("AWS::ApiGatewayV2::Integration", Kind::Integration),
    ("AWS::ApiGatewayV2::IntegrationResponse", Kind::IntegrationResponse),
    ("AWS::ApiGatewayV2::Model", Kind::Model),
    ("AWS::ApiGatewayV2::Route", Kind::Route),
    ("AWS::ApiGatewayV2::RouteResponse", Kind::RouteResponse),
    ("AWS::ApiGatewayV2::Stage", Kind::Stage),
    ("AWS::Serverless::Function", Kind::Serverless),
    ("AWS::Lambda::Function", Kind::Lambda),
    ("AWS::Logs::LogGroup", Kind::LogGroup),
    ("AWS::IAM::ManagedPolicy", Kind::Permission),
    ("AWS::IAM::Policy", Kind::Permission),
    ("AWS::IAM::Role", Kind::Permission),
    ("AWS::Lambda::Permission", Kind::Permission),
];

/// A resource and where it stands.
#[derive(Clone, Debug)]
struct Resource<'a> {
    name: &'a str,
    kind: Kind,
    place: Place<'a>,
    properties: Option<Place<'a>>,
}

/// Whether a text is a template rather than an OpenAPI document.
pub(crate) fn is_template(text: &str) -> bool {
    Document::parse_template(text).is_ok_and(|root| member(&root, "Resources").is_some())
}

/// Whether a text is a template that defines a WebSocket API.
pub(crate) fn defines_websocket(text: &str) -> bool {
    let Ok(root) = Document::parse_template(text) else { return false };
    let Some(Value::Map(resources)) = member(&root, "Resources").map(|node| &node.value) else {
        return false;
    };
    resources.values().any(|entry| {
        let is = |name: &str, wanted: &str| {
            member(&entry.node, name).and_then(Node::text).is_some_and(|text| text == wanted)
        };
        let protocol = member(&entry.node, "Properties").and_then(|node| member(node, "ProtocolType"));
        is("Type", "AWS::ApiGatewayV2::Api") && protocol.and_then(Node::text).as_deref() == Some("WEBSOCKET")
    })
}

fn member<'a>(node: &'a Node, name: &str) -> Option<&'a Node> {
    match &node.value {
        Value::Map(map) => map.get(name).map(|entry| &entry.node),
        _ => None,
    }
}

/// Reads a template. What is wrong is added to the problems.
pub(crate) fn read(
    file: &Path,
    text: &str,
    surroundings: &Surroundings<'_>,
    problems: &mut Vec<Problem>,
) -> Template {
    let node = match Document::parse_template(text) {
        Ok(node) => node,
        Err(findings) => {
            problems.extend(findings.iter().map(|finding| Problem::from_finding(file, finding)));
            return Template::default();
        }
    };
    let root = Place::of(&node);
    let mut reader = Reader { file, problems };
    if !reader.object(&root, "a template") {
        return Template::default();
    }
    reader.members(&root, "a template that is served here", MEMBERS);
    if let Some(transform) = root.get("Transform") {
        let names: Vec<_> = if transform.is_list() { transform.items().collect() } else { vec![transform] };
        for name in names.iter().filter(|name| name.text().as_deref() != Some(SERVERLESS)) {
            reader.problem(name, format!("the only transform that is known here is {SERVERLESS}"));
        }
    }
    let resources = resources(&mut reader, &root);
    let resolver = Resolver::new(file, &root, resources, surroundings);
    let mut template = Template::default();
    function::read(&resolver, &root, &mut template);
    websocket::read(&resolver, &mut template);
    for group in resolver.of_kind(&[Kind::LogGroup]) {
        if let Some(properties) = &group.properties {
            properties::read(&resolver, properties, "AWS::Logs::LogGroup", properties::LOG_GROUP);
        }
    }
    if let Some(outputs) = root.get("Outputs") {
        for (_, output) in outputs.members() {
            output.get("Value").and_then(|value| resolver.value(&value));
        }
    }
    problems.extend(resolver.into_problems());
    template
}

fn resources<'a>(reader: &mut Reader<'_>, root: &Place<'a>) -> Vec<Resource<'a>> {
    let Some(section) = root.get("Resources") else { return Vec::new() };
    reader.object(&section, "the resources");
    let mut found = Vec::new();
    for (name, place) in section.members() {
        if !reader.object(&place, "a resource") {
            continue;
        }
        reader.members(&place, "a resource", RESOURCE_MEMBERS);
        let given = reader.text(&place, "Type");
        let Some((_, kind)) = TYPES.iter().find(|(known, _)| given.as_deref() == Some(*known)) else {
            let at = place.get("Type").unwrap_or_else(|| place.clone());
            let names: Vec<_> = TYPES.iter().map(|(known, _)| *known).collect();
            reader.problem(
                &at,
                format!("resources of this type are not run here; these are: {}", names.join(", ")),
            );
            continue;
        };
        let properties = place.get("Properties");
        if let Some(properties) = &properties {
            reader.object(properties, "the properties");
        }
        found.push(Resource { name, kind: *kind, properties, place });
    }
    for resource in &found {
        let Some(depends) = resource.place.get("DependsOn") else { continue };
        let names: Vec<_> = if depends.is_list() { depends.items().collect() } else { vec![depends] };
        for name in names {
            if !section.members().any(|(known, _)| Some(known) == name.text().as_deref()) {
                reader.problem(&name, "there is no resource of this name");
            }
        }
    }
    found
}

impl TemplateApi {
    /// The names of its stages.
    #[must_use]
    pub fn stages(&self) -> Vec<String> {
        self.definition.stages.iter().filter_map(|stage| stage.stage_name.clone()).collect()
    }

    /// The keys of its routes.
    #[must_use]
    pub fn route_keys(&self) -> Vec<String> {
        self.definition.routes.iter().filter_map(|route| route.route_key.clone()).collect()
    }

    /// A refusal of the control plane as a problem of the file.
    pub(crate) fn problem(&self, refusal: &Refusal) -> Problem {
        let routes = self.definition.routes.iter();
        // What cannot be served is told with its route, by a stage that serves them all.
        let named = routes.filter(|route| {
            let key = route.route_key.as_deref().unwrap_or_default();
            !key.is_empty() && refusal.message.contains(&format!("route {key}"))
        });
        let longest = named.max_by_key(|route| route.route_key.as_ref().map(String::len));
        let member = longest.and_then(|route| route.route_id.as_deref()).or(refusal.member.as_deref());
        let place = self.places.get(member.unwrap_or_default()).or_else(|| self.places.get(""));
        let place = place.cloned().unwrap_or_else(|| Problem::with_file(&self.file, ""));
        Problem { message: refusal.message.clone(), ..place }
    }
}
