//! The operations on functions: create, read, update, delete. Versions, aliases and permissions are in `sharing`.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::model::{self, Record, Version, in_progress, pending};
use super::respond::{Answer, ApiError};
use super::routes::{Operation, Route};
use super::{LambdaApi, code, constraints, names, paging};
use crate::config::{FunctionRef, LATEST};

/// Variables that Lambda sets itself and lets nobody replace.
const RESERVED: [&str; 18] = [
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "AWS_DEFAULT_REGION",
    "AWS_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_LAMBDA_RUNTIME_API",
    "LAMBDA_TASK_ROOT",
    "LAMBDA_RUNTIME_DIR",
];

/// The members of CreateFunction and UpdateFunctionConfiguration that are more than words here.
const CONFIGURATION: [&str; 12] = [
    "Runtime",
    "Role",
    "Handler",
    "Description",
    "Timeout",
    "MemorySize",
    "Environment",
    "Layers",
    "TracingConfig",
    "LoggingConfig",
    "RevisionId",
    "FunctionName",
];

impl LambdaApi {
    /// Runs one operation; blocks on files.
    pub(super) fn operate(&self, route: &Route, body: &[u8]) -> Result<Answer, ApiError> {
        match route.operation {
            Operation::CreateFunction => self.create_function(&model::members(body)?),
            Operation::ListFunctions => self.list_functions(route),
            Operation::GetFunction => self.get_function(route),
            Operation::GetFunctionConfiguration => self.get_function_configuration(route),
            Operation::UpdateFunctionConfiguration => {
                self.update_function_configuration(route, &model::members(body)?)
            }
            Operation::UpdateFunctionCode => self.update_function_code(route, &model::members(body)?),
            Operation::DeleteFunction => self.delete_function(route),
            Operation::GetAccountSettings => Ok(self.account_settings()),
            Operation::PublishLayerVersion
            | Operation::ListLayers
            | Operation::ListLayerVersions
            | Operation::GetLayerVersion
            | Operation::GetLayerVersionByArn
            | Operation::DeleteLayerVersion => self.operate_layers(route, body),
            Operation::PutFunctionEventInvokeConfig
            | Operation::UpdateFunctionEventInvokeConfig
            | Operation::GetFunctionEventInvokeConfig
            | Operation::DeleteFunctionEventInvokeConfig
            | Operation::ListFunctionEventInvokeConfigs => self.operate_event_invoke(route, body),
            _ => self.operate_sharing(route, body),
        }
    }

    fn create_function(&self, given: &Map<String, Value>) -> Result<Answer, ApiError> {
        let also = ["Code", "Publish", "PackageType", "Architectures", "Tags"];
        only(given, &[&CONFIGURATION[..], &also].concat(), "CreateFunction")?;
        let name = required(given, "FunctionName", "functionName")?;
        let name = self.new_name(name)?;
        required(given, "Role", "role")?;
        if let Some(kind) = text(given, "PackageType").filter(|kind| *kind != "Zip") {
            return Err(ApiError::not_built(&format!("the package type {kind}")));
        }
        for member in ["Runtime", "Handler"] {
            if text(given, member).is_none() {
                return Err(ApiError::parameter(&format!(
                    "{member} is mandatory for functions created with deployment packages."
                )));
            }
        }
        let source = given
            .get("Code")
            .ok_or_else(|| ApiError::validation("null", "code", "Member must not be null"))?;
        let mut records = self.records();
        if records.contains_key(&name) {
            return Err(ApiError::conflict(&format!("Function already exist: {name}")));
        }
        let architectures = strings(given.get("Architectures")).unwrap_or_else(|| vec!["x86_64".to_owned()]);
        constraints::architectures(&architectures)?;
        let code = code::take(source, &self.code_dir(&name))?;
        let mut latest = Version {
            version: LATEST.to_owned(),
            runtime: String::new(),
            handler: String::new(),
            role: String::new(),
            description: String::new(),
            timeout: 3,
            memory: 128,
            environment: BTreeMap::new(),
            environment_given: false,
            architectures,
            tracing: "PassThrough".to_owned(),
            code,
            last_modified: String::new(),
            revision: String::new(),
            layers: Vec::new(),
            described: None,
            log_group: None,
        };
        configure(&mut latest, &name, given)?;
        if let Some(layers) = strings(given.get("Layers")) {
            latest.layers = self.layers(&layers)?;
        }
        let mut record = Record {
            name: name.clone(),
            latest,
            versions: BTreeMap::new(),
            last_version: 0,
            aliases: BTreeMap::new(),
            policies: BTreeMap::new(),
            concurrency: None,
            tags: constraints::tags(map(given.get("Tags")))?,
            event_invoke: BTreeMap::new(),
        };
        let mut shown = self.publish_if_asked(&mut record, given);
        self.commit(&mut records, record)?;
        if let Some(fields) = shown.as_object_mut() {
            // AWS's answer has the function's own ARN also where a version was asked for.
            fields.insert("FunctionArn".to_owned(), self.arn(&name).into());
            pending(fields);
        }
        Ok(Answer::json(201, &shown))
    }

