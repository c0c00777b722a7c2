//! Whole APIs from OpenAPI documents: `ImportRestApi` and `PutRestApi`.
//!
//! An import reads the document, puts its definition over the API as it is ([`apply`]) and writes the result in one
//! transaction, so a document that is refused leaves no trace. What is left out of an import is listed in the answer's
//! `warnings`, each with its path in the document.

pub(crate) mod apply;
mod deploy;
mod documentation;
mod integration;
mod parts;
mod tree;

use std::cell::RefCell;
use std::collections::BTreeMap;

use stagedoor_openapi::{Document, Finding, Kind, Severity};
use stagedoor_shapes::Blob;
use stagedoor_shapes::apigateway::{ImportRestApiRequest, PutMode, PutRestApiRequest, RestApi};
use stagedoor_shapes::snapshot::RestApiSnapshot;

use crate::control_plane::{ControlPlane, Settings, required};
use crate::issuers::{self, KeySets};
use crate::jwt_configurations::{ISSUERS_MAX, is_issuer};
use crate::rest_apis::{answer, answer_with_tags, check_security};
use crate::tree::replace_api;
use crate::tx::Tx;
use crate::{ApiError, ids, integrations, quotas};

use apply::{Applied, Surroundings, apply, blank, with_parameters};
pub use deploy::{Deployed, StageDefinition};

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

/// Why a document was not imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The document cannot be read. Clients of AWS are told no more than that; where it cannot be is in the findings.
    #[error("{}", unreadable(.0))]
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
    /// The API was made and cannot be served.
    #[error("{}", .problems.join("; "))]
    NotServable {
        /// What keeps it from being served.
        problems: Vec<String>,
        /// What was left out of it, which may be why.
        warnings: Vec<Finding>,
    },
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
            Self::NotServable { warnings, .. } => warnings,
            Self::Api(_) => &[],
        }
    }
}

impl ControlPlane {
    /// `ImportRestApi`.
    ///
    /// # Errors
    /// [`ApiError::BadRequest`] for a document that cannot be imported, with all that is wrong with it.
    pub fn import_rest_api(&self, input: ImportRestApiRequest) -> Result<RestApi, ApiError> {
        let options = options(input.parameters.as_ref(), true, input.fail_on_warnings)?;
        let document = document(input.body.as_ref())?;
        let key_sets = self.key_sets_of(&document);
        let imported = self.attempt(|tx| {
            let api = self.new_api(tx, RestApi::default())?;
            let id = required(&api.id).to_owned();
            self.import(tx, &id, blank(api), &document, &key_sets, &options)
        })?;
        Ok(RestApi { warnings: imported.texts(), ..answer(imported.api.rest_api) })
    }

    /// `PutRestApi`. Without a mode it merges.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such API, [`ApiError::BadRequest`] for a document that cannot be imported.
    pub fn put_rest_api(&self, input: PutRestApiRequest) -> Result<RestApi, ApiError> {
        let overwrite = input.mode == Some(PutMode::Overwrite);
        let options = options(input.parameters.as_ref(), overwrite, input.fail_on_warnings)?;
        let id = required(&input.rest_api_id);
        // An API that is not there is said first, whatever the document is.
        self.read(|tx| self.load_api(tx, id))?;
        let document = document(input.body.as_ref())?;
        let key_sets = self.key_sets_of(&document);
        let imported =
            self.attempt(|tx| self.import(tx, id, self.load_api(tx, id)?, &document, &key_sets, &options))?;
        Ok(RestApi { warnings: imported.texts(), ..answer_with_tags(imported.api.rest_api) })
    }

    /// Asks the issuers of a document's JWT authorizers where their key sets are.
    fn key_sets_of(&self, document: &Document) -> KeySets {
        let schemes = document.definition.security_schemes.values();
        let configurations = schemes.filter_map(|one| one.authorizer.as_ref()?.jwt_configuration.as_ref());
        let issuers = configurations.filter_map(|one| one.get("issuers")?.as_array());
        // More are refused once they are looked at.
        let issuers = issuers.take(self.settings.quotas.authorizers_per_api);
        let names = issuers.flat_map(|issuers| issuers.iter().take(ISSUERS_MAX));
        let names = names.filter_map(|issuer| issuer.get("issuer")?.as_str());
        let Settings { account_id, region, .. } = &self.settings;
        let names: Vec<String> = names.map(|name| with_parameters(name, account_id, region)).collect();
        issuers::ask(&self.settings, names.iter().map(String::as_str).filter(|name| is_issuer(name)))
    }

    /// Runs an import in a transaction. What it has written counts only if it succeeds.
    fn attempt<T>(&self, import: impl Fn(&Tx) -> Result<T, ImportError>) -> Result<T, ImportError> {
        let refused = RefCell::new(None);
        let done = self.transact(|tx| {
            import(tx).map_err(|error| match error {
                ImportError::Api(error) => error,
                other => {
                    let message = other.to_string();
                    refused.replace(Some(other));
                    ApiError::BadRequest(message)
                }
            })
        });
        done.map_err(|error| refused.take().unwrap_or(ImportError::Api(error)))
    }

