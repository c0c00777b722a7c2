//! What a document defines, in words of its own: no position, no dialect, no shape of AWS's.
//!
//! Each part that something can be wrong with carries its path, so that whoever applies the definition can say where.

use indexmap::IndexMap;
use serde_json::Value;

use crate::DocPath;

/// Which specification a document follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// Swagger 2.0.
    #[default]
    Swagger2,
    /// OpenAPI 3.0.
    OpenApi3,
}

/// An API as a document defines it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ApiDefinition {
    /// The specification that the document follows.
    pub dialect: Dialect,
    /// `info.title`.
    pub title: String,
    /// `info.description`.
    pub description: Option<String>,
    /// `info.version`, as it is spelt.
    pub version: Option<String>,
    /// `basePath`, or the path of the first server: without a trailing slash, empty if there is none.
    pub base_path: String,
    /// The named schemas.
    pub models: IndexMap<String, Model>,
    /// The paths, in the order of the document.
    pub paths: Vec<PathItem>,
    /// The named security schemes.
    pub security_schemes: IndexMap<String, SecurityScheme>,
    /// What every method asks for that says nothing itself: alternatives, each a list of requirements.
    pub security: Option<Vec<Vec<Requirement>>>,
    /// `x-amazon-apigateway-api-key-source`.
    pub api_key_source: Option<ApiKeySource>,
    /// `x-amazon-apigateway-binary-media-types`.
    pub binary_media_types: Option<Vec<String>>,
    /// `x-amazon-apigateway-minimum-compression-size`, in bytes.
    pub minimum_compression_size: Option<i64>,
    /// `x-amazon-apigateway-policy`: a JSON object, or the text of one.
    pub policy: Option<serde_json::Value>,
    /// `x-amazon-apigateway-endpoint-configuration`.
    pub endpoint_configuration: Option<EndpointConfiguration>,
    /// `x-amazon-apigateway-endpoint-access-mode`.
    pub endpoint_access_mode: Option<String>,
    /// `x-amazon-apigateway-security-policy`.
    pub security_policy: Option<String>,
    /// `x-amazon-apigateway-gateway-responses`.
    pub gateway_responses: IndexMap<String, GatewayResponse>,
    /// `x-amazon-apigateway-request-validators`.
    pub request_validators: IndexMap<String, RequestValidator>,
    /// `x-amazon-apigateway-request-validator`: the validator of every method that names none.
    pub request_validator: Option<String>,
    /// The parts of `x-amazon-apigateway-documentation`.
    pub documentation_parts: Vec<DocumentationPart>,
    /// The version of `x-amazon-apigateway-documentation`.
    pub documentation_version: Option<String>,
}

/// Where a client's API key is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiKeySource {
    /// The header `x-api-key`.
    Header,
    /// What a Lambda authorizer gives as `usageIdentifierKey`.
    Authorizer,
}

/// A named schema.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// Where it stands.
    pub at: DocPath,
    /// Its description.
    pub description: Option<String>,
    /// JSON Schema, with references to models as [`crate::MODEL_REFERENCE`] and a name.
    pub schema: serde_json::Value,
}

/// A path and its methods.
#[derive(Clone, Debug, PartialEq)]
pub struct PathItem {
    /// Where it stands.
    pub at: DocPath,
    /// The path, such as `/users/{userId}`; it starts with a slash.
    pub path: String,
    /// Its methods, in the order of the document.
    pub operations: Vec<Operation>,
}

/// A method of a path.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// Where it stands.
    pub at: DocPath,
    /// In capital letters; `ANY` for all.
    pub method: String,
    /// `operationId`.
    pub operation_id: Option<String>,
    /// Parameters of the path and of the method, the method's first where both name one.
    pub parameters: Vec<Parameter>,
    /// The schemas of the request body by media type.
    pub request_bodies: Vec<BodyUse>,
    /// Responses by status code, `default` left out.
    pub responses: Vec<Response>,
    /// What the method asks for; `None` if it says nothing, so that the document's own `security` holds.
    pub security: Option<Vec<Vec<Requirement>>>,
    /// The type in `x-amazon-apigateway-auth`, as it is spelt.
    pub auth: Option<String>,
    /// `x-amazon-apigateway-request-validator`.
    pub request_validator: Option<String>,
    /// `x-amazon-apigateway-integration`.
    pub integration: Option<Integration>,
}

/// Where a parameter is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterLocation {
    /// In the path.
    Path,
    /// In the query string.
    Query,
    /// In a header.
    Header,
}

/// A parameter of a method.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Where it is found.
    pub location: ParameterLocation,
    /// Whether a request has to have it.
    pub required: bool,
}

/// A media type and the schema that a body of it follows.
#[derive(Clone, Debug, PartialEq)]
pub struct BodyUse {
    /// Where it stands.
    pub at: DocPath,
    /// The media type.
    pub content_type: String,
    /// The schema.
    pub schema: SchemaUse,
}

/// A schema, where one is used.
#[derive(Clone, Debug, PartialEq)]
pub enum SchemaUse {
    /// A named one.
    Model(String),
    /// One that stands where it is used.
    Inline(serde_json::Value),
}

/// A response of a method.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    /// Where it stands.
    pub at: DocPath,
    /// The status code as it is spelt.
    pub status_code: String,
    /// The names of its headers.
    pub headers: Vec<String>,
    /// The schemas of its body by media type.
    pub bodies: Vec<BodyUse>,
}

