//! A definition put over an API: everything but the tree.
//!
//! This is a function from an API, a definition and a mode to an API. It reads and writes no store, so that an import
//! is one transaction, and so that what a definition becomes can be tested without one.

use std::collections::{BTreeMap, BTreeSet};

use stagedoor_openapi::{ApiDefinition, ApiKeySource, DocPath, Document, Finding, Kind};
use stagedoor_shapes::apigateway::{
    ApiKeySourceType, DocumentationPart, EndpointType, IpAddressType, Resource, RestApi,
};
use stagedoor_shapes::snapshot::RestApiSnapshot;

use super::{BasePath, Options};
use crate::control_plane::DeploymentCheck;
use crate::issuers::KeySets;
use crate::policy;
use crate::quotas::Quotas;

/// What the account an import runs in is called, and how new things get their ids.
pub(crate) struct Surroundings<'a> {
    /// Replaces `${AWS::AccountId}`.
    pub(crate) account: &'a str,
    /// Replaces `${AWS::Region}`.
    pub(crate) region: &'a str,
    /// What `execute-api:/` stands for in the API's policy.
    pub(crate) execute_api_arn: &'a str,
    /// A new id.
    pub(crate) new_id: &'a dyn Fn() -> String,
    /// How much there may be of what.
    pub(crate) quotas: &'a Quotas,
    /// Knows which templates and patterns can be used.
    pub(crate) check: &'a dyn DeploymentCheck,
    /// Where issuers that the definition names have their key sets.
    pub(crate) key_sets: &'a KeySets,
}

/// What an import makes of an API.
pub(crate) struct Applied {
    /// The API afterwards.
    pub(crate) api: RestApiSnapshot,
    /// Its documentation afterwards; `None` leaves it as it is.
    pub(crate) documentation: Option<Vec<DocumentationPart>>,
    /// What could not be applied.
    pub(crate) warnings: Vec<Finding>,
}

/// An import under way.
pub(crate) struct Import<'a> {
    pub(super) document: &'a Document,
    pub(super) definition: &'a ApiDefinition,
    pub(super) options: &'a Options,
    pub(super) surroundings: &'a Surroundings<'a>,
    pub(super) api: RestApiSnapshot,
    /// Models of the document that cannot be made. What refers to them finds nothing.
    pub(super) unmade: BTreeSet<String>,
    pub(super) warnings: Vec<Finding>,
    pub(super) errors: Vec<Finding>,
}

/// Puts a definition over an API. `before` has an id, a root resource and all that an API without methods has.
///
/// # Errors
/// What makes the definition unusable, and what else there was to say.
pub(crate) fn apply(
    before: RestApiSnapshot,
    document: &Document,
    options: &Options,
    surroundings: &Surroundings<'_>,
) -> Result<Applied, (Vec<Finding>, Vec<Finding>)> {
    let mut import = Import::new(before, document, options, surroundings);
    import.settings();
    import.models();
    import.validators();
    import.authorizers();
    import.gateway_responses();
    import.tree();
    let documentation = (!options.ignore_documentation).then(|| import.documentation());
    if import.errors.is_empty() {
        Ok(Applied { api: import.api, documentation, warnings: import.warnings })
    } else {
        Err((import.errors, import.warnings))
    }
}

impl<'a> Import<'a> {
    /// An import of a document into an API, with nothing done yet.
    pub(super) fn new(
        api: RestApiSnapshot,
        document: &'a Document,
        options: &'a Options,
        surroundings: &'a Surroundings<'a>,
    ) -> Self {
        let definition = &document.definition;
        Self {
            document,
            definition,
            options,
            surroundings,
            api,
            unmade: BTreeSet::new(),
            warnings: document.findings.clone(),
            errors: Vec::new(),
        }
    }

    /// Notes what cannot be applied.
    pub(super) fn warn(&mut self, at: &DocPath, message: impl Into<String>) {
        self.warnings.push(Finding::warning(Kind::NotApplied, at, self.document.locate(at), message));
    }

    /// Notes what AWS warns of, in its words.
    pub(super) fn warn_as_aws(&mut self, at: &DocPath, message: impl Into<String>) {
        let warning = Finding::warning(Kind::NotApplied, at, self.document.locate(at), message);
        self.warnings.push(warning.in_aws_words());
    }

