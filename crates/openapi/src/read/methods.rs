//! Paths and their methods.

use crate::definition::{
    ApiDefinition, BodyUse, Dialect, Operation, Parameter, ParameterLocation, PathItem, Response,
};
use crate::names::{self, PREFIX, Spot};
use crate::place::Place;
use crate::read::Reader;
use crate::{Kind, SchemaUse};

/// What a body's media type is if nothing says.
const JSON: &str = "application/json";

impl<'a> Reader<'a> {
    pub(super) fn paths(&mut self, root: &Place<'a>, definition: &mut ApiDefinition) {
        if root.get("paths").is_none() {
            self.fail(root, "'paths' is missing".to_owned());
        }
        for (path, place) in self.object(root, "paths") {
            if path.starts_with("x-") {
                continue;
            }
            // The default route of an HTTP API is exported with a slash, and written by AWS's SAM without one.
            let path = if path == "$default" { "/$default" } else { path };
            if !path.starts_with('/') {
                self.fail(&place, "a path starts with '/'".to_owned());
                continue;
            }
            let Some(target) = self.follow(&place) else { continue };
            path.clone_into(&mut self.path);
            let operations = self.operations(&target);
            definition.paths.push(PathItem { at: place.path, path: path.to_owned(), operations });
        }
    }

    fn operations(&mut self, path: &Place<'a>) -> Vec<Operation> {
        let shared = self.parameters(path);
        let at = format!("paths.'{}'.", self.path);
        let mut operations = Vec::new();
        self.check_spot(path, Spot::Path);
        for (name, place) in path.members() {
            let method = match name.strip_prefix(PREFIX) {
                Some("any-method") => "ANY".to_owned(),
                _ if names::METHODS.contains(&name) => name.to_ascii_uppercase(),
                _ => {
                    self.no_method(name, &place);
                    continue;
                }
            };
            if place.map().is_none() {
                self.fail(
                    &place,
                    format!("a method has to be an object, and this is {}", place.node.type_name()),
                );
                continue;
            }
            operations.push(self.operation(&place, method, &shared));
        }
        let known: Vec<_> = names::METHODS.iter().chain(names::PATH).chain(&["trace"]).copied().collect();
        self.unexpected(path, &known, &at);
        operations
    }

    fn no_method(&mut self, name: &str, place: &Place<'a>) {
        if name == "trace" {
            self.warn(Kind::NotApplied, place, "API Gateway has no TRACE method; it is left out".to_owned());
        } else if !names::PATH.contains(&name) && !name.starts_with("x-") {
            let known: Vec<_> = names::METHODS.iter().chain(names::PATH).copied().collect();
            let message = names::unknown_member(name, "a path", &known);
            self.findings.push(crate::Finding::warning(
                Kind::UnknownName,
                &place.path,
                place.key_at,
                message,
            ));
        }
    }

    fn operation(&mut self, place: &Place<'a>, method: String, shared: &Parameters) -> Operation {
        self.method = format!("{method} {}", self.path);
        self.check_members(place, "a method", names::OPERATION, Some(Spot::Operation));
        let verb = if method == "ANY" { format!("{PREFIX}any-method") } else { method.to_ascii_lowercase() };
        let at = format!("paths.'{}'({verb}).", self.path);
        self.unexpected(place, names::OPERATION, &at);
        if let Some(member) = place.get("isDefaultRoute") {
            let message = "'isDefaultRoute' is for HTTP APIs; a REST API does not have it";
            self.warn(Kind::NotApplied, &member, message.to_owned());
        }
        let own = self.parameters(place);
        let mut parameters = own.parameters;
        for parameter in &shared.parameters {
            let same = |one: &Parameter| one.name == parameter.name && one.location == parameter.location;
            if !parameters.iter().any(same) {
                parameters.push(parameter.clone());
            }
        }
        let mut request_bodies: Vec<BodyUse> = Vec::new();
        if self.dialect == Dialect::OpenApi3 {
            if let Some(body) = place.get("requestBody").and_then(|body| self.follow(&body)) {
                request_bodies = self.content(&body, None);
            }
        } else if let Some((at, schema)) = own.body.or_else(|| shared.body.clone()) {
            let body = |content_type| BodyUse { at: at.clone(), content_type, schema: schema.clone() };
            request_bodies = self.media_types(place, "consumes").into_iter().map(body).collect();
        }
        Operation {
            at: place.path.clone(),
            method,
            operation_id: self.text(place, "operationId"),
            parameters,
            request_bodies,
            responses: self.responses(place),
            security: place.get("security").map(|security| self.requirements(&security)),
            auth: place.get(&format!("{PREFIX}auth")).and_then(|auth| self.text(&auth, "type")),
            request_validator: self.text(place, &format!("{PREFIX}request-validator")),
            integration: place
                .get(&format!("{PREFIX}integration"))
                .and_then(|place| self.read_integration(&place)),
        }
    }

