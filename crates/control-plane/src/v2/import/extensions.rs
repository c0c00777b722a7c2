//! API Gateway's extensions of a document, each as the shape that it defines. Scalars count whatever type they were
//! written as: few who write YAML mean a difference between `500` and `"500"`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use stagedoor_shapes::apigatewayv2::{
    Authorizer, AuthorizerType, Cors, Integration, IntegrationType, JWTConfiguration, TlsConfig,
};

use super::super::integrations;

pub(super) const PREFIX: &str = "x-amazon-apigateway-";

/// The members of an integration that HTTP APIs have.
pub(super) const INTEGRATION: [&str; 13] = [
    "type",
    "uri",
    "httpMethod",
    "payloadFormatVersion",
    "connectionType",
    "connectionId",
    "credentials",
    "description",
    "integrationSubtype",
    "timeoutInMillis",
    "requestParameters",
    "responseParameters",
    "tlsConfig",
];

pub(super) fn integration(shape: &Value) -> Result<Integration, String> {
    object(shape, "an integration")?;
    let kind = match text(shape.get("type")).unwrap_or_default().to_ascii_uppercase().as_str() {
        "AWS_PROXY" => IntegrationType::AwsProxy,
        "HTTP_PROXY" => IntegrationType::HttpProxy,
        _ => return Err(integrations::ONLY_PROXIES.to_owned()),
    };
    let is_http = kind == IntegrationType::HttpProxy;
    let member = |name: &str| text_of(shape, name);
    let subtype = member("integrationSubtype")?;
    let version = if is_http || subtype.is_some() { "1.0" } else { "2.0" };
    let method = member("httpMethod")?.map(|method| method.to_ascii_uppercase());
    let connection_type = member("connectionType")?.map(|kind| kind.parse()).transpose();
    Ok(Integration {
        integration_type: Some(kind),
        integration_uri: member("uri")?,
        integration_method: method.or_else(|| is_http.then(|| "ANY".to_owned())),
        payload_format_version: Some(member("payloadFormatVersion")?.unwrap_or_else(|| version.to_owned())),
        connection_type: connection_type.map_err(|error| format!("connectionType: {error}"))?,
        connection_id: member("connectionId")?,
        credentials_arn: member("credentials")?,
        description: member("description")?,
        integration_subtype: subtype,
        timeout_in_millis: integer_of(shape, "timeoutInMillis")?,
        request_parameters: there(shape, "requestParameters")
            .map(|parameters| texts(parameters, "requestParameters"))
            .transpose()?,
        response_parameters: there(shape, "responseParameters").map(response_parameters).transpose()?,
        tls_config: there(shape, "tlsConfig").map(tls_config).transpose()?,
        ..Integration::default()
    })
}

/// Parameters by status.
fn response_parameters(value: &Value) -> Result<BTreeMap<String, BTreeMap<String, String>>, String> {
    let place = "responseParameters";
    let statuses = object(value, place)?.iter();
    let one = |(status, parameters): (&String, &Value)| {
        Ok((status.clone(), texts(parameters, &format!("{place}.{status}"))?))
    };
    statuses.map(one).collect()
}

fn tls_config(value: &Value) -> Result<TlsConfig, String> {
    object(value, "tlsConfig")?;
    Ok(TlsConfig { server_name_to_verify: text_of(value, "serverNameToVerify")? })
}

/// What an issuer's discovery document adds to its address.
const DISCOVERY: &str = "/.well-known/openid-configuration";

