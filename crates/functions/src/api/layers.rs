//! Layers: directories that functions share. They are put at `/opt`, the last over the others, or, where that cannot be
//! done, on search paths (`walls`, `environment`).
//!
//! A version that a function uses stays on disk when it is deleted, as it stays usable on AWS.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::code::Code;
use super::model::{self, Layer};
use super::operations::{only, strings, text};
use super::respond::{Answer, ApiError};
use super::routes::{Operation, Route};
use super::{LambdaApi, code, constraints, paging};

/// The most layers of one function.
const LAYERS_MAX: usize = 5;

/// All versions of a layer.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Record {
    last_version: u64,
    versions: BTreeMap<u64, Version>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Version {
    description: String,
    license: Option<String>,
    runtimes: Option<Vec<String>>,
    architectures: Option<Vec<String>>,
    created: String,
    code: Code,
}

/// What a list asks for.
struct Wanted<'a> {
    runtime: Option<&'a String>,
    architecture: Option<&'a String>,
}

impl<'a> Wanted<'a> {
    fn of(route: &'a Route) -> Result<Self, ApiError> {
        let wanted = Self {
            runtime: route.query.get("CompatibleRuntime"),
            architecture: route.query.get("CompatibleArchitecture"),
        };
        if let Some(runtime) = wanted.runtime {
            constraints::one_of(runtime, "compatibleRuntime", &constraints::RUNTIMES)?;
        }
        if let Some(architecture) = wanted.architecture {
            constraints::one_of(architecture, "compatibleArchitecture", &constraints::ARCHITECTURES)?;
        }
        Ok(wanted)
    }

    fn fits(&self, version: &Version) -> bool {
        let has = |listed: &Option<Vec<String>>, wanted: Option<&String>| {
            wanted.is_none_or(|wanted| listed.as_ref().is_some_and(|listed| listed.contains(wanted)))
        };
        has(&version.runtimes, self.runtime) && has(&version.architectures, self.architecture)
    }
}

impl LambdaApi {
    pub(super) fn operate_layers(&self, route: &Route, body: &[u8]) -> Result<Answer, ApiError> {
        // One lock for all that is stored.
        let records = self.records();
        let used = |dir: &Path| {
            records.values().any(|record| {
                let mut versions = record.versions.values().chain([&record.latest]);
                versions.any(|version| version.layers.iter().any(|layer| layer.dir == dir))
            })
        };
        match route.operation {
            Operation::PublishLayerVersion => self.publish_layer(route, &model::members(body)?),
            Operation::ListLayers => self.list_layers(route),
            Operation::ListLayerVersions => {
                let name = self.layer_name(route.name())?;
                let record = self.load_layer(&name)?;
                let wanted = Wanted::of(route)?;
                let fitting = record.versions.iter().rev().filter(|(_, version)| wanted.fits(version));
                let shown =
                    fitting.map(|(n, version)| (paging::descending(*n), self.show_layer(&name, *n, version)));
                paging::page(route, "LayerVersions", (50, 50), shown)
            }
            Operation::GetLayerVersion => {
                let (name, number) = (self.layer_name(route.name())?, route.second());
                self.get_layer(route, &name, number)
            }
            Operation::GetLayerVersionByArn => {
                let arn = route.query.get("Arn").map_or("", String::as_str);
                let (name, number) = self.layer_reference(arn).map_err(|_| {
                    ApiError::validation(
                        arn,
                        "arn",
                        "Member must satisfy regular expression pattern: arn:(aws[a-zA-Z-]*)?:lambda:[a-z]{2}((-gov)|(-iso(b?)))?-[a-z]+-\\d{1}:\\d{12}:layer:[a-zA-Z0-9-_]+:[0-9]+",
                    )
                })?;
                self.get_layer(route, &name, &number)
            }
            Operation::DeleteLayerVersion => {
                let name = self.layer_name(route.name())?;
                let mut record = self.load_layer(&name)?;
                let number = layer_number(route.second())?;
                if let Some(version) = record.versions.remove(&number) {
                    self.save_layer(&name, &record)?;
                    if !used(&version.code.dir)
                        && !version.code.hot_reload
                        && let Err(error) = version.code.remove()
                    {
                        tracing::warn!(target: "function", %error, "{} is left behind", version.code.dir.display());
                    }
                }
                Ok(Answer::empty())
            }
            other => Err(ApiError::not_built(&format!("{other:?}"))),
        }
    }