    /// The name that a function gets. It may be given as an ARN, of this region and account.
    fn new_name(&self, text: &str) -> Result<String, ApiError> {
        let account = names::take_apart(text).and_then(|named| named.account);
        if account.is_some_and(|account| account != self.inner.settings.account) {
            return Err(ApiError::access_denied());
        }
        self.in_region(text)?;
        let named = names::checked(text, Operation::CreateFunction)?;
        match named.qualifier {
            None if named.name.len() <= 64 => Ok(named.name.to_owned()),
            _ => Err(ApiError::parameter(&format!("Unsupported function name: {text}"))),
        }
    }

    fn list_functions(&self, route: &Route) -> Result<Answer, ApiError> {
        let records = self.records();
        let all = match route.query.get("FunctionVersion") {
            None => false,
            Some(asked) => constraints::one_of(asked, "functionVersion", &["ALL"]).map(|()| true)?,
        };
        let functions = records.values().flat_map(|record| {
            // No name has a character before the letters but a hyphen: those of one function stay together.
            let published = record.versions.iter().filter(|_| all).map(|(number, version)| {
                let key = format!("{} {}", record.name, paging::ascending(*number));
                (key, self.list(record, version, Some(&version.version)))
            });
            let qualifier = all.then_some(LATEST);
            std::iter::once((record.name.clone(), self.list(record, &record.latest, qualifier)))
                .chain(published)
        });
        paging::page(route, "Functions", (10_000, 50), functions)
    }

    fn account_settings(&self) -> Answer {
        let records = self.records();
        let reserved: u32 = records.values().filter_map(|record| record.concurrency).sum();
        let versions = records.values().flat_map(|record| record.versions.values().chain([&record.latest]));
        let size: u64 = versions.map(|version| version.code.size).sum();
        Answer::json(
            200,
            &json!({
                "AccountLimit": {
                    "TotalCodeSize": 80_530_636_800_u64,
                    "CodeSizeUnzipped": 262_144_000,
                    "CodeSizeZipped": 52_428_800,
                    "ConcurrentExecutions": 1000,
                    "UnreservedConcurrentExecutions": 1000_u32.saturating_sub(reserved),
                },
                "AccountUsage": { "TotalCodeSize": size, "FunctionCount": records.len() },
            }),
        )
    }

    fn get_function(&self, route: &Route) -> Result<Answer, ApiError> {
        let reference = self.reference(route)?;
        let records = self.records();
        let (record, version) = self.find(&records, reference)?;
        let mut body = json!({
            "Configuration": self.show(record, version, reference.qualifier),
            "Code": { "RepositoryType": "S3", "Location": self.location(route, &version.code) },
        });
        if let Some(fields) = body.as_object_mut() {
            if !record.tags.is_empty() {
                fields.insert("Tags".to_owned(), json!(record.tags));
            }
            if let Some(concurrency) = record.concurrency {
                let shown = json!({ "ReservedConcurrentExecutions": concurrency });
                fields.insert("Concurrency".to_owned(), shown);
            }
        }
        Ok(Answer::json(200, &body))
    }

