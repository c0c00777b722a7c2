//! How a function is shared: versions, aliases, permissions, concurrency and tags.

use serde_json::{Map, Value, json};

use super::model::{self, Alias, Record};
use super::operations::{map, number, only, required, text};
use super::respond::{Answer, ApiError};
use super::routes::{Operation, Route};
use super::{LambdaApi, constraints, paging};
use crate::config::{FunctionRef, LATEST};

impl LambdaApi {
    pub(super) fn operate_sharing(&self, route: &Route, body: &[u8]) -> Result<Answer, ApiError> {
        let given = model::members(body)?;
        if matches!(route.operation, Operation::TagResource | Operation::UntagResource | Operation::ListTags)
        {
            constraints::taggable(route.name())?;
        }
        let reference = self.reference(route)?;
        let mut records = self.records();
        refuse_qualified(route.operation, reference)?;
        let found = self.find(&records, FunctionRef { qualifier: None, ..reference });
        let mut record = found.map_err(|error| self.no_function(route, &given, error))?.0.clone();
        let arn = self.arn(&record.name);
        let answer = match route.operation {
            Operation::ListVersionsByFunction => {
                let latest = (LATEST.to_owned(), self.list(&record, &record.latest, Some(LATEST)));
                let published = record.versions.iter().map(|(number, version)| {
                    (paging::ascending(*number), self.list(&record, version, Some(&version.version)))
                });
                return paging::page(route, "Versions", (10_000, 50), [latest].into_iter().chain(published));
            }
            Operation::GetAlias => {
                let name = route.second();
                let alias = record.aliases.get(name).ok_or_else(|| no_alias(&arn, name))?;
                return Ok(Answer::json(200, &alias.shown(name, &arn)));
            }
            Operation::ListAliases => {
                let version = route.query.get("FunctionVersion");
                let of_version = |alias: &Alias| version.is_none_or(|version| *version == alias.version);
                let aliases = record.aliases.iter().filter(|(_, alias)| of_version(alias));
                let shown = aliases.map(|(name, alias)| (name.clone(), alias.shown(name, &arn)));
                return paging::page(route, "Aliases", (10_000, 50), shown);
            }
            Operation::GetPolicy => return policy(&mut record, reference),
            Operation::GetFunctionConcurrency => {
                let shown = record
                    .concurrency
                    .map_or_else(|| json!({}), |count| json!({ "ReservedConcurrentExecutions": count }));
                return Ok(Answer::json(200, &shown));
            }
            Operation::GetFunctionCodeSigningConfig => {
                return Ok(Answer::json(
                    200,
                    &json!({ "CodeSigningConfigArn": "", "FunctionName": record.name }),
                ));
            }
            Operation::ListTags => return Ok(Answer::json(200, &json!({ "Tags": record.tags }))),
            Operation::PublishVersion => {
                only(&given, &["CodeSha256", "Description", "RevisionId"], "PublishVersion")?;
                if text(&given, "RevisionId").is_some_and(|revision| revision != record.latest.revision) {
                    return Err(ApiError::precondition());
                }
                if let Some(description) = text(&given, "Description") {
                    constraints::description(description)?;
                }
                if text(&given, "CodeSha256").is_some_and(|sha| sha != record.latest.code.sha256) {
                    return Err(ApiError::parameter(&format!(
                        "CodeSHA256 ({}) is different from current CodeSHA256 in $LATEST ({}). Please try again with the CodeSHA256 in $LATEST.",
                        text(&given, "CodeSha256").unwrap_or_default(),
                        record.latest.code.sha256
                    )));
                }
                Answer::json(201, &self.publish(&mut record, text(&given, "Description")))
            }
            Operation::CreateAlias => {
                only(&given, &["Name", "FunctionVersion", "Description", "RoutingConfig"], "CreateAlias")?;
                let name = required(&given, "Name", "name")?.to_owned();
                constraints::alias_name(&name)?;
                if record.aliases.contains_key(&name) {
                    return Err(ApiError::conflict(&format!("Alias already exists: {arn}:{name}")));
                }
                let version = required(&given, "FunctionVersion", "functionVersion")?;
                let alias = alias(&record, &given, version, &arn)?;
                let shown = alias.shown(&name, &arn);
                record.aliases.insert(name, alias);
                Answer::json(201, &shown)
            }
            Operation::UpdateAlias => {
                let known = ["FunctionVersion", "Description", "RevisionId", "RoutingConfig"];
                only(&given, &known, "UpdateAlias")?;
                let name = route.second();
                let old = record.aliases.get(name).ok_or_else(|| no_alias(&arn, name))?;
                let version = text(&given, "FunctionVersion").unwrap_or(&old.version);
                let mut new = alias(&record, &given, version, &arn)?;
                if text(&given, "RevisionId").is_some_and(|revision| revision != old.revision) {
                    return Err(ApiError::precondition());
                }
                if !given.contains_key("Description") {
                    new.description.clone_from(&old.description);
                }
                if !given.contains_key("RoutingConfig") {
                    new.routing.clone_from(&old.routing);
                }
                let shown = new.shown(name, &arn);
                record.aliases.insert(name.to_owned(), new);
                Answer::json(200, &shown)
            }
            Operation::DeleteAlias => {
                record.aliases.remove(route.second());
                self.inner.functions.set_alias(&record.name, route.second(), None);
                Answer::empty()
            }
            Operation::AddPermission => add_permission(&mut record, reference, &given, &arn)?,
            Operation::RemovePermission => {
                let (id, qualifier) = (route.second(), reference.qualifier);
                check_qualifier(&record, qualifier, &arn)?;
                let is_it = |statement: &Value| statement.get("Sid").and_then(Value::as_str) == Some(id);
                let statements = record.policies.get(qualifier.unwrap_or_default());
                let statements = statements
                    .ok_or_else(|| ApiError::not_found("No policy is associated with the given resource."))?;
                if !statements.iter().any(is_it) {
                    return Err(ApiError::not_found(&format!(
                        "Statement {id} is not found in resource policy."
                    )));
                }
                change_policy(&mut record, qualifier, route.query.get("RevisionId").map(String::as_str))?;
                if let Some(statements) = record.policies.get_mut(qualifier.unwrap_or_default()) {
                    statements.retain(|statement| !is_it(statement));
                }
                record.policies.retain(|_, statements| !statements.is_empty());
                Answer::empty()
            }
            Operation::PutFunctionConcurrency => {
                let member = "ReservedConcurrentExecutions";
                let count = number(&given, member, "reservedConcurrentExecutions", 0, 1000)?.unwrap_or(0);
                record.concurrency = u32::try_from(count).ok();
                Answer::json(200, &json!({ member: count }))
            }
            Operation::DeleteFunctionConcurrency => {
                record.concurrency = None;
                Answer::empty()
            }
            Operation::TagResource => {
                let tags = map(given.get("Tags"));
                if tags.is_empty() {
                    return Err(ApiError::parameter(
                        "An error occurred and the request cannot be processed.",
                    ));
                }
                record.tags.extend(tags);
                record.tags = constraints::tags(record.tags)?;
                Answer::empty()
            }
            Operation::UntagResource => {
                if route.tag_keys.is_empty() {
                    return Err(ApiError::new(
                        400,
                        "ValidationException",
                        "1 validation error detected: Value null at 'tagKeys' failed to satisfy constraint: Member must not be null",
                    ));
                }
                record.tags.retain(|name, _| !route.tag_keys.contains(name));
                Answer::empty()
            }
            other => return Err(ApiError::not_built(&format!("{other:?}"))),
        };
        self.commit(&mut records, record)?;
        Ok(answer)
    }

