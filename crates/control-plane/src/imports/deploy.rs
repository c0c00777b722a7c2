//! A document applied as a whole: the API, a deployment of it and the stages that serve it, in one transaction.
//!
//! This is what keeps a project in place while it is edited. Either everything in the document is served, or what was
//! served before goes on being served, with the definitions that belong to it.

use std::collections::{BTreeMap, BTreeSet};

use stagedoor_openapi::{Document, Finding, Kind as OpenApiKind};
use stagedoor_shapes::apigateway::{Deployment, MethodSetting, RestApi, Stage};
use stagedoor_shapes::snapshot::RestApiSnapshot;

use super::apply::blank;
use super::{ImportError, Options};
use crate::control_plane::ControlPlane;
use crate::keys::{self, Kind};
use crate::tx::Tx;
use crate::{ApiError, api_mappings, deployments, quotas, stage_patch, stages, usage_plans, v2};

/// Marks the deployments that are made here, so that those that serve nothing any more can go.
const DESCRIPTION: &str = "Applied from a document";

/// A stage as a document's project defines it. Whatever else a stage has stays as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StageDefinition {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// All its variables.
    pub variables: BTreeMap<String, String>,
    /// All its settings, by method; members that are not given get AWS's defaults.
    pub method_settings: BTreeMap<String, MethodSetting>,
    /// Whether requests are traced; `None` leaves it.
    pub tracing_enabled: Option<bool>,
}

/// What is in place after a document has been applied.
#[derive(Clone, Debug)]
pub struct Deployed {
    /// The API as it is served.
    pub api: RestApiSnapshot,
    /// What the document has and the import left out.
    pub warnings: Vec<Finding>,
}

impl ControlPlane {
    /// Makes the API of that id what a document says, deploys it, and points the stages at the deployment. The API is
    /// made if it is not there. Stages of an earlier call that are not named any more are removed; stages that
    /// somebody else made are left alone.
    ///
    /// # Errors
    /// [`ImportError`]; then nothing has changed.
    pub fn deploy_document(
        &self,
        id: &str,
        document: &Document,
        stages: &[StageDefinition],
    ) -> Result<Deployed, ImportError> {
        let options = Options { overwrite: true, ..Options::default() };
        let key_sets = self.key_sets_of(document);
        self.attempt(|tx| {
            if tx.exists(&v2::keys::api(id))? {
                let message = format!("there is an HTTP API with the id {id}; delete it, or take another id");
                return Err(ApiError::BadRequest(message).into());
            }
            let before = match tx.get::<RestApi>(&keys::api(id))? {
                Some(_) => self.load_api(tx, id)?,
                None => blank(RestApi { id: Some(id.to_owned()), ..self.new_api(tx, RestApi::default())? }),
            };
            let warnings = self.import(tx, id, before, document, &key_sets, &options)?.warnings;
            // AWS goes on without what it does not know; whoever edits a document wants to hear of it now.
            let unknown = warnings.iter().filter(|warning| warning.kind == OpenApiKind::UnknownName);
            let unknown: Vec<Finding> =
                unknown.filter(|one| !document.findings.contains(one)).cloned().collect();
            if !unknown.is_empty() {
                return Err(ImportError::Warned(unknown));
            }
            // What is read back is in the order in which a deployment freezes it.
            let api = self.load_api(tx, id)?;
            self.put_stages(tx, id, &api, stages, &warnings)?;
            Ok(Deployed { api, warnings })
        })
    }

    /// Deploys an API to stages.
    fn put_stages(
        &self,
        tx: &Tx,
        id: &str,
        api: &RestApiSnapshot,
        definitions: &[StageDefinition],
        warnings: &[Finding],
    ) -> Result<(), ImportError> {
        let now = self.now();
        let before: BTreeMap<String, Stage> = tx.scan(&keys::all(id, Kind::Stage))?;
        let deployments: BTreeMap<String, Deployment> = tx.scan(&keys::all(id, Kind::Deployment))?;
        let ours: BTreeSet<String> = deployments
            .into_values()
            .filter(|one| one.description.as_deref() == Some(DESCRIPTION))
            .filter_map(|one| one.id)
            .collect();
        let deployment = self.deploy(tx, id, api, &ours)?;
        let mut problems = without_integration(api);
        let mut named = BTreeSet::new();
        for definition in definitions {
            let key = keys::one(id, Kind::Stage, &definition.name);
            stages::check_variables(&definition.variables)?;
            let stage = match before.get(&key) {
                Some(stage) => stage.clone(),
                None => stages::new(&definition.name, now)?,
            };
            let stage = put_over(stage, definition, &deployment, now);
            for problem in self.undeployable(api, Some(&stage)) {
                // Most problems are the same in every stage.
                if !problems.contains(&problem) {
                    problems.push(problem);
                }
            }
            tx.put(&key, &stage)?;
            named.insert(key);
        }
        if !problems.is_empty() {
            return Err(ImportError::NotServable { problems, warnings: warnings.to_vec() });
        }
        let mut used = BTreeSet::from([deployment]);
        for (key, stage) in before.iter().filter(|(key, _)| !named.contains(*key)) {
            if stage.deployment_id.as_ref().is_some_and(|one| ours.contains(one)) {
                let name = stage.stage_name.as_deref();
                api_mappings::check_unmapped(tx, id, name)?;
                usage_plans::forget_stages(tx, id, name)?;
                tx.delete(key);
            } else {
                used.extend(stage.deployment_id.clone());
            }
        }
        used.extend(
            before.values().filter_map(|stage| stage.canary_settings.as_ref()?.deployment_id.clone()),
        );
        for unused in ours.difference(&used) {
            tx.delete(&keys::one(id, Kind::Deployment, unused));
            tx.delete(&keys::one(id, Kind::Snapshot, unused));
        }
        let most = self.settings.quotas.stages_per_api;
        Ok(quotas::check(tx.keys(&keys::all(id, Kind::Stage))?.len(), most, "Stages", "API")?)
    }

