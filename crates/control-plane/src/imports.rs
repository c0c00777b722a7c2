//! Whole APIs from OpenAPI documents: `ImportRestApi` and `PutRestApi`.
//!
//! An import reads the document, puts its definition over the API as it is ([`apply`]) and writes the result in one
//! transaction, so a document that is refused leaves no trace. What is left out of an import is listed in the answer's
//! `warnings`, each with its path in the document.

mod apply;
mod integration;
mod tree;

use std::collections::BTreeMap;

use stagedoor_openapi::{Document, Finding};
use stagedoor_shapes::apigateway::RestApi;

use crate::ApiError;

pub(crate) use apply::{Applied, Surroundings, apply, blank};

/// How a document is put over an API.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Whether what the document does not define is removed (`mode=overwrite`) or left alone (`mode=merge`).
    pub overwrite: bool,
    /// Whether a warning refuses the import.
    pub fail_on_warnings: bool,
    /// What becomes of the path that stands before all others.
    pub base_path: BasePath,
    /// Whether documentation in the document is left out (`ignore=documentation`).
    pub ignore_documentation: bool,
    /// The kind of endpoint (`endpointConfigurationTypes`), which the document's own gives way to.
    pub endpoint_types: Option<Vec<String>>,
}

/// What becomes of a document's `basePath`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BasePath {
    /// It is not used.
    #[default]
    Ignore,
    /// Its parts are resources above all others.
    Prepend,
    /// Its first part is left out, as that is where the API is mounted; the others are resources.
    Split,
}

/// What an import made.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The API, as the operation answers it.
    pub rest_api: RestApi,
    /// What the document has and the import left out, with positions.
    pub warnings: Vec<Finding>,
}

/// Why a document was not imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The document cannot be read.
    #[error("Invalid OpenAPI input.{}", lines(.0, true))]
    Unreadable(Vec<Finding>),
    /// The document can be read, and something in it cannot be made.
    #[error("Errors found during import:{}{}", lines(.errors, false), also(.warnings))]
    Refused {
        /// What cannot be made.
        errors: Vec<Finding>,
        /// What else there was to say.
        warnings: Vec<Finding>,
    },
    /// Something would have been left out, and the import was not to go on then.
    #[error("Warnings found during import:{}", lines(.0, true))]
    Warned(Vec<Finding>),
    /// The import could not be stored.
    #[error(transparent)]
    Api(#[from] ApiError),
}

impl ImportError {
    /// Where in the document it is, as far as that is known.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        match self {
            Self::Unreadable(findings) | Self::Warned(findings) | Self::Refused { errors: findings, .. } => {
                findings
            }
            Self::Api(_) => &[],
        }
    }
}

impl From<ImportError> for ApiError {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Api(error) => error,
            other => Self::BadRequest(other.to_string()),
        }
    }
}

/// Findings as AWS lists them, one a line. Only what AWS has no message for says where it is.
fn lines(findings: &[Finding], positions: bool) -> String {
    let line = |finding: &Finding| if positions { warning(finding) } else { finding.message.clone() };
    findings.iter().map(|finding| format!("\n\t{}", line(finding))).collect()
}

fn also(warnings: &[Finding]) -> String {
    if warnings.is_empty() {
        return String::new();
    }
    format!("\nAdditionally, these warnings were found:{}", lines(warnings, true))
}

/// A finding as a member of `warnings`. Messages of AWS's own name the place in AWS's way already.
fn warning(finding: &Finding) -> String {
    if finding.message.starts_with("Invalid format for ") {
        finding.message.clone()
    } else {
        finding.to_string()
    }
}

/// The options in an operation's `parameters`.
fn options(
    parameters: Option<&BTreeMap<String, String>>,
    overwrite: bool,
    fail_on_warnings: Option<bool>,
) -> Result<Options, ApiError> {
    let mut options =
        Options { overwrite, fail_on_warnings: fail_on_warnings.unwrap_or_default(), ..Options::default() };
    for (name, value) in parameters.into_iter().flatten() {
        match (name.as_str(), value.as_str()) {
            ("basepath" | "basePath", "ignore") => options.base_path = BasePath::Ignore,
            ("basepath" | "basePath", "prepend") => options.base_path = BasePath::Prepend,
            ("basepath" | "basePath", "split") => options.base_path = BasePath::Split,
            ("basepath" | "basePath", other) => {
                let message =
                    format!("Invalid basepath '{other}' specified. Valid options are ignore,prepend,split");
                return Err(ApiError::BadRequest(message));
            }
            ("ignore", what) => {
                if what != "documentation" {
                    let message = format!("Only documentation can be ignored during an import, not '{what}'");
                    return Err(ApiError::BadRequest(message));
                }
                options.ignore_documentation = true;
            }
            ("endpointConfigurationTypes", types) => {
                options.endpoint_types = Some(types.split(',').map(|one| one.trim().to_owned()).collect());
            }
            // Other parameters are none of an import's; AWS passes over them.
            _ => {}
        }
    }
    Ok(options)
}

/// Reads the document that an operation carries.
fn document(body: Option<&stagedoor_shapes::Blob>) -> Result<Document, ImportError> {
    let bytes = body.map(|body| body.0.as_slice()).unwrap_or_default();
    let text = std::str::from_utf8(bytes)
        .map_err(|_| ApiError::BadRequest("Invalid OpenAPI input. The document is not UTF-8.".to_owned()))?;
    Document::read(text).map_err(ImportError::Unreadable)
}

#[cfg(test)]
mod tests;
