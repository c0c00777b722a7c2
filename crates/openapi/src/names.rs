//! The names that are known, and what somebody may have meant by one that is not.

/// Where an extension may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spot {
    Root,
    Server,
    Tag,
    Path,
    Operation,
    SecurityScheme,
    Components,
}

impl Spot {
    const fn name(self) -> &'static str {
        match self {
            Self::Root => "the document's top level",
            Self::Server => "a server",
            Self::Tag => "a tag",
            Self::Path => "a path",
            Self::Operation => "a method",
            Self::SecurityScheme => "a security scheme",
            Self::Components => "components",
        }
    }
}

/// How the names of API Gateway's extensions start.
pub(crate) const PREFIX: &str = "x-amazon-apigateway-";

/// API Gateway's extensions, without their prefix, and where each belongs.
const EXTENSIONS: &[(&str, &[Spot])] = &[
    ("any-method", &[Spot::Path]),
    ("api-key-source", &[Spot::Root]),
    ("auth", &[Spot::Operation]),
    ("authorizer", &[Spot::SecurityScheme]),
    ("authtype", &[Spot::SecurityScheme]),
    ("binary-media-types", &[Spot::Root]),
    ("cors", &[Spot::Root]),
    ("documentation", &[Spot::Root]),
    ("endpoint-access-mode", &[Spot::Root]),
    ("endpoint-configuration", &[Spot::Root, Spot::Server]),
    ("gateway-responses", &[Spot::Root]),
    ("importexport-version", &[Spot::Root]),
    ("integration", &[Spot::Operation]),
    ("integrations", &[Spot::Components]),
    ("minimum-compression-size", &[Spot::Root]),
    ("policy", &[Spot::Root]),
    ("request-validator", &[Spot::Root, Spot::Operation]),
    ("request-validators", &[Spot::Root]),
    ("security-policy", &[Spot::Root]),
    ("tag-value", &[Spot::Tag]),
];

/// What is wrong with an extension of this name; nothing if it may stand somewhere.
pub(crate) fn unknown_extension(name: &str) -> Option<String> {
    let short = name.strip_prefix(PREFIX)?;
    if EXTENSIONS.iter().any(|(known, _)| *known == short) {
        return None;
    }
    let hint = nearest(short, EXTENSIONS.iter().map(|(known, _)| *known));
    let hint = hint.map(|known| format!("; did you mean '{PREFIX}{known}'?")).unwrap_or_default();
    Some(format!("'{name}' is no extension of API Gateway{hint}"))
}

/// What is wrong with a known extension at this spot.
pub(crate) fn misplaced_extension(name: &str, spot: Spot) -> Option<String> {
    let short = name.strip_prefix(PREFIX)?;
    let (_, spots) = EXTENSIONS.iter().find(|(known, _)| *known == short)?;
    if spots.contains(&spot) {
        return None;
    }
    let belongs = spots.iter().map(|spot| spot.name()).collect::<Vec<_>>().join(" or ");
    Some(format!("'{name}' has no effect here; it belongs in {belongs}"))
}

/// What to say about a member that an object of this kind does not have.
pub(crate) fn unknown_member(name: &str, of: &str, known: &[&str]) -> String {
    match nearest(name, known.iter().copied()) {
        Some(meant) => format!("{of} has no member '{name}'; did you mean '{meant}'?"),
        None => format!("{of} has no member '{name}'"),
    }
}

