//! Whole APIs as OpenAPI documents: `GetExport`.
//!
//! What is exported is what a stage serves: the snapshot of its deployment, not the API as it is being edited. The
//! order of members is the one that AWS's own exports have, so that a file under version control changes only where
//! the API did.

mod document;
mod documentation;
mod extensions;
mod methods;
mod order;
pub(crate) mod print;
mod schema;
pub(crate) mod yaml;

use std::collections::BTreeMap;

use stagedoor_shapes::Blob;
use stagedoor_shapes::apigateway::{ExportResponse, GetExportRequest, Stage};
use stagedoor_shapes::snapshot::RestApiSnapshot;
use time::OffsetDateTime;
use time::macros::format_description;

use crate::ApiError;
use crate::control_plane::{ControlPlane, bad_request, not_found, required};
use crate::documentation::published;
use crate::keys::{self, Kind};

use document::Export;
use documentation::Documentation;

/// Which specification a document follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    Swagger2,
    OpenApi3,
}

/// Which of API Gateway's extensions a document has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Extensions {
    integrations: bool,
    authorizers: bool,
    documentation: bool,
    /// What belongs to none of the others: validators, gateway responses, media types, the policy.
    settings: bool,
}

impl ControlPlane {
    /// `GetExport`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown API or stage, [`ApiError::BadRequest`] for a form that AWS does not write.
    pub fn get_export(&self, input: GetExportRequest) -> Result<ExportResponse, ApiError> {
        let (api, name) = (required(&input.rest_api_id), required(&input.stage_name));
        let (stage, snapshot) = self.stage_snapshot(api, name)?;
        let kind = required(&input.export_type);
        let dialect = match kind {
            "swagger" => Dialect::Swagger2,
            "oas30" => Dialect::OpenApi3,
            _ => return bad_request(format!("No API exporter for type '{kind}'")),
        };
        let as_yaml = is_yaml(input.accepts.as_deref().unwrap_or_default())?;
        let extensions = extensions(input.parameters.as_ref())?;
        let documentation = match stage.documentation_version.as_deref().filter(|version| !version.is_empty())
        {
            Some(version) => self.read(|tx| published(tx, api, version))?,
            None => None,
        };
        let version = version(&snapshot);
        let export = Export {
            dialect,
            extensions,
            snapshot: &snapshot,
            stage: name,
            host: format!("{api}.execute-api.{}.amazonaws.com", self.settings.region),
            version: &version,
            documentation: documentation.map(|(version, parts)| Documentation::new(version, parts)),
        };
        let document = export.document()?;
        let text = if as_yaml { yaml::print(&document) } else { print::print(&document) };
        let ending = if as_yaml { "yaml" } else { "json" };
        Ok(ExportResponse {
            content_type: Some("application/octet-stream".to_owned()),
            content_disposition: Some(format!("attachment; filename=\"{kind}_{version}.{ending}\"")),
            body: Some(Blob(text.into_bytes())),
        })
    }

    /// A stage, and what its deployment froze.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown API or stage, or a stage that nothing was deployed to.
    pub(crate) fn stage_snapshot(&self, api: &str, name: &str) -> Result<(Stage, RestApiSnapshot), ApiError> {
        self.read(|tx| {
            let Some(stage) = tx.get::<Stage>(&keys::one(api, Kind::Stage, name))? else {
                return not_found("Invalid stage identifier specified");
            };
            let deployment = required(&stage.deployment_id);
            match tx.get::<RestApiSnapshot>(&keys::one(api, Kind::Snapshot, deployment))? {
                Some(snapshot) => Ok((stage, snapshot)),
                None => not_found("Invalid Deployment identifier specified"),
            }
        })
    }
}

/// The API's version, or the time at which it was made, as AWS writes it where there is no version.
fn version(snapshot: &RestApiSnapshot) -> String {
    let api = &snapshot.rest_api;
    match api.version.as_deref().filter(|version| !version.is_empty()) {
        Some(version) => version.to_owned(),
        None => iso_time(api.created_date.unwrap_or_default()),
    }
}

/// A time as `2016-11-22T22:41:40Z`.
fn iso_time(seconds: f64) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    // Times of the store are whole and small; another one would be a damaged record, and reads as the year 1970.
    let time = OffsetDateTime::from_unix_timestamp(seconds as i64).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    time.format(&format).unwrap_or_default()
}

/// Whether a client asks for YAML. Several types may be named; the first that is known counts.
fn is_yaml(accepts: &str) -> Result<bool, ApiError> {
    let types = accepts.split(',').map(|one| one.split(';').next().unwrap_or_default().trim());
    for one in types {
        match one.to_ascii_lowercase().as_str() {
            "" | "*/*" | "application/*" | "application/json" => return Ok(false),
            "application/yaml" | "application/x-yaml" | "text/yaml" => return Ok(true),
            _ => {}
        }
    }
    bad_request(format!(
        "Invalid accept type specified: {accepts}. Must be one of: [application/json, application/yaml]"
    ))
}

/// The extensions that the operation's parameters ask for. Documentation is there unless something else is asked for.
fn extensions(parameters: Option<&BTreeMap<String, String>>) -> Result<Extensions, ApiError> {
    let mut found = Extensions::default();
    let mut asked = false;
    for (name, value) in parameters.into_iter().flatten() {
        let values: Vec<&str> = match (name.as_str(), value.as_str()) {
            ("extensions", value) => value.split(',').map(str::trim).filter(|one| !one.is_empty()).collect(),
            // AWS's own reference names this one as a parameter of its own.
            ("postman", "false") => Vec::new(),
            ("postman", _) => vec!["postman"],
            // Other parameters are none of an export's; AWS passes over them.
            _ => continue,
        };
        for one in values {
            asked = true;
            match one {
                "integrations" => found.integrations = true,
                "authorizers" => found.authorizers = true,
                "documentation" => found.documentation = true,
                "apigateway" => {
                    found = Extensions {
                        integrations: true,
                        authorizers: true,
                        documentation: true,
                        settings: true,
                    };
                }
                // Postman reads the document as it is.
                "postman" => {}
                other => {
                    return bad_request(format!(
                        "Invalid extension specified: {other}. Must be one of: [apigateway, authorizers, \
                         documentation, integrations, postman]"
                    ));
                }
            }
        }
    }
    found.documentation |= !asked;
    Ok(found)
}

#[cfg(test)]
mod round_trip;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::any_value;