/// A scheme that a request has to satisfy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// Where it stands.
    pub at: DocPath,
    /// The name of the scheme.
    pub scheme: String,
    /// The scopes that it asks for.
    pub scopes: Vec<String>,
}

/// A named security scheme.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SecurityScheme {
    /// Where it stands.
    pub at: DocPath,
    /// `apiKey`, `oauth2`, `http`, `openIdConnect` or `basic`.
    pub kind: Option<String>,
    /// The name of the header or parameter.
    pub name: Option<String>,
    /// `header`, `query` or `cookie`.
    pub location: Option<String>,
    /// `x-amazon-apigateway-authtype`.
    pub auth_type: Option<String>,
    /// `x-amazon-apigateway-authorizer`.
    pub authorizer: Option<AuthorizerExtension>,
}

impl SecurityScheme {
    /// Whether it says that it is an authorizer, and does not say which.
    #[must_use]
    pub fn promises_authorizer(&self) -> bool {
        let is_sigv4 = |kind: &String| kind.eq_ignore_ascii_case("awsSigv4");
        self.authorizer.is_none() && self.auth_type.as_ref().is_some_and(|kind| !is_sigv4(kind))
    }
}

/// `x-amazon-apigateway-authorizer`. Members for HTTP APIs alone are not kept; a finding names them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuthorizerExtension {
    /// Where it stands.
    pub at: DocPath,
    /// `token`, `request`, `cognito_user_pools` or `jwt`, as it is spelt.
    pub kind: Option<String>,
    /// `authorizerUri`.
    pub uri: Option<String>,
    /// `authorizerCredentials`.
    pub credentials: Option<String>,
    /// `identitySource`.
    pub identity_source: Option<String>,
    /// `identityValidationExpression`.
    pub identity_validation_expression: Option<String>,
    /// `authorizerResultTtlInSeconds`.
    pub result_ttl_seconds: Option<i64>,
    /// `providerARNs`.
    pub provider_arns: Vec<String>,
    /// `jwtConfiguration`, of an authorizer of type `jwt`.
    pub jwt_configuration: Option<Value>,
}

/// `x-amazon-apigateway-integration`. Values are as they are spelt.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Integration {
    /// Where it stands.
    pub at: DocPath,
    /// `type`, such as `aws_proxy`.
    pub kind: Option<String>,
    /// `uri`.
    pub uri: Option<String>,
    /// `httpMethod`.
    pub http_method: Option<String>,
    /// `credentials`.
    pub credentials: Option<String>,
    /// `connectionType`.
    pub connection_type: Option<String>,
    /// `connectionId`.
    pub connection_id: Option<String>,
    /// `integrationTarget`.
    pub integration_target: Option<String>,
    /// `passthroughBehavior`.
    pub passthrough_behavior: Option<String>,
    /// `contentHandling`.
    pub content_handling: Option<String>,
    /// `responseTransferMode`.
    pub response_transfer_mode: Option<String>,
    /// `timeoutInMillis`, in milliseconds.
    pub timeout_ms: Option<i64>,
    /// `cacheNamespace`.
    pub cache_namespace: Option<String>,
    /// `cacheKeyParameters`.
    pub cache_key_parameters: Vec<String>,
    /// `requestParameters`; values that are no strings are kept, so that whoever applies them can say so.
    pub request_parameters: IndexMap<String, serde_json::Value>,
    /// `requestTemplates`, by media type.
    pub request_templates: IndexMap<String, serde_json::Value>,
    /// `responses`, by selection pattern; `default` has none.
    pub responses: IndexMap<String, IntegrationResponse>,
    /// `tlsConfig.insecureSkipVerification`.
    pub insecure_skip_verification: Option<bool>,
}

/// A response of an integration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IntegrationResponse {
    /// Where it stands.
    pub at: DocPath,
    /// `statusCode`.
    pub status_code: Option<String>,
    /// `contentHandling`.
    pub content_handling: Option<String>,
    /// `responseParameters`.
    pub response_parameters: IndexMap<String, serde_json::Value>,
    /// `responseTemplates`, by media type.
    pub response_templates: IndexMap<String, serde_json::Value>,
}

/// `x-amazon-apigateway-endpoint-configuration`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointConfiguration {
    /// Where it stands.
    pub at: DocPath,
    /// `types`.
    pub types: Option<Vec<String>>,
    /// `vpcEndpointIds`.
    pub vpc_endpoint_ids: Option<Vec<String>>,
    /// `ipAddressType`.
    pub ip_address_type: Option<String>,
    /// `disableExecuteApiEndpoint`.
    pub disable_execute_api_endpoint: Option<bool>,
}

/// A gateway response.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GatewayResponse {
    /// Where it stands.
    pub at: DocPath,
    /// `statusCode`.
    pub status_code: Option<String>,
    /// `responseParameters`.
    pub response_parameters: IndexMap<String, serde_json::Value>,
    /// `responseTemplates`, by media type.
    pub response_templates: IndexMap<String, serde_json::Value>,
}

/// A request validator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestValidator {
    /// Where it stands.
    pub at: DocPath,
    /// `validateRequestBody`.
    pub body: bool,
    /// `validateRequestParameters`.
    pub parameters: bool,
}

/// A part of the documentation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DocumentationPart {
    /// Where it stands.
    pub at: DocPath,
    /// `location`: `type`, `path`, `method`, `statusCode` and `name`, those that are given.
    pub location: IndexMap<String, String>,
    /// `properties`, a JSON object.
    pub properties: serde_json::Value,
}