    fn publish_layer(&self, route: &Route, given: &Map<String, Value>) -> Result<Answer, ApiError> {
        let known =
            ["Content", "Description", "LicenseInfo", "CompatibleRuntimes", "CompatibleArchitectures"];
        only(given, &known, "PublishLayerVersion")?;
        let name = self.layer_name(route.name())?;
        let content = given
            .get("Content")
            .ok_or_else(|| ApiError::validation("null", "content", "Member must not be null"))?;
        let runtimes = strings(given.get("CompatibleRuntimes")).unwrap_or_default();
        let architectures = strings(given.get("CompatibleArchitectures")).unwrap_or_default();
        constraints::compatible(&runtimes, &architectures)?;
        let mut record = self.load_layer(&name)?;
        let number = record.last_version + 1;
        let version = Version {
            description: text(given, "Description").unwrap_or_default().to_owned(),
            license: text(given, "LicenseInfo").map(str::to_owned),
            runtimes: Some(runtimes),
            architectures: Some(architectures),
            created: model::now(),
            // A folder of its own, so that deleting one version leaves another with the same content.
            code: code::take(content, &self.layers_dir().join(&name).join(number.to_string()))?,
        };
        let shown = self.show_layer_with_content(route, &name, number, &version);
        record.last_version = number;
        record.versions.insert(number, version);
        self.save_layer(&name, &record)?;
        Ok(Answer::json(201, &shown))
    }