    fn get_function_configuration(&self, route: &Route) -> Result<Answer, ApiError> {
        let reference = self.reference(route)?;
        let records = self.records();
        let (record, version) = self.find(&records, reference)?;
        Ok(Answer::json(200, &self.show(record, version, reference.qualifier)))
    }

    fn update_function_configuration(
        &self,
        route: &Route,
        given: &Map<String, Value>,
    ) -> Result<Answer, ApiError> {
        only(given, &CONFIGURATION, "UpdateFunctionConfiguration")?;
        let layers = strings(given.get("Layers")).map(|arns| self.layers(&arns)).transpose()?;
        let name = self.reference(route)?.name;
        self.change(route, given, |latest| {
            if let Some(layers) = layers {
                latest.layers = layers;
            }
            configure(latest, name, given)
        })
    }

    fn update_function_code(&self, route: &Route, given: &Map<String, Value>) -> Result<Answer, ApiError> {
        let known = [
            "FunctionName",
            "ZipFile",
            "S3Bucket",
            "S3Key",
            "ImageUri",
            "Publish",
            "DryRun",
            "RevisionId",
            "Architectures",
        ];
        only(given, &known, "UpdateFunctionCode")?;
        let dir = self.code_dir(self.reference(route)?.name);
        let source = Value::Object(given.clone());
        self.change(route, given, |latest| {
            if let Some(architectures) = strings(given.get("Architectures")) {
                constraints::architectures(&architectures)?;
                latest.architectures = architectures;
            }
            latest.code = code::take(&source, &dir)?;
            latest.touch();
            Ok(())
        })
    }

    /// Changes what is not published yet.
    fn change(
        &self,
        route: &Route,
        given: &Map<String, Value>,
        apply: impl FnOnce(&mut Version) -> Result<(), ApiError>,
    ) -> Result<Answer, ApiError> {
        let reference = self.reference(route)?;
        let mut records = self.records();
        let mut record = self.find(&records, FunctionRef { qualifier: None, ..reference })?.0.clone();
        if text(given, "RevisionId").is_some_and(|revision| revision != record.latest.revision) {
            return Err(ApiError::precondition());
        }
        apply(&mut record.latest)?;
        if given.get("DryRun").and_then(Value::as_bool) == Some(true) {
            return Ok(Answer::json(200, &self.show(&record, &record.latest, None)));
        }
        let mut shown = self.publish_if_asked(&mut record, given);
        self.commit(&mut records, record)?;
        if let Some(fields) = shown.as_object_mut() {
            if fields.get("Version").is_some_and(|version| version != LATEST) {
                pending(fields);
            } else {
                in_progress(fields);
            }
        }
        Ok(Answer::json(200, &shown))
    }

    fn delete_function(&self, route: &Route) -> Result<Answer, ApiError> {
        let reference = self.reference(route)?;
        // Said before anybody looks whether there is such a function.
        let version = match reference.qualifier.map(|qualifier| (qualifier, qualifier.parse::<u64>())) {
            None => None,
            Some((_, Ok(number))) => Some(number),
            Some((LATEST, Err(_))) => {
                return Err(ApiError::parameter(
                    "$LATEST version cannot be deleted without deleting the function.",
                ));
            }
            Some((_, Err(_))) => {
                return Err(ApiError::parameter("Deletion of aliases is not currently supported."));
            }
        };
        let mut records = self.records();
        let function = FunctionRef { qualifier: None, ..reference };
        let mut record = self.find(&records, function)?.0.clone();
        if let Some(number) = version {
            // A version that is not there is deleted already.
            if !record.versions.contains_key(&number) {
                return Ok(Answer::empty());
            }
            let version = number.to_string();
            let leading = record.aliases.iter().filter(|(_, alias)| alias.leads_to(&version));
            let leading: Vec<_> = leading.map(|(name, _)| name).collect();
            if !leading.is_empty() {
                return Err(ApiError::conflict(&format!(
                    "Unable to delete version because the following aliases reference it: {leading:?}"
                )));
            }
            record.versions.remove(&number);
            let name = record.name.clone();
            self.commit(&mut records, record)?;
            self.inner.functions.remove(&name, Some(&version));
            return Ok(Answer::empty());
        }
        // The document first: code without one is no function.
        let home = model::home(&self.inner.settings.data, &record.name);
        std::fs::remove_file(home.join("function.json"))?;
        records.remove(&record.name);
        self.inner.functions.remove(&record.name, None);
        if let Err(error) = std::fs::remove_dir_all(&home) {
            tracing::warn!(target: "function", %error, "{} is left behind", home.display());
        }
        Ok(Answer::empty())
    }

