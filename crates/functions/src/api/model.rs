//! What is kept of a function, on disk and in memory, and how AWS shows it.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::code::Code;
use crate::config::{CONCURRENCY_DEFAULT, FunctionConfig, LATEST};

/// One function with all that hangs on it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) name: String,
    pub(super) latest: Version,
    /// Published versions by number.
    pub(super) versions: BTreeMap<u64, Version>,
    /// The number of the last version that was ever published.
    pub(super) last_version: u64,
    pub(super) aliases: BTreeMap<String, Alias>,
    /// Statements by qualifier; the empty one is the function itself.
    pub(super) policies: BTreeMap<String, Vec<Value>>,
    pub(super) concurrency: Option<u32>,
    pub(super) tags: BTreeMap<String, String>,
    /// How asynchronous events are treated, by qualifier as with policies.
    #[serde(default)]
    pub(super) event_invoke: BTreeMap<String, EventInvoke>,
}

/// How asynchronous events are treated, as far as it was said.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct EventInvoke {
    pub(super) retries: Option<u8>,
    pub(super) age_seconds: Option<u64>,
    /// Seconds since 1970.
    pub(super) last_modified: f64,
}

/// The state of a function that a version freezes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Version {
    pub(super) version: String,
    pub(super) runtime: String,
    pub(super) handler: String,
    pub(super) role: String,
    pub(super) description: String,
    pub(super) timeout: u64,
    pub(super) memory: u32,
    pub(super) environment: BTreeMap<String, String>,
    /// Variables were given at some time, be it none.
    #[serde(default)]
    pub(super) environment_given: bool,
    pub(super) architectures: Vec<String>,
    pub(super) tracing: String,
    pub(super) code: Code,
    pub(super) last_modified: String,
    pub(super) revision: String,
    /// In the order in which they were given.
    #[serde(default)]
    pub(super) layers: Vec<Layer>,
    /// Of a published version, the description of what it was made from, where it was given one of its own.
    #[serde(default)]
    pub(super) described: Option<String>,
    /// Where it is not the one that Lambda makes.
    #[serde(default)]
    pub(super) log_group: Option<String>,
}

/// A layer version that a function uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Layer {
    pub(super) arn: String,
    pub(super) size: u64,
    pub(super) dir: PathBuf,
}

/// A name for a version.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Alias {
    pub(super) version: String,
    pub(super) description: String,
    pub(super) revision: String,
    /// A second version, and its share of the invocations.
    #[serde(default)]
    pub(super) routing: Option<(String, f64)>,
}

impl Version {
    /// Marks a change.
    pub(super) fn touch(&mut self) {
        self.last_modified = now();
        self.revision = uuid::Uuid::new_v4().to_string();
    }

    /// Whether nothing that a version freezes has changed since this one was made from another.
    pub(super) fn is_frozen(&self, other: &Self) -> bool {
        let description = self.described.as_ref().unwrap_or(&self.description);
        // Where the files of a directory change, nobody knows what was frozen.
        !other.code.hot_reload
            && self.code.sha256 == other.code.sha256
            && self.code.dir == other.code.dir
            && (&self.runtime, &self.handler, &self.role) == (&other.runtime, &other.handler, &other.role)
            && (description, self.timeout, self.memory) == (&other.description, other.timeout, other.memory)
            && (&self.environment, &self.architectures) == (&other.environment, &other.architectures)
            && (&self.tracing, &self.layers, &self.log_group)
                == (&other.tracing, &other.layers, &other.log_group)
    }

    /// As AWS shows it in lists, which leave out what only one function's own answers tell.
    pub(super) fn listed(&self, name: &str, arn: &str) -> Value {
        let mut shown = self.shown(name, arn);
        if let Some(fields) = shown.as_object_mut() {
            for own in ["State", "LastUpdateStatus", "RuntimeVersionConfig"] {
                fields.remove(own);
            }
        }
        shown
    }

    /// As AWS shows it. `arn` says how it was asked for.
    pub(super) fn shown(&self, name: &str, arn: &str) -> Value {
        let log_group = self.log_group.clone().unwrap_or_else(|| format!("/aws/lambda/{name}"));
        let mut shown = json!({
            "FunctionName": name,
            "FunctionArn": arn,
            "Runtime": self.runtime,
            "Role": self.role,
            "Handler": self.handler,
            "CodeSize": self.code.size,
            "Description": self.description,
            "Timeout": self.timeout,
            "MemorySize": self.memory,
            "LastModified": self.last_modified,
            "CodeSha256": self.code.sha256,
            "Version": self.version,
            "TracingConfig": { "Mode": self.tracing },
            "RevisionId": self.revision,
            "State": "Active",
            "LastUpdateStatus": "Successful",
            "PackageType": "Zip",
            "Architectures": self.architectures,
            "EphemeralStorage": { "Size": 512 },
            "SnapStart": { "ApplyOn": "None", "OptimizationStatus": "Off" },
            "LoggingConfig": { "LogFormat": "Text", "LogGroup": log_group },
            "RuntimeVersionConfig": { "RuntimeVersionArn": runtime_arn(arn, &self.runtime) },
        });
        if let Some(fields) =
            shown.as_object_mut().filter(|_| self.environment_given || !self.environment.is_empty())
        {
            fields.insert("Environment".to_owned(), json!({ "Variables": self.environment }));
        }
        if let Some(fields) = shown.as_object_mut().filter(|_| !self.layers.is_empty()) {
            let layers: Vec<_> =
                self.layers.iter().map(|layer| json!({ "Arn": layer.arn, "CodeSize": layer.size })).collect();
            fields.insert("Layers".to_owned(), Value::Array(layers));
        }
        shown
    }