/// The known name that differs least, if it is near enough to be what was meant.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_ascii_lowercase();
    known
        .map(|candidate| (distance(&lower, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 6)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many characters have to be put in, left out or changed. Long names are not compared: nobody misspells those.
fn distance(left: &str, right: &str) -> usize {
    if left.len() > 64 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=right.chars().count()).collect();
    for (index, a) in left.chars().enumerate() {
        let mut before = index;
        let mut last = index + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(right.chars()) {
            let best = (before + usize::from(a != b)).min(last + 1).min(*cell + 1);
            before = std::mem::replace(cell, best);
            last = best;
        }
        if let Some(first) = row.first_mut() {
            *first = index + 1;
        }
    }
    row.last().copied().unwrap_or(usize::MAX)
}

/// Members of `x-amazon-apigateway-integration`.
pub(crate) const INTEGRATION: &[&str] = &[
    "cacheKeyParameters",
    "cacheNamespace",
    "connectionId",
    "connectionType",
    "contentHandling",
    "credentials",
    "description",
    "httpMethod",
    "integrationSubtype",
    "integrationTarget",
    "passthroughBehavior",
    "payloadFormatVersion",
    "requestParameters",
    "requestTemplates",
    "responseParameters",
    "responseTransferMode",
    "responses",
    "timeoutInMillis",
    "tlsConfig",
    "type",
    "uri",
];

/// Members of an integration's response.
pub(crate) const INTEGRATION_RESPONSE: &[&str] =
    &["contentHandling", "responseParameters", "responseTemplates", "statusCode"];

/// Members of `tlsConfig`.
pub(crate) const TLS_CONFIG: &[&str] = &["insecureSkipVerification", "serverNameToVerify"];

/// Members of `x-amazon-apigateway-authorizer`.
pub(crate) const AUTHORIZER: &[&str] = &[
    "authorizerCredentials",
    "authorizerPayloadFormatVersion",
    "authorizerResultTtlInSeconds",
    "authorizerUri",
    "enableSimpleResponses",
    "identitySource",
    "identityValidationExpression",
    "jwtConfiguration",
    "openIdConnectUrl",
    "providerARNs",
    "type",
];

/// Members of a gateway response.
pub(crate) const GATEWAY_RESPONSE: &[&str] = &["responseParameters", "responseTemplates", "statusCode"];

/// Members of a request validator.
pub(crate) const REQUEST_VALIDATOR: &[&str] = &["validateRequestBody", "validateRequestParameters"];

/// Members of `x-amazon-apigateway-endpoint-configuration`.
pub(crate) const ENDPOINT_CONFIGURATION: &[&str] =
    &["disableExecuteApiEndpoint", "ipAddressType", "types", "vpcEndpointIds"];

/// Members of `x-amazon-apigateway-documentation`.
pub(crate) const DOCUMENTATION: &[&str] = &["createdDate", "description", "documentationParts", "version"];

/// Members of a documentation part's location.
pub(crate) const DOCUMENTATION_LOCATION: &[&str] = &["method", "name", "path", "statusCode", "type"];

/// Types of gateway responses.
pub(crate) const GATEWAY_RESPONSE_TYPES: &[&str] = &[
    "ACCESS_DENIED",
    "API_CONFIGURATION_ERROR",
    "AUTHORIZER_CONFIGURATION_ERROR",
    "AUTHORIZER_FAILURE",
    "BAD_REQUEST_BODY",
    "BAD_REQUEST_PARAMETERS",
    "DEFAULT_4XX",
    "DEFAULT_5XX",
    "EXPIRED_TOKEN",
    "INTEGRATION_FAILURE",
    "INTEGRATION_TIMEOUT",
    "INVALID_API_KEY",
    "INVALID_SIGNATURE",
    "MISSING_AUTHENTICATION_TOKEN",
    "QUOTA_EXCEEDED",
    "REQUEST_TOO_LARGE",
    "RESOURCE_NOT_FOUND",
    "THROTTLED",
    "UNAUTHORIZED",
    "UNSUPPORTED_MEDIA_TYPE",
    "WAF_FILTERED",
];

/// Members of a Swagger 2.0 document.
pub(crate) const SWAGGER_ROOT: &[&str] = &[
    "basePath",
    "consumes",
    "definitions",
    "externalDocs",
    "host",
    "info",
    "parameters",
    "paths",
    "produces",
    "responses",
    "schemes",
    "security",
    "securityDefinitions",
    "swagger",
    "tags",
];

/// Members of an OpenAPI 3.0 document.
pub(crate) const OPENAPI_ROOT: &[&str] =
    &["components", "externalDocs", "info", "openapi", "paths", "security", "servers", "tags"];

/// Members of an OpenAPI 3.0 document's `components`.
pub(crate) const COMPONENTS: &[&str] = &[
    "callbacks",
    "examples",
    "headers",
    "links",
    "parameters",
    "requestBodies",
    "responses",
    "schemas",
    "securitySchemes",
];

/// Members of an operation, in both dialects.
pub(crate) const OPERATION: &[&str] = &[
    "callbacks",
    "consumes",
    "deprecated",
    "description",
    "externalDocs",
    "isDefaultRoute",
    "operationId",
    "parameters",
    "produces",
    "requestBody",
    "responses",
    "schemes",
    "security",
    "servers",
    "summary",
    "tags",
];

/// Members of a path that are no methods.
pub(crate) const PATH: &[&str] = &["$ref", "description", "parameters", "servers", "summary"];

/// Methods of a path; a method named `x-amazon-apigateway-any-method` stands for all.
pub(crate) const METHODS: &[&str] = &["delete", "get", "head", "options", "patch", "post", "put"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant() {
        assert_eq!(
            unknown_member("passThroughBehaviour", "an integration", INTEGRATION),
            "an integration has no member 'passThroughBehaviour'; did you mean 'passthroughBehavior'?"
        );
        assert_eq!(
            unknown_member("colour", "an integration", INTEGRATION),
            "an integration has no member 'colour'"
        );
        assert_eq!(
            unknown_extension("x-amazon-apigateway-integraton").as_deref(),
            Some(
                "'x-amazon-apigateway-integraton' is no extension of API Gateway; did you mean \
                 'x-amazon-apigateway-integration'?"
            )
        );
        assert_eq!(unknown_extension("x-mine"), None);
        assert_eq!(
            misplaced_extension("x-amazon-apigateway-policy", Spot::Path).as_deref(),
            Some("'x-amazon-apigateway-policy' has no effect here; it belongs in the document's top level")
        );
    }
}