/// The authorizer of a security scheme, whose own address of OpenID Connect names the issuer where nothing else does.
pub(super) fn authorizer(name: &str, scheme: &Value, extension: &Value) -> Result<Authorizer, String> {
    let member = |name: &str| text(extension.get(name));
    let kind = match member("type").as_deref() {
        Some("jwt") => AuthorizerType::Jwt,
        Some("request") => AuthorizerType::Request,
        other => {
            let other = other.unwrap_or("none");
            return Err(format!("its type is {other}, and HTTP APIs have jwt and request"));
        }
    };
    let sources = match extension.get("identitySource") {
        Some(Value::Array(sources)) => sources.iter().filter_map(|source| text(Some(source))).collect(),
        other => {
            let list = text(other).unwrap_or_default();
            list.split(',').map(str::trim).filter(|source| !source.is_empty()).map(str::to_owned).collect()
        }
    };
    let mut sources: Vec<String> = sources;
    if sources.is_empty() && kind == AuthorizerType::Jwt {
        sources.push("$request.header.Authorization".to_owned());
    }
    let jwt = extension.get("jwtConfiguration").map(|jwt| {
        let audience = match jwt.get("audience") {
            Some(Value::Array(audience)) => audience.iter().filter_map(|one| text(Some(one))).collect(),
            other => text(other).into_iter().collect(),
        };
        let of_scheme = || text(scheme.get("openIdConnectUrl"))?.strip_suffix(DISCOVERY).map(str::to_owned);
        JWTConfiguration { audience: Some(audience), issuer: text(jwt.get("issuer")).or_else(of_scheme) }
    });
    Ok(Authorizer {
        authorizer_type: Some(kind),
        name: Some(name.to_owned()),
        identity_source: Some(sources),
        jwt_configuration: jwt,
        authorizer_uri: member("authorizerUri"),
        authorizer_credentials_arn: member("authorizerCredentials"),
        authorizer_payload_format_version: match extension.get("authorizerPayloadFormatVersion") {
            Some(Value::Number(number)) => number.as_f64().map(|version| format!("{version:.1}")),
            other => text(other),
        },
        authorizer_result_ttl_in_seconds: integer_of(extension, "authorizerResultTtlInSeconds")?,
        enable_simple_responses: extension.get("enableSimpleResponses").and_then(truth),
        ..Authorizer::default()
    })
}

pub(super) fn cors(value: &Value) -> Result<Cors, String> {
    object(value, "the configuration")?;
    let list = |name: &str| list_of(value, name);
    let credentials = there(value, "allowCredentials").map(|flag| match text(Some(flag)).as_deref() {
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        _ => Err("allowCredentials has to be true or false".to_owned()),
    });
    Ok(Cors {
        allow_credentials: credentials.transpose()?,
        allow_headers: list("allowHeaders")?,
        allow_methods: list("allowMethods")?,
        allow_origins: list("allowOrigins")?,
        expose_headers: list("exposeHeaders")?,
        max_age: integer_of(value, "maxAge")?,
    })
}

pub(super) fn extension<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    value.get(format!("{PREFIX}{name}"))
}

/// A scalar as text, whatever type it was written as.
pub(super) fn text(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

pub(super) fn truth(value: &Value) -> Option<bool> {
    value.as_bool().or_else(|| value.as_str().map(|text| text.eq_ignore_ascii_case("true")))
}

/// A member, unless it is `null`.
fn there<'a>(shape: &'a Value, name: &str) -> Option<&'a Value> {
    shape.get(name).filter(|value| !value.is_null())
}

fn text_of(shape: &Value, name: &str) -> Result<Option<String>, String> {
    let member = there(shape, name);
    member.map(|value| text(Some(value)).ok_or_else(|| format!("{name} has to be text"))).transpose()
}

/// A whole number. One that is too large stays so, for the rules to refuse.
fn integer_of(shape: &Value, name: &str) -> Result<Option<i32>, String> {
    let Some(value) = there(shape, name) else { return Ok(None) };
    let number = text(Some(value)).and_then(|text| text.trim().parse::<f64>().ok());
    match number.filter(|number| number.fract() == 0.0) {
        Some(number) => Ok(Some(number as i32)),
        None => Err(format!("{name} has to be a whole number")),
    }
}

fn list_of(shape: &Value, name: &str) -> Result<Option<Vec<String>>, String> {
    let list = there(shape, name).map(|value| {
        let items = value.as_array().map(|items| items.iter().map(|item| text(Some(item))));
        items.and_then(Iterator::collect).ok_or_else(|| format!("{name} has to be a list of texts"))
    });
    list.transpose()
}

fn texts(value: &Value, place: &str) -> Result<BTreeMap<String, String>, String> {
    let one = |(name, value): (&String, &Value)| match text(Some(value)) {
        Some(text) => Ok((name.clone(), text)),
        None => Err(format!("{place}.{name} has to be text")),
    };
    object(value, place)?.iter().map(one).collect()
}