    /// Parameters of a path or a method; Swagger's body among them.
    fn parameters(&mut self, place: &Place<'a>) -> Parameters {
        let mut found = Parameters::default();
        let list: Vec<_> = place.get("parameters").map(|list| list.items().collect()).unwrap_or_default();
        for item in list {
            let Some(parameter) = self.follow(&item) else { continue };
            let location = self.text(&parameter, "in").unwrap_or_default();
            let location = match location.as_str() {
                "path" => ParameterLocation::Path,
                "query" => ParameterLocation::Query,
                "header" => ParameterLocation::Header,
                "body" => {
                    if let Some(schema) = parameter.get("schema") {
                        found.body = Some((schema.path.clone(), self.schema_use(&schema)));
                    }
                    continue;
                }
                "cookie" | "formData" => {
                    let name = self.text(&parameter, "name").unwrap_or_default();
                    let message =
                        format!("Parameter type {location} for parameter {name} not supported. Ignoring.");
                    self.warn_as_aws(Kind::NotApplied, &item, message);
                    continue;
                }
                _ => {
                    self.fail(
                        &item,
                        "a parameter says where it is found: 'in: path', 'query' or 'header'".to_owned(),
                    );
                    continue;
                }
            };
            let Some(name) = self.text(&parameter, "name").filter(|name| !name.is_empty()) else {
                self.fail(&item, "a parameter needs a 'name'".to_owned());
                continue;
            };
            let required =
                self.boolean(&parameter, "required").unwrap_or(false) || location == ParameterLocation::Path;
            found.parameters.push(Parameter { name, location, required });
        }
        found
    }

    fn responses(&mut self, operation: &Place<'a>) -> Vec<Response> {
        let mut responses = Vec::new();
        for (code, place) in self.object(operation, "responses") {
            if code.starts_with("x-") {
                continue;
            }
            if code == "default" {
                let message = format!(
                    "API Gateway does not support Swagger's 'default' method response (found on '{}')",
                    self.method
                );
                self.warn_as_aws(Kind::NotApplied, &place, message);
                continue;
            }
            let Some(response) = self.follow(&place) else { continue };
            let headers =
                self.object(&response, "headers").into_iter().map(|(name, _)| name.to_owned()).collect();
            let bodies = if self.dialect == Dialect::OpenApi3 {
                self.content(&response, Some(code))
            } else {
                self.swagger_bodies(operation, &response)
            };
            responses.push(Response { at: place.path, status_code: code.to_owned(), headers, bodies });
        }
        responses
    }

    /// The schemas in `content`, by media type. Models of responses are objects or lists, not single values.
    fn content(&mut self, place: &Place<'a>, response: Option<&str>) -> Vec<BodyUse> {
        let mut bodies = Vec::new();
        for (content_type, media) in self.object(place, "content") {
            if let Some(schema) = media.get("schema") {
                if let (Some(code), Some(kind)) = (response, single_value(&schema)) {
                    let message = format!(
                        "Unsupported model type '{kind}' in {code} response to method '{}'. Ignoring.",
                        self.method
                    );
                    self.warn_as_aws(Kind::NotApplied, &schema, message);
                    continue;
                }
                let at = schema.path.clone();
                bodies.push(BodyUse {
                    at,
                    content_type: content_type.to_owned(),
                    schema: self.schema_use(&schema),
                });
            }
        }
        bodies
    }

    fn swagger_bodies(&mut self, operation: &Place<'a>, response: &Place<'a>) -> Vec<BodyUse> {
        let Some(place) = response.get("schema") else { return Vec::new() };
        let schema = self.schema_use(&place);
        let body = |content_type| BodyUse { at: place.path.clone(), content_type, schema: schema.clone() };
        self.media_types(operation, "produces").into_iter().map(body).collect()
    }

    /// `consumes` or `produces` of a method or of the document; JSON if neither says.
    fn media_types(&mut self, operation: &Place<'a>, name: &str) -> Vec<String> {
        let root = self.root.clone();
        let own = self.strings(operation, name);
        let found = own.or_else(|| self.strings(&root, name)).unwrap_or_default();
        if found.is_empty() { vec![JSON.to_owned()] } else { found }
    }
}

/// What AWS's reader calls the schema of a single value, in its warnings.
fn single_value(schema: &Place<'_>) -> Option<&'static str> {
    let word = |name: &str| schema.get(name).and_then(|member| member.text()).unwrap_or_default();
    let composed = ["allOf", "anyOf", "oneOf", "$ref"].iter().any(|name| schema.get(name).is_some());
    match (word("type").as_str(), word("format").as_str()) {
        _ if composed => None,
        ("string", "binary") => Some("BinarySchema"),
        ("string", "byte") => Some("ByteArraySchema"),
        ("string", "date") => Some("DateSchema"),
        ("string", "date-time") => Some("DateTimeSchema"),
        ("string", "email") => Some("EmailSchema"),
        ("string", "password") => Some("PasswordSchema"),
        ("string", "uuid") => Some("UUIDSchema"),
        ("string", _) => Some("StringSchema"),
        ("integer", _) => Some("IntegerSchema"),
        ("number", _) => Some("NumberSchema"),
        ("boolean", _) => Some("BooleanSchema"),
        _ => None,
    }
}

/// Parameters in one place.
#[derive(Default)]
struct Parameters {
    parameters: Vec<Parameter>,
    /// Swagger 2.0 has the body among the parameters.
    body: Option<(crate::DocPath, SchemaUse)>,
}