    /// Runs a mapping, which knows nothing of this control plane, with what it needs to know.
    fn in_surroundings<T>(
        &self,
        id: &str,
        key_sets: &KeySets,
        map: impl FnOnce(&Surroundings<'_>) -> Result<T, (Vec<Finding>, Vec<Finding>)>,
    ) -> Result<T, ImportError> {
        // Making ids can fail, which a mapping has no word for.
        let failed = RefCell::new(None);
        let new_id = || {
            ids::short().unwrap_or_else(|error| {
                failed.replace(Some(error));
                String::new()
            })
        };
        let mapped = map(&Surroundings {
            account: &self.settings.account_id,
            region: &self.settings.region,
            execute_api_arn: &self.execute_api_arn(id),
            new_id: &new_id,
            quotas: &self.settings.quotas,
            check: self.settings.deployment_check.as_ref(),
            key_sets,
        });
        match failed.take() {
            Some(error) => Err(error.into()),
            None => mapped.map_err(|(errors, warnings)| ImportError::Refused { errors, warnings }),
        }
    }

    /// Puts a document over an API and writes what comes out, if something does.
    fn import(
        &self,
        tx: &Tx,
        id: &str,
        before: RestApiSnapshot,
        document: &Document,
        key_sets: &KeySets,
        options: &Options,
    ) -> Result<Applied, ImportError> {
        let map = |surroundings: &Surroundings<'_>| apply(before, document, options, surroundings);
        let applied = self.in_surroundings(id, key_sets, map)?;
        if options.fail_on_warnings && applied.warnings.iter().any(is_warned_of) {
            let warnings = applied.warnings.into_iter().filter(is_warned_of).collect();
            return Err(ImportError::Warned(warnings));
        }
        let quotas = &self.settings.quotas;
        quotas.check_resources(applied.api.resources.len())?;
        quotas.check_apis(tx, &applied.api.rest_api)?;
        check_security(&applied.api.rest_api)?;
        quotas::check(applied.api.authorizers.len(), quotas.authorizers_per_api, "Authorizers", "API")?;
        let resources = applied.api.resources.iter();
        for method in resources.flat_map(|resource| resource.resource_methods.iter().flatten()) {
            if let Some(integration) = &method.1.method_integration {
                integrations::check_quota(integration, quotas, || Ok(applied.api.rest_api.clone()))?;
            }
        }
        replace_api(tx, id, &applied.api)?;
        if let Some(parts) = &applied.documentation {
            self.put_documentation(tx, id, parts, options.overwrite)?;
        }
        Ok(applied)
    }
}

impl Applied {
    /// Its warnings as the operations answer them.
    fn texts(&self) -> Option<Vec<String>> {
        (!self.warnings.is_empty()).then(|| self.warnings.iter().map(warning).collect())
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

/// What AWS says of a document that cannot be read.
fn unreadable(findings: &[Finding]) -> String {
    let mut errors = findings.iter().filter(|finding| finding.severity() == Severity::Error);
    let malformed = errors.clone().find(|finding| finding.kind == Kind::MalformedIntegration);
    let path = malformed.and_then(|finding| finding.path.parts().get(1));
    match path.filter(|_| errors.all(|finding| finding.kind == Kind::MalformedIntegration)) {
        Some(path) => {
            format!("Unable to parse API definition because of a malformed integration at path {path}.")
        }
        None => "Invalid OpenAPI input.".to_owned(),
    }
}

/// Whether AWS would warn of it as well. Most names that nothing knows it drops in silence: they are named here, and
/// refuse no import.
fn is_warned_of(finding: &Finding) -> bool {
    finding.aws.is_some() || finding.kind != Kind::UnknownName
}

/// Findings as AWS lists them, one a line. Only what AWS has no message for says where it is.
fn lines(findings: &[Finding], positions: bool) -> String {
    let line = |finding: &Finding| if positions { warning(finding) } else { finding.message.clone() };
    findings.iter().map(|finding| format!("\n\t{}", line(finding))).collect()
}

fn also(warnings: &[Finding]) -> String {
    let warnings: Vec<Finding> = warnings.iter().filter(|finding| is_warned_of(finding)).cloned().collect();
    if warnings.is_empty() {
        return String::new();
    }
    format!("\nAdditionally, these warnings were found:{}", lines(&warnings, true))
}

/// A finding as a member of `warnings`. Messages of AWS's own name the place in AWS's way already.
fn warning(finding: &Finding) -> String {
    finding.aws.clone().unwrap_or_else(|| finding.to_string())
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
fn document(body: Option<&Blob>) -> Result<Document, ImportError> {
    let bytes = body.map(|body| body.0.as_slice()).unwrap_or_default();
    let text =
        std::str::from_utf8(bytes).map_err(|_| ApiError::BadRequest("Invalid OpenAPI input.".to_owned()))?;
    Document::read(text).map_err(ImportError::Unreadable)
}

#[cfg(test)]
mod tests;
