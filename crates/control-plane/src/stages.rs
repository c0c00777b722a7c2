//! Stages: names under which deployments are served. What `UpdateStage` does stands in `stage_patch.rs`.

use std::collections::BTreeMap;

use stagedoor_shapes::apigateway::{
    CacheClusterSize, CacheClusterStatus, CreateStageRequest, DeleteStageRequest,
    FlushStageAuthorizersCacheRequest, FlushStageCacheRequest, GetStageRequest, GetStagesRequest, Stage,
    Stages, UpdateStageRequest,
};
use stagedoor_shapes::snapshot::RestApiSnapshot;

use crate::ApiError;
use crate::control_plane::{ControlPlane, bad_request, conflict, not_found, required, whole_seconds};
use crate::keys::{self, Kind};
use crate::page::by_date;
use crate::quotas::check_one_more;
use crate::tx::Tx;
use crate::{api_mappings, canary, client_certificates, stage_patch, tags, usage_plans};

const NAME_MAX: usize = 128;

/// The longest value of a stage variable, in characters.
const VARIABLE_MAX: usize = 512;

/// The longest name of a stage variable, and how many of them a stage has, by AWS's quotas.
const VARIABLE_NAME_MAX: usize = 64;
const VARIABLES_MAX: usize = 100;

impl ControlPlane {
    /// `CreateStage`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown API, [`ApiError::Conflict`] if there is such a stage,
    /// [`ApiError::BadRequest`] for an unknown deployment or settings that cannot be.
    pub fn create_stage(&self, input: CreateStageRequest) -> Result<Stage, ApiError> {
        let (api, name) = (required(&input.rest_api_id), required(&input.stage_name));
        tags::check(input.tags.as_ref())?;
        self.transact(|tx| {
            self.api(tx, api)?;
            let mut stage = new(name, self.now())?;
            let key = keys::one(api, Kind::Stage, name);
            if tx.exists(&key)? {
                return conflict("Stage already exists");
            }
            self.check_stage_quota(tx, api)?;
            let deployment = required(&input.deployment_id);
            let snapshot = frozen(tx, api, deployment)?;
            if let Some(version) = input.documentation_version.as_deref() {
                check_documentation_version(tx, api, version)?;
            }
            stage.deployment_id = Some(deployment.to_owned());
            stage.description = input.description.clone().filter(|description| !description.is_empty());
            stage.documentation_version = input.documentation_version.clone();
            if let Some(variables) = &input.variables {
                check_variables(variables)?;
                stage.variables = Some(variables.clone()).filter(|variables| !variables.is_empty());
            }
            if let Some(settings) = input.canary_settings.clone() {
                stage.canary_settings = Some(canary::complete(settings, Some(deployment))?);
            }
            stage.tracing_enabled = input.tracing_enabled.or(stage.tracing_enabled);
            stage.tags = input.tags.clone().filter(|tags| !tags.is_empty());
            set_cache_cluster(&mut stage, input.cache_cluster_enabled, input.cache_cluster_size);
            self.check_deployable(&snapshot, Some(&stage))?;
            self.check_canary(tx, api, &stage)?;
            tx.put(&key, &stage)?;
            Ok(answer(on_its_way(stage, None)))
        })
    }

    /// # Errors
    /// [`ApiError::LimitExceeded`] if an API has as many stages as it may have.
    pub(crate) fn check_stage_quota(&self, tx: &Tx, api: &str) -> Result<(), ApiError> {
        let there = tx.keys(&keys::all(api, Kind::Stage))?.len();
        check_one_more(there, self.settings.quotas.stages_per_api, "Stages", "API")
    }

    /// `GetStage`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such stage.
    pub fn get_stage(&self, input: GetStageRequest) -> Result<Stage, ApiError> {
        self.read(|tx| find(tx, required(&input.rest_api_id), required(&input.stage_name)).map(answer))
    }