    /// Stores a changed function and lets it run.
    pub(super) fn commit(
        &self,
        records: &mut BTreeMap<String, Record>,
        record: Record,
    ) -> Result<(), ApiError> {
        // What cannot run is refused before it is stored.
        let checked =
            record.latest.config(&record, self.arn(&record.name)).and_then(|mut config| config.check());
        checked.map_err(|error| ApiError::parameter(&error.to_string()))?;
        model::save(&self.inner.settings.data, &record)?;
        self.register(&record)?;
        records.insert(record.name.clone(), record);
        Ok(())
    }

    pub(super) fn register(&self, record: &Record) -> Result<(), ApiError> {
        for version in record.versions.values().chain([&record.latest]) {
            let config = version.config(record, self.arn(&record.name));
            let put = config.and_then(|config| self.inner.functions.put_as_deployed(config));
            put.map_err(|error| ApiError::parameter(&error.to_string()))?;
        }
        let functions = &self.inner.functions;
        for (name, alias) in &record.aliases {
            let other = alias.routing.as_ref().map(|(version, share)| (version.as_str(), *share));
            functions.set_weighted_alias(&record.name, name, Some(&alias.version), other);
        }
        let configs =
            record.event_invoke.iter().map(|(qualifier, config)| (qualifier.clone(), config.config()));
        functions.set_rules(&record.name, &record.policies, configs.collect());
        Ok(())
    }

    pub(super) fn find<'a>(
        &self,
        records: &'a BTreeMap<String, Record>,
        reference: FunctionRef<'_>,
    ) -> Result<(&'a Record, &'a Version), ApiError> {
        let found = records
            .get(reference.name)
            .and_then(|record| Some((record, record.version(reference.qualifier)?)));
        found.ok_or_else(|| self.not_found(reference))
    }

    /// A version under the ARN by which it was asked for.
    pub(super) fn show(&self, record: &Record, version: &Version, qualifier: Option<&str>) -> Value {
        version.shown(&record.name, &self.qualified_arn(&record.name, qualifier))
    }

    /// The same, as a member of a list.
    pub(super) fn list(&self, record: &Record, version: &Version, qualifier: Option<&str>) -> Value {
        version.listed(&record.name, &self.qualified_arn(&record.name, qualifier))
    }

    fn code_dir(&self, name: &str) -> std::path::PathBuf {
        let data: &Path = &self.inner.settings.data;
        model::home(data, name).join("code")
    }
}