    /// What is said of a function that is not there.
    fn no_function(&self, route: &Route, given: &Map<String, Value>, error: ApiError) -> ApiError {
        let Ok(FunctionRef { name, .. }) = self.reference(route) else { return error };
        let arn = self.arn(name);
        match (route.operation, text(given, "FunctionVersion")) {
            (Operation::CreateAlias, Some(version)) => {
                ApiError::not_found(&format!("Function not found: {arn}:{version}"))
            }
            (Operation::PutFunctionConcurrency, _) => {
                ApiError::not_found(&format!("Function not found: {arn}:{LATEST}"))
            }
            (Operation::RemovePermission, _) => ApiError::not_found(&format!("No policy found for: {arn}")),
            _ => error,
        }
    }

    /// The answer to a change, which is the new version's if one was asked for.
    pub(super) fn publish_if_asked(&self, record: &mut Record, given: &Map<String, Value>) -> Value {
        match given.get("Publish").and_then(Value::as_bool) {
            Some(true) => self.publish(record, None),
            _ => self.show(record, &record.latest, None),
        }
    }

    /// Freezes what there is, unless the last version is the same.
    fn publish(&self, record: &mut Record, description: Option<&str>) -> Value {
        if let Some(last) = record.versions.get(&record.last_version)
            && last.is_frozen(&record.latest)
        {
            return self.show(record, last, Some(&last.version));
        }
        record.last_version += 1;
        let mut version = record.latest.clone();
        version.version = record.last_version.to_string();
        // What is published does not change, whatever its directory does.
        version.code.hot_reload = false;
        if let Some(description) = description {
            version.described = Some(std::mem::replace(&mut version.description, description.to_owned()));
        }
        version.revision = uuid::Uuid::new_v4().to_string();
        let shown = self.show(record, &version, Some(&version.version));
        record.versions.insert(record.last_version, version);
        shown
    }
}