    /// `GetStages`, in the order in which they were made; of one deployment if that is asked for.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown API.
    pub fn get_stages(&self, input: GetStagesRequest) -> Result<Stages, ApiError> {
        let api = required(&input.rest_api_id);
        let stages = self.read(|tx| {
            self.api(tx, api)?;
            tx.scan::<Stage>(&keys::all(api, Kind::Stage))
        })?;
        let wanted =
            |stage: &Stage| input.deployment_id.is_none() || stage.deployment_id == input.deployment_id;
        let stages: BTreeMap<_, _> = stages
            .into_values()
            .filter(wanted)
            .map(|stage| (by_date(stage.created_date, required(&stage.stage_name)), answer(stage)))
            .collect();
        Ok(Stages { item: Some(stages.into_values().collect()) })
    }

    /// `UpdateStage`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such stage, [`ApiError::BadRequest`] for a patch that AWS refuses, or with
    /// everything that could not be served.
    pub fn update_stage(&self, input: UpdateStageRequest) -> Result<Stage, ApiError> {
        let (api, name) = (required(&input.rest_api_id), required(&input.stage_name));
        self.transact(|tx| {
            let mut stage = find(tx, api, name)?;
            let before = (stage.deployment_id.clone(), stage.documentation_version.clone());
            let cluster = (stage.cache_cluster_enabled, stage.cache_cluster_size);
            for operation in input.patch_operations.iter().flatten() {
                stage_patch::apply(&mut stage, operation)?;
            }
            stage.last_updated_date = Some(self.now());
            let snapshot = frozen(tx, api, required(&stage.deployment_id))?;
            if let Some(version) =
                stage.documentation_version.as_deref().filter(|_| before.1 != stage.documentation_version)
            {
                check_documentation_version(tx, api, version)?;
            }
            if let Some(certificate) = &stage.client_certificate_id {
                client_certificates::check_exists(tx, certificate)?;
            }
            self.check_deployable(&snapshot, Some(&stage))?;
            self.check_canary(tx, api, &stage)?;
            tx.put(&keys::one(api, Kind::Stage, name), &stage)?;
            Ok(answer(on_its_way(stage, Some(cluster))))
        })
    }

    /// `DeleteStage`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such stage.
    pub fn delete_stage(&self, input: DeleteStageRequest) -> Result<(), ApiError> {
        let (api, name) = (required(&input.rest_api_id), required(&input.stage_name));
        self.transact(|tx| {
            find(tx, api, name)?;
            api_mappings::check_unmapped(tx, api, Some(name))?;
            tx.delete(&keys::one(api, Kind::Stage, name));
            tx.delete(&keys::one(api, Kind::CacheFlush, name));
            usage_plans::forget_stages(tx, api, Some(name))
        })
    }
}

impl ControlPlane {
    /// Refuses a canary whose deployment is not there or could not be served.
    fn check_canary(&self, tx: &Tx, api: &str, stage: &Stage) -> Result<(), ApiError> {
        let Some(seen) = canary::stage_of_canary(stage) else { return Ok(()) };
        let snapshot = frozen(tx, api, required(&seen.deployment_id))?;
        self.check_deployable(&snapshot, Some(&seen))
    }

    /// `FlushStageAuthorizersCache`. Whoever serves a stage remembers nothing from before its last change, so the stage
    /// is written again as it is.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such stage.
    pub fn flush_stage_authorizers_cache(
        &self,
        input: FlushStageAuthorizersCacheRequest,
    ) -> Result<(), ApiError> {
        let (api, name) = (required(&input.rest_api_id), required(&input.stage_name));
        self.transact(|tx| {
            let stage = find(tx, api, name)?;
            tx.rewrite(&keys::one(api, Kind::Stage, name), &stage)
        })
    }
}

/// What a deployment froze.
fn frozen(tx: &Tx, api: &str, id: &str) -> Result<RestApiSnapshot, ApiError> {
    match tx.get(&keys::one(api, Kind::Snapshot, id))? {
        Some(snapshot) => Ok(snapshot),
        None => bad_request("Deployment id does not exist"),
    }
}

fn find(tx: &Tx, api: &str, name: &str) -> Result<Stage, ApiError> {
    match tx.get(&keys::one(api, Kind::Stage, name))? {
        Some(stage) => Ok(stage),
        None => not_found("Invalid stage identifier specified"),
    }
}