    /// What runs.
    pub(super) fn config(&self, record: &Record, arn: String) -> Result<FunctionConfig, crate::ConfigError> {
        Ok(FunctionConfig {
            name: record.name.clone(),
            runtime: self.runtime.parse()?,
            handler: self.handler.clone(),
            code: self.code.dir.clone(),
            environment: self.environment.clone(),
            layers: self.layers.iter().map(|layer| layer.dir.clone()).collect(),
            timeout: Duration::from_secs(self.timeout),
            memory_mb: self.memory,
            concurrency: record.concurrency.map_or(CONCURRENCY_DEFAULT, |count| count as usize),
            arn,
            version: self.version.clone(),
            watch: self.code.hot_reload,
            log_group: self.log_group.clone(),
        })
    }
}

impl Record {
    /// The revision of the function, of a version or of an alias, and its resource policy's.
    pub(super) fn revision(&mut self, qualifier: Option<&str>) -> Option<&mut String> {
        match qualifier.unwrap_or(LATEST) {
            LATEST => Some(&mut self.latest.revision),
            name => match self.aliases.get_mut(name) {
                Some(alias) => Some(&mut alias.revision),
                None => self.versions.get_mut(&name.parse().ok()?).map(|version| &mut version.revision),
            },
        }
    }

    /// A version by its number or by an alias.
    pub(super) fn version(&self, qualifier: Option<&str>) -> Option<&Version> {
        let qualifier = qualifier.unwrap_or(LATEST);
        let number = self.aliases.get(qualifier).map_or(qualifier, |alias| alias.version.as_str());
        if number == LATEST { Some(&self.latest) } else { self.versions.get(&number.parse().ok()?) }
    }
}

impl Alias {
    /// Whether some or all of its invocations go to a version.
    pub(super) fn leads_to(&self, version: &str) -> bool {
        self.version == version || self.routing.as_ref().is_some_and(|(other, _)| other == version)
    }

    pub(super) fn shown(&self, name: &str, arn: &str) -> Value {
        let mut shown = json!({
            "AliasArn": format!("{arn}:{name}"),
            "Name": name,
            "FunctionVersion": self.version,
            "Description": self.description,
            "RevisionId": self.revision,
        });
        if let (Some((version, share)), Some(fields)) = (&self.routing, shown.as_object_mut()) {
            let weights = json!({ "AdditionalVersionWeights": { version.as_str(): share } });
            fields.insert("RoutingConfig".to_owned(), weights);
        }
        shown
    }
}

/// What stands for the runtime that a function has: on AWS an image, here what this machine runs under that name.
fn runtime_arn(function: &str, runtime: &str) -> String {
    let region = function.split(':').nth(3).unwrap_or_default();
    let id: String = Sha256::digest(runtime).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("arn:aws:lambda:{region}::runtime:{id}")
}

/// The time in Lambda's form.
pub(super) fn now() -> String {
    let now = time::OffsetDateTime::now_utc();
    format!(
        "{}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}+0000",
        now.year(),
        u8::from(now.month()),
        now.day(),
        now.hour(),
        now.minute(),
        now.second(),
        now.millisecond()
    )
}

/// The members of a body; none is as good as an empty one.
pub(super) fn members(body: &[u8]) -> Result<Map<String, Value>, super::respond::ApiError> {
    if body.is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_slice(body).map_err(|error| {
        let message = format!("Could not parse request body into json: {error}");
        super::respond::ApiError::new(400, "InvalidRequestContentException", &message)
    })
}

/// Where a function lives.
pub(super) fn home(data: &Path, name: &str) -> PathBuf {
    data.join(name)
}

pub(super) fn load(data: &Path) -> io::Result<BTreeMap<String, Record>> {
    std::fs::create_dir_all(data)?;
    let mut records = BTreeMap::new();
    for entry in std::fs::read_dir(data)? {
        let file = entry?.path().join("function.json");
        let text = match std::fs::read(&file) {
            Ok(text) => text,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                continue;
            }
            Err(error) => return Err(error),
        };
        let record: Record = serde_json::from_slice(&text)
            .map_err(|error| io::Error::other(format!("{}: {error}", file.display())))?;
        records.insert(record.name.clone(), record);
    }
    Ok(records)
}

/// Replaces the document in one step that survives a crash.
pub(super) fn save(data: &Path, record: &Record) -> io::Result<()> {
    let home = home(data, &record.name);
    std::fs::create_dir_all(&home)?;
    let mut file = tempfile::NamedTempFile::new_in(&home)?;
    serde_json::to_writer_pretty(&mut file, record)?;
    file.flush()?;
    file.as_file().sync_all()?;
    file.persist(home.join("function.json"))?;
    std::fs::File::open(&home)?.sync_all()
}

/// What an answer says of a function or version that it makes: it can be called already, and its next revision is there.
pub(super) fn pending(fields: &mut Map<String, Value>) {
    fields.remove("LastUpdateStatus");
    told(fields, ["State", "StateReason", "StateReasonCode"], "Pending");
}

/// What an answer says of a change, which has happened already.
pub(super) fn in_progress(fields: &mut Map<String, Value>) {
    let members = ["LastUpdateStatus", "LastUpdateStatusReason", "LastUpdateStatusReasonCode"];
    told(fields, members, "InProgress");
}

/// A function's revision changes with its state, so the one that is told here is none any more: whoever wants to change
/// that very function has to ask for the latest, as at AWS.
fn told(fields: &mut Map<String, Value>, members: [&str; 3], state: &str) {
    for (member, value) in members.into_iter().zip([state, "The function is being created.", "Creating"]) {
        fields.insert(member.to_owned(), value.into());
    }
    fields.insert("RevisionId".to_owned(), uuid::Uuid::new_v4().to_string().into());
}