/// Takes over the members that are given, within AWS's bounds.
fn configure(version: &mut Version, name: &str, given: &Map<String, Value>) -> Result<(), ApiError> {
    if let Some(runtime) = text(given, "Runtime") {
        constraints::runtime(runtime)?;
        version.runtime = runtime.to_owned();
    }
    if let Some(handler) = text(given, "Handler") {
        if handler.len() > 128 || handler.chars().any(char::is_whitespace) {
            return Err(ApiError::validation(
                handler,
                "handler",
                "Member must satisfy regular expression pattern: [^\\s]+",
            ));
        }
        version.handler = handler.to_owned();
    }
    if let Some(role) = text(given, "Role") {
        constraints::role(role)?;
        version.role = role.to_owned();
    }
    if let Some(description) = text(given, "Description") {
        constraints::description(description)?;
        version.description = description.to_owned();
    }
    if let Some(timeout) = number(given, "Timeout", "timeout", 1, 900)? {
        version.timeout = timeout;
    }
    if let Some(memory) = number(given, "MemorySize", "memorySize", 128, 10_240)? {
        version.memory = u32::try_from(memory).unwrap_or(u32::MAX);
    }
    if let Some(mode) =
        given.get("TracingConfig").and_then(|tracing| tracing.get("Mode")).and_then(Value::as_str)
    {
        constraints::one_of(mode, "tracingConfig.mode", &["Active", "PassThrough"])?;
        version.tracing = mode.to_owned();
    }
    if let Some(environment) = given.get("Environment") {
        let variables = map(environment.get("Variables"));
        variables.keys().try_for_each(|name| constraints::variable(name))?;
        let reserved: Vec<_> =
            variables.keys().map(String::as_str).filter(|name| RESERVED.contains(name)).collect();
        if !reserved.is_empty() {
            return Err(ApiError::parameter(&format!(
                "Lambda was unable to configure your environment variables because the environment variables you have provided contains reserved keys that are currently not supported for modification. Reserved keys used in this request: {}",
                reserved.join(", ")
            )));
        }
        let written = environment.get("Variables").map(Value::to_string).unwrap_or_default();
        if written.len() > 4096 {
            return Err(ApiError::parameter(&format!(
                "Lambda was unable to configure your environment variables because the environment variables you have provided exceeded the 4KB limit. String measured: {written}"
            )));
        }
        version.environment = variables;
        version.environment_given = environment.get("Variables").is_some();
    }
    if let Some(logging) = given.get("LoggingConfig").and_then(Value::as_object) {
        let known = match text(logging, "LogFormat") {
            None | Some("Text") => &["LogFormat", "LogGroup"][..],
            Some(_) => &["LogGroup"],
        };
        only(logging, known, "LoggingConfig")?;
        if let Some(group) = text(logging, "LogGroup") {
            constraints::log_group(group)?;
            let is_own = group == format!("/aws/lambda/{name}");
            version.log_group = (!is_own).then(|| group.to_owned());
        }
    }
    version.touch();
    Ok(())
}

/// Refuses members that would have no effect.
pub(super) fn only(given: &Map<String, Value>, known: &[&str], operation: &str) -> Result<(), ApiError> {
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(|field| field.as_array().is_some_and(Vec::is_empty)),
        _ => false,
    };
    // What asks for nothing beyond what is always so may stay.
    let default = |name: &str, value: &Value| match name {
        "EphemeralStorage" => value.get("Size") == Some(&json!(512)),
        "SnapStart" => value.get("ApplyOn") == Some(&json!("None")),
        _ => false,
    };
    match given
        .iter()
        .find(|(name, value)| !known.contains(&name.as_str()) && !empty(value) && !default(name, value))
    {
        Some((name, _)) => Err(ApiError::not_built(&format!("the member {name} of {operation}"))),
        None => Ok(()),
    }
}

pub(super) fn text<'a>(given: &'a Map<String, Value>, member: &str) -> Option<&'a str> {
    given.get(member).and_then(Value::as_str)
}

pub(super) fn required<'a>(
    given: &'a Map<String, Value>,
    member: &str,
    shown: &str,
) -> Result<&'a str, ApiError> {
    text(given, member).ok_or_else(|| {
        let message = format!(
            "1 validation error detected: Value null at '{shown}' failed to satisfy constraint: Member must not be null"
        );
        ApiError::new(400, "ValidationException", &message)
    })
}

pub(super) fn number(
    given: &Map<String, Value>,
    member: &str,
    shown: &str,
    least: u64,
    most: u64,
) -> Result<Option<u64>, ApiError> {
    let Some(value) = given.get(member).filter(|value| !value.is_null()) else { return Ok(None) };
    let found = value.as_i64().unwrap_or(i64::MIN);
    match u64::try_from(found) {
        Ok(count) if count > most => Err(ApiError::validation(
            &value.to_string(),
            shown,
            &format!("Member must have value less than or equal to {most}"),
        )),
        Ok(count) if count >= least => Ok(Some(count)),
        _ => Err(ApiError::validation(
            &value.to_string(),
            shown,
            &format!("Member must have value greater than or equal to {least}"),
        )),
    }
}

pub(super) fn map(value: Option<&Value>) -> BTreeMap<String, String> {
    let fields = value.and_then(Value::as_object).into_iter().flatten();
    fields.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

pub(super) fn strings(value: Option<&Value>) -> Option<Vec<String>> {
    let items = value?.as_array()?;
    Some(items.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}
