//! The properties of resources: which there are, what they hold, and how AWS's own API spells them.
//!
//! CloudFormation's names are the API's with a capital letter; what stands in maps whose keys are the author's is left as
//! it is.

use serde_json::{Map, Number, Value};
use stagedoor_openapi::Place;

use super::resolve::{Resolver, as_text};

/// What a property holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Holds {
    Text,
    Truth,
    Number,
    /// A list of strings.
    List,
    /// Strings by the author's names.
    Texts,
    /// A JSON schema: an object, or a text.
    Schema,
    /// An object with properties of its own.
    Object(Table),
    /// Such objects by the author's names.
    Objects(Table),
    /// Nothing that has an effect here.
    Inert,
}

/// The properties of something.
pub(super) type Table = &'static [(&'static str, Holds)];

use Holds::{Inert, List, Number as Num, Object, Objects, Schema, Text, Texts, Truth};

pub(super) const API: Table = &[
    ("ApiKeySelectionExpression", Text),
    ("Description", Text),
    ("DisableExecuteApiEndpoint", Truth),
    ("DisableSchemaValidation", Truth),
    ("IpAddressType", Text),
    ("Name", Text),
    ("ProtocolType", Text),
    ("RouteSelectionExpression", Text),
    ("Tags", Texts),
    ("Version", Text),
];

pub(super) const AUTHORIZER: Table = &[
    ("ApiId", Text),
    ("AuthorizerCredentialsArn", Text),
    ("AuthorizerType", Text),
    ("AuthorizerUri", Text),
    ("IdentitySource", List),
    ("Name", Text),
];

pub(super) const DEPLOYMENT: Table = &[("ApiId", Text), ("Description", Text), ("StageName", Text)];

pub(super) const INTEGRATION: Table = &[
    ("ApiId", Text),
    ("ConnectionId", Text),
    ("ConnectionType", Text),
    ("ContentHandlingStrategy", Text),
    ("CredentialsArn", Text),
    ("Description", Text),
    ("IntegrationMethod", Text),
    ("IntegrationType", Text),
    ("IntegrationUri", Text),
    ("PassthroughBehavior", Text),
    ("PayloadFormatVersion", Text),
    ("RequestParameters", Texts),
    ("RequestTemplates", Texts),
    ("TemplateSelectionExpression", Text),
    ("TimeoutInMillis", Num),
];

pub(super) const INTEGRATION_RESPONSE: Table = &[
    ("ApiId", Text),
    ("ContentHandlingStrategy", Text),
    ("IntegrationId", Text),
    ("IntegrationResponseKey", Text),
    ("ResponseParameters", Texts),
    ("ResponseTemplates", Texts),
    ("TemplateSelectionExpression", Text),
];

pub(super) const MODEL: Table =
    &[("ApiId", Text), ("ContentType", Text), ("Description", Text), ("Name", Text), ("Schema", Schema)];

const CONSTRAINTS: Table = &[("Required", Truth)];

pub(super) const ROUTE: Table = &[
    ("ApiId", Text),
    ("ApiKeyRequired", Truth),
    ("AuthorizationScopes", List),
    ("AuthorizationType", Text),
    ("AuthorizerId", Text),
    ("ModelSelectionExpression", Text),
    ("OperationName", Text),
    ("RequestModels", Texts),
    ("RequestParameters", Objects(CONSTRAINTS)),
    ("RouteKey", Text),
    ("RouteResponseSelectionExpression", Text),
    ("Target", Text),
];

pub(super) const ROUTE_RESPONSE: Table = &[
    ("ApiId", Text),
    ("ModelSelectionExpression", Text),
    ("ResponseModels", Texts),
    ("ResponseParameters", Objects(CONSTRAINTS)),
    ("RouteId", Text),
    ("RouteResponseKey", Text),
];

const LOG_SETTINGS: Table = &[("DestinationArn", Text), ("Format", Text)];

const ROUTE_SETTINGS: Table = &[
    ("DataTraceEnabled", Truth),
    ("DetailedMetricsEnabled", Truth),
    ("LoggingLevel", Text),
    ("ThrottlingBurstLimit", Num),
    ("ThrottlingRateLimit", Num),
];

pub(super) const STAGE: Table = &[
    ("AccessLogSettings", Object(LOG_SETTINGS)),
    ("ApiId", Text),
    ("AutoDeploy", Truth),
    ("ClientCertificateId", Text),
    ("DefaultRouteSettings", Object(ROUTE_SETTINGS)),
    ("DeploymentId", Text),
    ("Description", Text),
    ("RouteSettings", Objects(ROUTE_SETTINGS)),
    ("StageName", Text),
    ("StageVariables", Texts),
    ("Tags", Texts),
];