/// Some operations are for whole functions only.
fn refuse_qualified(operation: Operation, reference: FunctionRef<'_>) -> Result<(), ApiError> {
    let message = match operation {
        _ if reference.qualifier.is_none() => return Ok(()),
        Operation::TagResource | Operation::UntagResource | Operation::ListTags => {
            "Tags on function aliases and versions are not supported. Please specify a function ARN."
        }
        Operation::PutFunctionConcurrency => {
            "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. Please specify either a function name or an unqualified function ARN."
        }
        _ => return Ok(()),
    };
    Err(ApiError::parameter(message))
}

/// A version or alias that a permission is about has to be there.
fn check_qualifier(record: &Record, qualifier: Option<&str>, arn: &str) -> Result<(), ApiError> {
    let Some(name) = qualifier else { return Ok(()) };
    match name.parse() {
        Ok(version) if record.versions.contains_key(&version) => Ok(()),
        Err(_) if record.aliases.contains_key(name) => Ok(()),
        // What could be no alias's name either.
        Err(_) if !name.contains('$') => Err(no_alias(arn, name)),
        _ => Err(ApiError::not_found(&format!("Function not found: {arn}:{name}"))),
    }
}

fn no_alias(arn: &str, name: &str) -> ApiError {
    ApiError::not_found(&format!("Cannot find alias arn: {arn}:{name}"))
}

fn no_policy() -> ApiError {
    ApiError::not_found("The resource you requested does not exist.")
}

fn alias(record: &Record, given: &Map<String, Value>, version: &str, arn: &str) -> Result<Alias, ApiError> {
    let exists = |version: &str| match version.parse() {
        Ok(number) if record.versions.contains_key(&number) => Ok(()),
        _ => Err(ApiError::not_found(&format!("Function not found: {arn}:{version}"))),
    };
    let routing = routing(given, version)?;
    if version != LATEST {
        exists(version)?;
    }
    if let Some((other, _)) = &routing {
        exists(other)?;
    }
    Ok(Alias {
        routing,
        version: version.to_owned(),
        description: text(given, "Description").unwrap_or_default().to_owned(),
        revision: uuid::Uuid::new_v4().to_string(),
    })
}

/// The second version of an alias, and its share.
fn routing(given: &Map<String, Value>, first: &str) -> Result<Option<(String, f64)>, ApiError> {
    let weights = given.get("RoutingConfig").and_then(|config| config.get("AdditionalVersionWeights"));
    let Some(weights) = weights.and_then(Value::as_object) else { return Ok(None) };
    let Some((version, weight)) = weights.iter().next() else { return Ok(None) };
    let share = checked_weights(weights, weight)?;
    if weights.len() > 1 {
        return Err(ApiError::parameter(
            "Number of items in AdditionalVersionWeights cannot be greater than 1",
        ));
    }
    if first == LATEST {
        return Err(ApiError::parameter(
            "$LATEST is not supported for an alias pointing to more than 1 version",
        ));
    }
    if version == first {
        return Err(ApiError::parameter(&format!(
            "Invalid function version {version}. Function version {version} is already included in routing configuration."
        )));
    }
    Ok(Some((version.clone(), share)))
}

/// The model's constraints on the map of weights; returns the weight that counts.
fn checked_weights(weights: &Map<String, Value>, weight: &Value) -> Result<f64, ApiError> {
    let refused = |constraint: &str| {
        let shown: Vec<_> = weights
            .iter()
            .map(|(version, weight)| format!("{version}={:?}", weight.as_f64().unwrap_or_default()))
            .collect();
        let shown = format!("{{{}}}", shown.join(", "));
        ApiError::validation(&shown, "routingConfig.additionalVersionWeights", constraint)
    };
    let is_number =
        |version: &String| !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit());
    if !weights.keys().all(is_number) {
        return Err(refused(
            "Map keys must satisfy constraint: [Member must have length less than or equal to 1024, Member must have length greater than or equal to 1, Member must satisfy regular expression pattern: [0-9]+, Member must not be null]",
        ));
    }
    weight.as_f64().filter(|share| (0.0..=1.0).contains(share)).ok_or_else(|| {
        refused(
            "Map value must satisfy constraint: [Member must have value less than or equal to 1.0, Member must have value greater than or equal to 0.0, Member must not be null]",
        )
    })
}