fn object<'a>(value: &'a Value, place: &str) -> Result<&'a Map<String, Value>, String> {
    value.as_object().ok_or_else(|| format!("{place} has to be an object"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use stagedoor_shapes::apigatewayv2::ConnectionType;

    use super::*;

    #[test]
    fn scalars_of_integrations_count_however_they_were_written() {
        let shape = json!({
            "type": "aws_proxy", "integrationSubtype": "SQS-SendMessage", "timeoutInMillis": "500", "httpMethod": null,
            "connectionType": "INTERNET", "requestParameters": {"DelaySeconds": 5},
            "responseParameters": {"404": {"overwrite:statuscode": 200}}, "tlsConfig": {"serverNameToVerify": 1},
        });
        let made = integration(&shape).expect("an integration");
        assert_eq!(made.timeout_in_millis, Some(500));
        assert_eq!(made.connection_type, Some(ConnectionType::Internet));
        assert_eq!(made.request_parameters, Some([("DelaySeconds".into(), "5".into())].into()));
        let status = [("overwrite:statuscode".into(), "200".into())].into();
        assert_eq!(made.response_parameters, Some([("404".into(), status)].into()));
        assert_eq!(made.tls_config.and_then(|tls| tls.server_name_to_verify).as_deref(), Some("1"));
    }

    #[test]
    fn scalars_of_cors_count_however_they_were_written() {
        let given = json!({"maxAge": "300", "allowCredentials": "true", "allowHeaders": [1, "x"], "allowMethods": null});
        let made = cors(&given).expect("a configuration");
        assert_eq!((made.max_age, made.allow_credentials, made.allow_methods), (Some(300), Some(true), None));
        assert_eq!(made.allow_headers, Some(vec!["1".to_owned(), "x".to_owned()]));
    }

    #[test]
    fn the_address_of_openid_connect_names_the_issuer() {
        #[track_caller]
        fn check(url: &str, configuration: Value, issuer: Option<&str>) {
            let extension = json!({"type": "jwt", "jwtConfiguration": configuration});
            let scheme = json!({"type": "openIdConnect", "openIdConnectUrl": url});
            let made = authorizer("a", &scheme, &extension).expect("an authorizer");
            assert_eq!(made.jwt_configuration.and_then(|jwt| jwt.issuer).as_deref(), issuer);
        }
        let url = "https://issuer.test/pool/.well-known/openid-configuration";
        check(url, json!({"audience": ["x"]}), Some("https://issuer.test/pool"));
        check(url, json!({"audience": ["x"], "issuer": "https://other.test"}), Some("https://other.test"));
        check("https://issuer.test/elsewhere", json!({}), None);
    }

    #[test]
    fn the_time_of_an_authorizer_may_be_text() {
        let made = |ttl: Value| {
            let extension = json!({"type": "request", "authorizerResultTtlInSeconds": ttl});
            authorizer("a", &json!({}), &extension).map(|made| made.authorizer_result_ttl_in_seconds)
        };
        for ttl in [json!("300"), json!(300)] {
            assert_eq!(made(ttl), Ok(Some(300)));
        }
        assert_eq!(made(json!(10_000_000_000_u64)), Ok(Some(i32::MAX)));
        let wrong = "authorizerResultTtlInSeconds has to be a whole number";
        assert_eq!(made(json!("soon")), Err(wrong.to_owned()));
    }

    /// What is said of a member of an integration.
    #[track_caller]
    fn check(name: &str, value: Value, message: &str) {
        let mut shape = json!({"type": "http_proxy", "uri": "http://a.test"});
        shape[name] = value;
        assert_eq!(integration(&shape).expect_err("a mistake"), message);
    }

    #[test]
    fn mistakes_are_told_in_words_of_our_own() {
        check("timeoutInMillis", json!("soon"), "timeoutInMillis has to be a whole number");
        check("timeoutInMillis", json!(0.5), "timeoutInMillis has to be a whole number");
        check("timeoutInMillis", json!(true), "timeoutInMillis has to be a whole number");
        check("uri", json!({"Fn::Sub": "x"}), "uri has to be text");
        check("requestParameters", json!("x"), "requestParameters has to be an object");
        check("requestParameters", json!({"a": {}}), "requestParameters.a has to be text");
        check("responseParameters", json!({"200": "x"}), "responseParameters.200 has to be an object");
        check("responseParameters", json!({"200": {"a": []}}), "responseParameters.200.a has to be text");
        check("tlsConfig", json!("x"), "tlsConfig has to be an object");
        assert_eq!(integration(&json!([])).expect_err("a mistake"), "an integration has to be an object");
        let wrong = cors(&json!({"allowOrigins": "x"})).expect_err("a mistake");
        assert_eq!(wrong, "allowOrigins has to be a list of texts");
        let wrong = cors(&json!({"allowCredentials": "yes"})).expect_err("a mistake");
        assert_eq!(wrong, "allowCredentials has to be true or false");
    }
}