    fn list_layers(&self, route: &Route) -> Result<Answer, ApiError> {
        let wanted = Wanted::of(route)?;
        let mut layers = Vec::new();
        let mut names = match std::fs::read_dir(self.layers_dir()) {
            Ok(entries) => entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        names.sort();
        for name in names.iter().filter_map(|name| name.to_str()) {
            let record = self.load_layer(name)?;
            let mut newest_first = record.versions.iter().rev();
            if let Some((number, version)) = newest_first.find(|(_, version)| wanted.fits(version)) {
                let shown = json!({
                    "LayerName": name,
                    "LayerArn": self.layer_arn(name),
                    "LatestMatchingVersion": self.show_layer(name, *number, version),
                });
                layers.push((name.to_owned(), shown));
            }
        }
        paging::page(route, "Layers", (50, 50), layers)
    }

    fn get_layer(&self, route: &Route, name: &str, number: &str) -> Result<Answer, ApiError> {
        let record = self.load_layer(name)?;
        let number = layer_number(number)?;
        let version = record
            .versions
            .get(&number)
            .ok_or_else(|| ApiError::not_found("The resource you requested does not exist."))?;
        Ok(Answer::json(200, &self.show_layer_with_content(route, name, number, version)))
    }

    /// The layers that a function names, which must exist.
    pub(super) fn layers(&self, arns: &[String]) -> Result<Vec<Layer>, ApiError> {
        if arns.len() > LAYERS_MAX {
            return Err(ApiError::parameter("Cannot reference more than 5 layers."));
        }
        let find = |arn: &String| {
            let (name, number) = self.layer_reference(arn)?;
            let record = self.load_layer(&name)?;
            let number = layer_number(&number)?;
            let version = record
                .versions
                .get(&number)
                .ok_or_else(|| ApiError::parameter(&format!("Layer version {arn} does not exist.")))?;
            Ok(Layer { arn: arn.clone(), size: version.code.size, dir: version.code.dir.clone() })
        };
        arns.iter().map(find).collect()
    }

    fn show_layer(&self, name: &str, number: u64, version: &Version) -> Value {
        let mut shown = json!({
            "LayerVersionArn": format!("{}:{number}", self.layer_arn(name)),
            "Version": number,
            "Description": version.description,
            "CreatedDate": version.created,
        });
        if let Some(fields) = shown.as_object_mut() {
            if let Some(license) = &version.license {
                fields.insert("LicenseInfo".to_owned(), json!(license));
            }
            if let Some(runtimes) = &version.runtimes {
                fields.insert("CompatibleRuntimes".to_owned(), json!(runtimes));
            }
            if let Some(architectures) = &version.architectures {
                fields.insert("CompatibleArchitectures".to_owned(), json!(architectures));
            }
        }
        shown
    }

    fn show_layer_with_content(&self, route: &Route, name: &str, number: u64, version: &Version) -> Value {
        let mut shown = self.show_layer(name, number, version);
        if let Some(fields) = shown.as_object_mut() {
            let content = json!({
                "Location": self.location(route, &version.code),
                "CodeSha256": version.code.sha256,
                "CodeSize": version.code.size,
            });
            fields.insert("Content".to_owned(), content);
            fields.insert("LayerArn".to_owned(), json!(self.layer_arn(name)));
        }
        shown
    }

    fn layers_dir(&self) -> PathBuf {
        self.inner.settings.data.with_file_name("layers")
    }

    fn layer_arn(&self, name: &str) -> String {
        let settings = &self.inner.settings;
        format!("arn:aws:lambda:{}:{}:layer:{name}", settings.region, settings.account)
    }

    /// The name of a layer that is given by name or by ARN.
    fn layer_name(&self, given: &str) -> Result<String, ApiError> {
        let name = given.rsplit_once(":layer:").map_or(given, |(_, name)| name);
        let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || name.len() > 140 || !name.chars().all(good) {
            return Err(ApiError::validation(
                given,
                "layerName",
                "Member must satisfy regular expression pattern: (arn:[a-zA-Z0-9-]+:lambda:[a-zA-Z0-9-]+:\\d{12}:layer:[a-zA-Z0-9-_]+)|[a-zA-Z0-9-_]+",
            ));
        }
        Ok(name.to_owned())
    }

    /// Name and version of a layer version's ARN.
    fn layer_reference(&self, arn: &str) -> Result<(String, String), ApiError> {
        let parts = arn.rsplit_once(":layer:").and_then(|(_, rest)| rest.split_once(':'));
        let (name, number) = parts.ok_or_else(|| {
            ApiError::validation(
                arn,
                "layers",
                "Member must satisfy constraint: [Member must have length less than or equal to 140, Member must have length greater than or equal to 1, Member must satisfy regular expression pattern: arn:[a-zA-Z0-9-]+:lambda:[a-zA-Z0-9-]+:\\d{12}:layer:[a-zA-Z0-9-_]+:[0-9]+]",
            )
        })?;
        Ok((self.layer_name(name)?, number.to_owned()))
    }

    fn load_layer(&self, name: &str) -> Result<Record, ApiError> {
        match std::fs::read(self.layers_dir().join(name).join("layer.json")) {
            Ok(text) => serde_json::from_slice(&text)
                .map_err(|error| ApiError::service(&format!("the layer {name} cannot be read: {error}"))),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Ok(Record::default())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn save_layer(&self, name: &str, record: &Record) -> io::Result<()> {
        let home = self.layers_dir().join(name);
        std::fs::create_dir_all(&home)?;
        let mut file = tempfile::NamedTempFile::new_in(&home)?;
        serde_json::to_writer_pretty(&mut file, record)?;
        file.flush()?;
        file.as_file().sync_all()?;
        file.persist(home.join("layer.json"))?;
        std::fs::File::open(&home)?.sync_all()
    }
}

fn layer_number(text: &str) -> Result<u64, ApiError> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| ApiError::parameter("Layer Version Cannot be less than 1"))
}
