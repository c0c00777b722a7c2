//! Clients of an API: `GetSdk`, `GetSdkType` and `GetSdkTypes`.
//!
//! JavaScript and Java are generated, from what a stage serves. Neither needs a library: the first uses `fetch`, the
//! second `java.net.http`. The other types of AWS's are listed and refused.

mod java;
mod javascript;
mod operations;
mod types;

use std::io::{Cursor, Write as _};

use stagedoor_shapes::Blob;
use stagedoor_shapes::apigateway::{
    GetSdkRequest, GetSdkTypeRequest, GetSdkTypesRequest, SdkResponse, SdkType, SdkTypes,
};
use time::OffsetDateTime;
use time::macros::format_description;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::ApiError;
use crate::control_plane::{ControlPlane, bad_request, not_found, required};
use crate::page::page;

/// What a client is generated from.
struct Api<'a> {
    title: &'a str,
    region: &'a str,
    /// Where the stage is served, without a slash at its end.
    url: String,
    operations: Vec<operations::Operation>,
}

/// A file of a client: its path in the archive and its text.
type File = (String, String);

impl ControlPlane {
    /// `GetSdkTypes`.
    ///
    /// # Errors
    /// [`ApiError::BadRequest`] for a page that is none.
    pub fn get_sdk_types(&self, input: GetSdkTypesRequest) -> Result<SdkTypes, ApiError> {
        let types = types::all().into_iter().enumerate();
        let types = types.map(|(index, one)| (format!("{index:04}"), one));
        let (items, position) = page(types, input.position.as_deref(), input.limit)?;
        Ok(SdkTypes { items, position })
    }

    /// `GetSdkType`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such type.
    pub fn get_sdk_type(&self, input: GetSdkTypeRequest) -> Result<SdkType, ApiError> {
        find(required(&input.id))
    }

    /// `GetSdk`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown API, stage or type, [`ApiError::BadRequest`] for parameters that the type
    /// needs and that are not there, [`ApiError::NotImplemented`] for a type that is not generated.
    pub fn get_sdk(&self, input: GetSdkRequest) -> Result<SdkResponse, ApiError> {
        let (api, stage) = (required(&input.rest_api_id), required(&input.stage_name));
        let kind = required(&input.sdk_type);
        let (_, snapshot) = self.stage_snapshot(api, stage)?;
        let parameters = input.parameters.unwrap_or_default();
        let wanted = find(kind)?;
        for property in wanted.configuration_properties.iter().flatten() {
            let name = required(&property.name);
            let given = parameters.get(name).or_else(|| parameters.get(types::other_name(name)));
            if property.required == Some(true) && given.is_none_or(|value| value.trim().is_empty()) {
                return bad_request(format!("Missing required parameter for SDK type {kind}: {name}"));
            }
        }
        let described = Api {
            title: required(&snapshot.rest_api.name),
            region: &self.settings.region,
            url: self.invoke_url(api, stage),
            operations: operations::of(&snapshot),
        };
        let files = match kind {
            "javascript" => javascript::files(&described),
            "java" => java::files(&described, &parameters)?,
            _ => {
                return Err(ApiError::NotImplemented(format!(
                    "An SDK of type {kind} cannot be generated here. Those that can are java and javascript; GetExport gives \
                     a document from which other generators make clients"
                )));
            }
        };
        let format = format_description!("[year]-[month]-[day]_[hour]-[minute]Z");
        let now =
            OffsetDateTime::from_unix_timestamp(self.now() as i64).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let now = now.format(&format).unwrap_or_default();
        Ok(SdkResponse {
            content_type: Some("application/octet-stream".to_owned()),
            content_disposition: Some(format!("attachment; filename=\"{kind}_{now}.zip\"")),
            body: Some(Blob(archive(&files)?)),
        })
    }

    /// Where a stage is served.
    fn invoke_url(&self, api: &str, stage: &str) -> String {
        match &self.settings.traffic_url {
            Some(url) => format!("{url}/_aws/execute-api/{api}/{stage}"),
            None => format!("https://{api}.execute-api.{}.amazonaws.com/{stage}", self.settings.region),
        }
    }
}

fn find(id: &str) -> Result<SdkType, ApiError> {
    match types::all().into_iter().find(|one| one.id.as_deref() == Some(id)) {
        Some(found) => Ok(found),
        None => not_found("Invalid SDK type identifier specified"),
    }
}

fn archive(files: &[File]) -> Result<Vec<u8>, ApiError> {
    let failed =
        |error: &dyn std::fmt::Display| ApiError::Internal(format!("the archive cannot be written: {error}"));
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (path, text) in files {
        writer.start_file(path, SimpleFileOptions::default()).map_err(|error| failed(&error))?;
        writer.write_all(text.as_bytes()).map_err(|error| failed(&error))?;
    }
    Ok(writer.finish().map_err(|error| failed(&error))?.into_inner())
}