/// Takes a change of a resource policy as one of what the policy is for.
fn change_policy(
    record: &mut Record,
    qualifier: Option<&str>,
    expected: Option<&str>,
) -> Result<(), ApiError> {
    let revision = record.revision(qualifier).ok_or_else(no_policy)?;
    if expected.is_some_and(|expected| expected != revision) {
        return Err(ApiError::policy_precondition());
    }
    *revision = uuid::Uuid::new_v4().to_string();
    Ok(())
}

fn policy(record: &mut Record, reference: FunctionRef<'_>) -> Result<Answer, ApiError> {
    let revision = record.revision(reference.qualifier).cloned();
    let statements = record.policies.get(reference.qualifier.unwrap_or_default()).ok_or_else(no_policy)?;
    let policy = json!({ "Version": "2012-10-17", "Id": "default", "Statement": statements });
    Ok(Answer::json(200, &json!({ "Policy": policy.to_string(), "RevisionId": revision })))
}

fn add_permission(
    record: &mut Record,
    reference: FunctionRef<'_>,
    given: &Map<String, Value>,
    arn: &str,
) -> Result<Answer, ApiError> {
    let known = [
        "StatementId",
        "Action",
        "Principal",
        "SourceArn",
        "SourceAccount",
        "PrincipalOrgID",
        "RevisionId",
        "EventSourceToken",
    ];
    only(given, &known, "AddPermission")?;
    let id = required(given, "StatementId", "statementId")?;
    let action = required(given, "Action", "action")?;
    let principal = required(given, "Principal", "principal")?;
    constraints::statement_id(id)?;
    constraints::action(action)?;
    constraints::principal(principal)?;
    if reference.qualifier == Some(LATEST) {
        return Err(ApiError::parameter("We currently do not support adding policies for $LATEST."));
    }
    check_qualifier(record, reference.qualifier, arn)?;
    let shown = match principal {
        "*" => json!("*"),
        account if account.starts_with("arn:") => json!({ "AWS": account }),
        service if service.contains('.') => json!({ "Service": service }),
        account => json!({ "AWS": format!("arn:aws:iam::{account}:root") }),
    };
    let resource =
        reference.qualifier.map_or_else(|| arn.to_owned(), |qualifier| format!("{arn}:{qualifier}"));
    let mut statement = json!({
        "Sid": id, "Effect": "Allow", "Principal": shown, "Action": action, "Resource": resource,
    });
    let mut condition = Map::new();
    if let Some(source) = text(given, "SourceArn") {
        condition.insert("ArnLike".to_owned(), json!({ "AWS:SourceArn": source }));
    }
    let mut equals = Map::new();
    for (member, key) in [
        ("SourceAccount", "AWS:SourceAccount"),
        ("PrincipalOrgID", "aws:PrincipalOrgID"),
        ("EventSourceToken", "lambda:EventSourceToken"),
    ] {
        if let Some(value) = text(given, member) {
            equals.insert(key.to_owned(), json!(value));
        }
    }
    if !equals.is_empty() {
        condition.insert("StringEquals".to_owned(), Value::Object(equals));
    }
    if let Some(fields) = statement.as_object_mut().filter(|_| !condition.is_empty()) {
        fields.insert("Condition".to_owned(), Value::Object(condition));
    }
    let qualifier = reference.qualifier.unwrap_or_default();
    if record
        .policies
        .get(qualifier)
        .into_iter()
        .flatten()
        .any(|other| other.get("Sid").and_then(Value::as_str) == Some(id))
    {
        return Err(ApiError::conflict(&format!(
            "The statement id ({id}) provided already exists. Please provide a new statement id, or remove the existing statement."
        )));
    }
    change_policy(record, reference.qualifier, text(given, "RevisionId"))?;
    record.policies.entry(qualifier.to_owned()).or_default().push(statement.clone());
    Ok(Answer::json(201, &json!({ "Statement": statement.to_string() })))
}