const ENVIRONMENT: Table = &[("Variables", Texts)];

pub(super) const SERVERLESS: Table = &[
    ("Architectures", Inert),
    ("CodeUri", Text),
    ("Description", Inert),
    ("Environment", Object(ENVIRONMENT)),
    ("FunctionName", Text),
    ("Handler", Text),
    ("MemorySize", Num),
    ("Policies", Inert),
    ("Role", Inert),
    ("Runtime", Text),
    ("Tags", Inert),
    ("Timeout", Num),
];

/// Log groups are only named here: what is kept for how long is the file's own affair.
pub(super) const LOG_GROUP: Table = &[("LogGroupName", Text), ("RetentionInDays", Inert), ("Tags", Inert)];

pub(super) const LAMBDA: Table = &[
    ("Architectures", Inert),
    ("Code", Text),
    ("Description", Inert),
    ("Environment", Object(ENVIRONMENT)),
    ("FunctionName", Text),
    ("Handler", Text),
    ("MemorySize", Num),
    ("Role", Inert),
    ("Runtime", Text),
    ("Tags", Inert),
    ("Timeout", Num),
];

/// The properties of something, resolved and in the API's spelling. What it has not is refused.
pub(super) fn read<'a>(
    resolver: &Resolver<'a>,
    place: &Place<'a>,
    what: &str,
    table: Table,
) -> Map<String, Value> {
    let mut read = Map::new();
    for (name, member) in place.members() {
        let Some((_, holds)) = table.iter().find(|(known, _)| *known == name) else {
            let names: Vec<_> = table.iter().map(|(known, _)| *known).collect();
            resolver.problem(
                &member,
                format!("{what} has no property '{name}' here; it has {}", names.join(", ")),
            );
            continue;
        };
        if let Some(value) = value(resolver, &member, name, *holds) {
            read.insert(decapitalized(name), value);
        }
    }
    read
}

fn value<'a>(resolver: &Resolver<'a>, place: &Place<'a>, name: &str, holds: Holds) -> Option<Value> {
    match holds {
        Inert => return None,
        Object(table) => return object(resolver, place, &format!("'{name}'"), table),
        Objects(table) => {
            if place.map().is_none() {
                resolver.problem(place, format!("'{name}' must be an object"));
                return None;
            }
            let entry = |(key, member): (&str, Place<'a>)| {
                Some((key.to_owned(), object(resolver, &member, &format!("an entry of '{name}'"), table)?))
            };
            return Some(Value::Object(place.members().filter_map(entry).collect()));
        }
        Text | Truth | Num | List | Texts | Schema => {}
    }
    let given = resolver.value(place)?;
    let (fit, wanted) = match holds {
        Text => (as_text(&given).map(Value::from), "a string"),
        Truth => (truth(&given), "true or false"),
        Num => (number(&given), "a number"),
        List => (texts_of_list(&given), "a list of strings"),
        Schema => (Some(Value::from(as_text(&given).unwrap_or_else(|| given.to_string()))), ""),
        _ => (texts(&given), "an object of strings"),
    };
    if fit.is_none() {
        resolver.problem(place, format!("'{name}' must be {wanted}"));
    }
    fit
}

fn object<'a>(resolver: &Resolver<'a>, place: &Place<'a>, what: &str, table: Table) -> Option<Value> {
    if place.map().is_none() {
        resolver.problem(place, format!("{what} must be an object"));
        return None;
    }
    Some(Value::Object(read(resolver, place, what, table)))
}

fn truth(value: &Value) -> Option<Value> {
    as_text(value)?.parse::<bool>().ok().map(Value::from)
}

fn number(value: &Value) -> Option<Value> {
    let text = as_text(value)?;
    match text.parse::<i64>() {
        Ok(whole) => Some(Value::from(whole)),
        Err(_) => text.parse::<f64>().ok().and_then(Number::from_f64).map(Value::Number),
    }
}

fn texts_of_list(value: &Value) -> Option<Value> {
    let texts: Option<Vec<String>> = value.as_array()?.iter().map(as_text).collect();
    texts.map(Value::from)
}

fn texts(value: &Value) -> Option<Value> {
    let texts: Option<Map<String, Value>> =
        value.as_object()?.iter().map(|(name, value)| Some((name.clone(), as_text(value)?.into()))).collect();
    texts.map(Value::Object)
}

fn decapitalized(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(letters).collect()
}