    /// Notes what makes the definition unusable.
    pub(super) fn fail(&mut self, at: &DocPath, message: impl Into<String>) {
        self.errors.push(Finding::error(at, self.document.locate(at), message));
    }

    /// AWS's variables in a text, replaced.
    pub(super) fn fill(&self, text: &str) -> String {
        if !text.contains("${AWS::") {
            return text.to_owned();
        }
        with_parameters(text, self.surroundings.account, self.surroundings.region)
    }

    /// A value of AWS's that documents spell in any case.
    pub(super) fn upper<T: std::str::FromStr>(
        &mut self,
        text: Option<&String>,
        at: &DocPath,
        what: &str,
    ) -> Option<T>
    where
        T::Err: std::fmt::Display,
    {
        match text?.to_ascii_uppercase().parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.fail(at, format!("{what}: {error}"));
                None
            }
        }
    }

    /// What stands before all paths.
    pub(super) fn prefix(&self) -> &str {
        let base = self.definition.base_path.as_str();
        match self.options.base_path {
            BasePath::Ignore => "",
            BasePath::Prepend => base,
            // The first part is where the API is mounted, a stage for example; the others are resources.
            BasePath::Split => {
                let rest = base.strip_prefix('/').and_then(|path| path.find('/')).map(|slash| slash + 1);
                rest.and_then(|start| base.get(start..)).unwrap_or_default()
            }
        }
    }

    fn settings(&mut self) {
        let definition = self.definition;
        let overwrite = self.options.overwrite;
        let api = &mut self.api.rest_api;
        // AWS names an API after its document when it imports it, and never renames it afterwards.
        api.name.get_or_insert_with(|| definition.title.clone());
        api.version.clone_from(&definition.version);
        if overwrite || definition.description.is_some() {
            api.description.clone_from(&definition.description);
        }
        match (&definition.binary_media_types, &mut api.binary_media_types) {
            (Some(added), Some(types)) if !overwrite => {
                types.extend(added.iter().filter(|one| !types.contains(one)).cloned().collect::<Vec<_>>());
            }
            (Some(types), own) => *own = Some(types.clone()),
            (None, own) if overwrite => *own = None,
            (None, _) => {}
        }
        if overwrite {
            api.api_key_source = Some(ApiKeySourceType::Header);
            api.minimum_compression_size = None;
            api.policy = None;
        }
        match definition.api_key_source {
            Some(ApiKeySource::Header) => api.api_key_source = Some(ApiKeySourceType::Header),
            Some(ApiKeySource::Authorizer) => api.api_key_source = Some(ApiKeySourceType::Authorizer),
            None => {}
        }
        if let Some(size) = definition.minimum_compression_size {
            match i32::try_from(size).ok().filter(|size| (0..=10_485_760).contains(size)) {
                Some(size) => api.minimum_compression_size = Some(size),
                None => self.fail(
                    &DocPath::root().child("x-amazon-apigateway-minimum-compression-size"),
                    "Invalid minimum compression size, must be between 0 and 10485760",
                ),
            }
        }
        if let Some(policy) = &definition.policy {
            let text = policy.as_str().map_or_else(|| policy.to_string(), str::to_owned);
            let filled = self.fill(&text);
            let checked = self.surroundings.quotas.check_policy(&filled);
            match checked.and_then(|()| policy::stored(&filled, self.surroundings.execute_api_arn)) {
                Ok(policy) => self.api.rest_api.policy = Some(policy),
                Err(error) => {
                    self.fail(&DocPath::root().child("x-amazon-apigateway-policy"), error.to_string())
                }
            }
        }
        self.endpoint();
        self.security_policy();
    }

    fn security_policy(&mut self) {
        let root = DocPath::root();
        let policy = self.definition.security_policy.clone();
        let at = root.child("x-amazon-apigateway-security-policy");
        if let Some(policy) = self.exact(policy.as_ref(), &at) {
            self.api.rest_api.security_policy = Some(policy);
        }
        let mode = self.definition.endpoint_access_mode.clone();
        let at = root.child("x-amazon-apigateway-endpoint-access-mode");
        if let Some(mode) = self.exact(mode.as_ref(), &at) {
            self.api.rest_api.endpoint_access_mode = Some(mode);
        }
    }

    fn exact<T: std::str::FromStr>(&mut self, text: Option<&String>, at: &DocPath) -> Option<T>
    where
        T::Err: std::fmt::Display,
    {
        text?.parse().map_err(|error: T::Err| self.fail(at, error.to_string())).ok()
    }

    /// The kind of endpoint: what the request asks for, else what the document says, else what is there.
    fn endpoint(&mut self) {
        let extension = self.definition.endpoint_configuration.clone().unwrap_or_default();
        let types = self.options.endpoint_types.clone().or_else(|| extension.types.clone());
        let mut configuration = self.api.rest_api.endpoint_configuration.clone().unwrap_or_default();
        if let Some(types) = types {
            let parsed: Result<Vec<EndpointType>, _> = types.iter().map(|one| one.parse()).collect();
            match parsed {
                Ok(types) if types.len() == 1 => configuration.types = Some(types),
                Ok(_) => self.fail(&extension.at, "Cannot create an api with multiple Endpoint Types."),
                Err(_) => self.fail(
                    &extension.at,
                    "Invalid EndpointTypes specified. Valid options are REGIONAL,EDGE,PRIVATE",
                ),
            }
        }
        let private = configuration.types.as_deref() == Some(&[EndpointType::Private]);
        if let Some(text) = &extension.ip_address_type {
            match text.parse() {
                Ok(IpAddressType::Ipv4) if private => {
                    self.fail(&extension.at, "Only dualstack ipAddressType is supported for Private APIs.");
                }
                Ok(kind) => configuration.ip_address_type = Some(kind),
                Err(error) => self.fail(&extension.at, error.to_string()),
            }
        } else if private {
            configuration.ip_address_type = Some(IpAddressType::Dualstack);
        }
        if let Some(ids) = extension.vpc_endpoint_ids {
            if private {
                configuration.vpc_endpoint_ids = Some(ids);
            } else {
                self.warn(
                    &extension.at.child("vpcEndpointIds"),
                    "Only PRIVATE APIs have VPC endpoints. Ignoring.",
                );
            }
        }
        self.api.rest_api.endpoint_configuration = Some(configuration);
        if let Some(disable) = extension.disable_execute_api_endpoint {
            self.api.rest_api.disable_execute_api_endpoint = Some(disable);
        }
    }

    /// Notes templates that cannot be read.
    pub(super) fn check_templates(
        &mut self,
        templates: Option<&BTreeMap<String, String>>,
        at: &DocPath,
        what: &str,
    ) {
        for (media_type, template) in templates.into_iter().flatten() {
            if let Some(error) = self.surroundings.check.template_error(template) {
                self.fail(&at.child(media_type), format!("{what}: template for {media_type}: {error}"));
            }
        }
    }

    /// A map of strings; whatever is no string is left out with AWS's warning. `None` if nothing is left.
    pub(super) fn strings(
        &mut self,
        values: &indexmap::IndexMap<String, serde_json::Value>,
        at: &DocPath,
        member: &str,
        where_: &str,
    ) -> Option<BTreeMap<String, String>> {
        let mut texts = BTreeMap::new();
        for (name, value) in values {
            match value.as_str() {
                Some(text) => {
                    texts.insert(name.clone(), text.to_owned());
                }
                None => self.warn_as_aws(
                    &at.child(name),
                    format!(
                        "Invalid format for '{member}'. Expected type string for property '{name}' {where_} but got \
                         '{value}'"
                    ),
                ),
            }
        }
        (!texts.is_empty()).then_some(texts)
    }
}

/// An API before its first import: a root and nothing else. The models that `CreateRestApi` adds are not there.
pub(crate) fn blank(rest_api: RestApi) -> RestApiSnapshot {
    let root =
        Resource { id: rest_api.root_resource_id.clone(), path: Some("/".to_owned()), ..Resource::default() };
    RestApiSnapshot { rest_api, resources: vec![root], ..RestApiSnapshot::default() }
}

/// CloudFormation's pseudo parameters in a text, replaced.
pub(crate) fn with_parameters(text: &str, account: &str, region: &str) -> String {
    text.replace("${AWS::AccountId}", account)
        .replace("${AWS::Region}", region)
        .replace("${AWS::Partition}", "aws")
        .replace("${AWS::URLSuffix}", "amazonaws.com")
}