/// A new stage with AWS's defaults.
///
/// # Errors
/// [`ApiError::BadRequest`] for what cannot be a name.
pub(crate) fn new(name: &str, now: f64) -> Result<Stage, ApiError> {
    let valid = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if name.is_empty() || name.len() > NAME_MAX || !valid {
        return bad_request("Stage name only allows a-zA-Z0-9_");
    }
    Ok(Stage {
        stage_name: Some(name.to_owned()),
        cache_cluster_enabled: Some(false),
        cache_cluster_status: Some(CacheClusterStatus::NotAvailable),
        method_settings: Some(BTreeMap::new()),
        tracing_enabled: Some(false),
        created_date: Some(now),
        last_updated_date: Some(now),
        ..Stage::default()
    })
}

impl ControlPlane {
    /// `FlushStageCache`: what was cached until now is not served again.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such stage.
    pub fn flush_stage_cache(&self, input: FlushStageCacheRequest) -> Result<(), ApiError> {
        let (api, name) = (required(&input.rest_api_id), required(&input.stage_name));
        self.transact(|tx| {
            find(tx, api, name)?;
            // The revision that this write gets is what tells one cache from the next.
            tx.put(&keys::one(api, Kind::CacheFlush, name), &self.now())
        })
    }
}

/// A stage as AWS answers the call that makes its cache cluster or takes it away: not done yet. It is done by the time
/// the next call asks.
fn on_its_way(mut stage: Stage, before: Option<(Option<bool>, Option<CacheClusterSize>)>) -> Stage {
    let (was_enabled, size) = before.unwrap_or_default();
    let is_enabled = stage.cache_cluster_enabled == Some(true);
    match (was_enabled == Some(true), is_enabled) {
        (true, true) if size == stage.cache_cluster_size => {}
        (_, true) => stage.cache_cluster_status = Some(CacheClusterStatus::CreateInProgress),
        (true, false) => stage.cache_cluster_status = Some(CacheClusterStatus::DeleteInProgress),
        (false, false) => {}
    }
    stage
}

/// A stage as it is answered.
fn answer(mut stage: Stage) -> Stage {
    stage.created_date = whole_seconds(stage.created_date);
    stage.last_updated_date = whole_seconds(stage.last_updated_date);
    stage
}

/// Turns the cache on or off, and gives it AWS's smallest size unless another is asked for.
pub(crate) fn set_cache_cluster(stage: &mut Stage, enabled: Option<bool>, size: Option<CacheClusterSize>) {
    stage.cache_cluster_enabled = enabled.or(stage.cache_cluster_enabled);
    stage.cache_cluster_size = size.or(stage.cache_cluster_size);
    if stage.cache_cluster_enabled == Some(true) {
        stage.cache_cluster_size.get_or_insert(CacheClusterSize::V0_5);
        stage.cache_cluster_status = Some(CacheClusterStatus::Available);
    } else {
        stage.cache_cluster_status = Some(CacheClusterStatus::NotAvailable);
    }
}

/// AWS's rules for stage variables: names of word characters, values that can stand in a URL, and its quotas.
pub(crate) fn check_variables(variables: &BTreeMap<String, String>) -> Result<(), ApiError> {
    crate::quotas::check(variables.len(), VARIABLES_MAX, "stage variables", "stage")?;
    for (name, value) in variables {
        if name.is_empty()
            || name.len() > VARIABLE_NAME_MAX
            || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            return bad_request(format!(
                "Invalid stage variable name: {name}. Please use names with only word characters."
            ));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || " -._~:/?#&=,".contains(c);
        if value.is_empty() || value.chars().count() > VARIABLE_MAX || !value.chars().all(allowed) {
            // The spaces and the lone quote are AWS's.
            return bad_request(format!(
                "Invalid stage variable value of key {name}.  Please use values with alphanumeric characters and \
                 the symbols ' ', -', '.', '_', ':', '/', '?', '&', '=', and ','."
            ));
        }
    }
    Ok(())
}

fn check_documentation_version(tx: &Tx, api: &str, version: &str) -> Result<(), ApiError> {
    if tx.exists(&keys::one(api, Kind::DocumentationVersion, version))? {
        return Ok(());
    }
    not_found("Invalid Documentation version specified")
}