    /// The deployment of an API as it is: one of ours that froze just this, or a new one.
    fn deploy(
        &self,
        tx: &Tx,
        id: &str,
        api: &RestApiSnapshot,
        ours: &BTreeSet<String>,
    ) -> Result<String, ApiError> {
        for deployment in ours {
            let frozen = tx.get::<RestApiSnapshot>(&keys::one(id, Kind::Snapshot, deployment))?;
            if frozen.as_ref() == Some(api) {
                return Ok(deployment.clone());
            }
        }
        let name = deployments::unused_id(tx, id)?;
        let deployment = Deployment {
            id: Some(name.clone()),
            description: Some(DESCRIPTION.to_owned()),
            created_date: Some(self.now()),
            api_summary: Some(deployments::summary(api)),
        };
        tx.put(&keys::one(id, Kind::Deployment, &name), &deployment)?;
        tx.put(&keys::one(id, Kind::Snapshot, &name), api)?;
        Ok(name)
    }
}

/// Methods that lead nowhere, in the words of the compiler, so that both say it once. AWS does not say which they are.
fn without_integration(api: &RestApiSnapshot) -> Vec<String> {
    let mut found = Vec::new();
    for resource in &api.resources {
        let path = resource.path.as_deref().unwrap_or_default();
        for (name, method) in resource.resource_methods.iter().flatten() {
            if method.method_integration.is_none() {
                found.push(format!("{name} {path}: No integration defined for method"));
            }
        }
    }
    if api.resources.iter().all(|resource| resource.resource_methods.is_none()) {
        found.push("The REST API doesn't contain any methods".to_owned());
    }
    found
}

/// A stage with a definition put over it.
fn put_over(before: Stage, definition: &StageDefinition, deployment: &str, now: f64) -> Stage {
    let mut stage = before.clone();
    stage.deployment_id = Some(deployment.to_owned());
    stage.description.clone_from(&definition.description);
    stage.variables = (!definition.variables.is_empty()).then(|| definition.variables.clone());
    let settings = definition.method_settings.iter().map(|(key, one)| (key.clone(), with_defaults(one)));
    stage.method_settings = Some(settings.collect());
    stage.tracing_enabled = definition.tracing_enabled.or(stage.tracing_enabled);
    if stage != before {
        stage.last_updated_date = Some(now);
    }
    stage
}

/// AWS's defaults for what a method's settings do not say.
fn with_defaults(setting: &MethodSetting) -> MethodSetting {
    let defaults = stage_patch::defaults();
    let strategy = setting.unauthorized_cache_control_header_strategy;
    MethodSetting {
        metrics_enabled: setting.metrics_enabled.or(defaults.metrics_enabled),
        logging_level: setting.logging_level.clone().or(defaults.logging_level),
        data_trace_enabled: setting.data_trace_enabled.or(defaults.data_trace_enabled),
        throttling_burst_limit: setting.throttling_burst_limit.or(defaults.throttling_burst_limit),
        throttling_rate_limit: setting.throttling_rate_limit.or(defaults.throttling_rate_limit),
        caching_enabled: setting.caching_enabled.or(defaults.caching_enabled),
        cache_ttl_in_seconds: setting.cache_ttl_in_seconds.or(defaults.cache_ttl_in_seconds),
        cache_data_encrypted: setting.cache_data_encrypted.or(defaults.cache_data_encrypted),
        require_authorization_for_cache_control: setting
            .require_authorization_for_cache_control
            .or(defaults.require_authorization_for_cache_control),
        unauthorized_cache_control_header_strategy: strategy
            .or(defaults.unauthorized_cache_control_header_strategy),
    }
}
