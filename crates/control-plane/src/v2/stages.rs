//! Stages: names under which deployments are served. `$default` is served at the root.

use stagedoor_shapes::apigatewayv2::{
    AccessLogSettings, Api, CreateStageRequest, DeleteAccessLogSettingsRequest, DeleteRouteSettingsRequest,
    DeleteStageRequest, Deployment, GetStageRequest, GetStagesRequest, GetStagesResponse, LoggingLevel,
    Route, RouteSettings, Stage, UpdateStageRequest,
};
use stagedoor_shapes::snapshot::ApiSnapshot;

use super::integrations::merged;
use super::keys::{self, Kind};
use super::{V2, all, is_http, members, page_of, route_key, updated_within, vpc_links};
use crate::control_plane::{bad_request, conflict, not_found, required, whole_seconds};
use crate::page::by_date;
use crate::tx::Tx;
use crate::{ApiError, access_log, api_mappings, client_certificates, quotas, stages, tags, usage_plans};

const NAME_MAX: usize = 128;

impl V2<'_> {
    /// A new stage with AWS's defaults; those of WebSocket APIs say more of logs. Whether it deploys itself is not shown
    /// where nobody has said so.
    pub(super) fn new_stage(&self, name: &str, http: bool) -> Stage {
        let now = self.0.now();
        Stage {
            created_date: Some(now),
            last_updated_date: Some(now),
            default_route_settings: Some(RouteSettings {
                detailed_metrics_enabled: Some(false),
                data_trace_enabled: (!http).then_some(false),
                logging_level: (!http).then_some(LoggingLevel::Off),
                ..RouteSettings::default()
            }),
            route_settings: Some(Default::default()),
            stage_name: Some(name.to_owned()),
            stage_variables: Some(Default::default()),
            tags: Some(Default::default()),
            ..Stage::default()
        }
    }

    /// `CreateStage`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown API or deployment, [`ApiError::Conflict`] if there is such a stage,
    /// [`ApiError::BadRequest`] for settings that cannot be.
    pub fn create_stage(&self, input: CreateStageRequest) -> Result<Stage, ApiError> {
        let (api_id, name) = (required(&input.api_id), required(&input.stage_name));
        tags::check(input.tags.as_ref())?;
        self.0.transact(|tx| {
            let api = self.api(tx, api_id)?;
            check_name(&api, name)?;
            let key = keys::one(api_id, Kind::Stage, name);
            if tx.exists(&key)? {
                return conflict("Stage already exists");
            }
            let there = tx.keys(&keys::all(api_id, Kind::Stage))?.len();
            quotas::check_one_more(there, self.0.settings.quotas.stages_per_api, "Stages", "API")?;
            let new = self.new_stage(name, is_http(&api));
            let mut stage: Stage = updated_within(&new, &input, DEFAULT_ROUTE_SETTINGS)?;
            drop_blanks(&mut stage);
            check_new_log(&api, None, stage.access_log_settings.as_ref())?;
            check(tx, &api, &stage)?;
            self.put_stage(tx, &api, stage, input.deployment_id.is_some())
        })
    }

    /// `GetStage`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such stage.
    pub fn get_stage(&self, input: GetStageRequest) -> Result<Stage, ApiError> {
        let (api, name) = (required(&input.api_id), required(&input.stage_name));
        self.0.read(|tx| self.find(tx, api, Kind::Stage, name).map(answer))
    }

    /// `GetStages`, in the order in which they were made.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown API, [`ApiError::BadRequest`] for a token that no page has answered.
    pub fn get_stages(&self, input: GetStagesRequest) -> Result<GetStagesResponse, ApiError> {
        let api = required(&input.api_id);
        let stages: Vec<Stage> = self.0.read(|tx| {
            self.api(tx, api)?;
            all(tx, api, Kind::Stage)
        })?;
        let mut stages: Vec<_> = stages
            .into_iter()
            .map(|stage| (by_date(stage.created_date, required(&stage.stage_name)), answer(stage)))
            .collect();
        stages.sort_by(|(one, _), (other, _)| one.cmp(other));
        let (items, next_token) = page_of(stages, input.next_token.as_deref(), input.max_results.as_deref())?;
        Ok(GetStagesResponse { items, next_token })
    }

    /// `UpdateStage`. A stage variable with an empty value is removed; settings of a route replace those it had.
    ///
    /// # Errors
    /// As for `CreateStage`, and [`ApiError::NotFound`] if there is no such stage.
    pub fn update_stage(&self, input: UpdateStageRequest) -> Result<Stage, ApiError> {
        let (api_id, name) = (required(&input.api_id), required(&input.stage_name));
        self.0.transact(|tx| {
            let api = self.api(tx, api_id)?;
            let before: Stage = members::find(tx, api_id, Kind::Stage, name)?;
            let mut stage: Stage = updated_within(&before, &input, DEFAULT_ROUTE_SETTINGS)?;
            drop_blanks(&mut stage);
            check_new_log(&api, before.access_log_settings.as_ref(), stage.access_log_settings.as_ref())?;
            stage.stage_variables =
                merged(before.stage_variables, input.stage_variables.clone()).or(Some(Default::default()));
            let mut settings = before.route_settings.unwrap_or_default();
            settings.extend(input.route_settings.clone().unwrap_or_default());
            stage.route_settings = Some(settings);
            stage.last_updated_date = Some(self.0.now());
            check(tx, &api, &stage)?;
            self.put_stage(tx, &api, stage, input.deployment_id.is_some())
        })
    }

    /// `DeleteStage`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such stage.
    pub fn delete_stage(&self, input: DeleteStageRequest) -> Result<(), ApiError> {
        let (api, name) = (required(&input.api_id), required(&input.stage_name));
        self.0.transact(|tx| {
            self.find::<Stage>(tx, api, Kind::Stage, name)?;
            api_mappings::check_unmapped_v2(tx, api, Some(name))?;
            tx.delete(&keys::one(api, Kind::Stage, name));
            usage_plans::forget_stages(tx, api, Some(name))
        })
    }

    /// `DeleteAccessLogSettings`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such stage.
    pub fn delete_access_log_settings(&self, input: DeleteAccessLogSettingsRequest) -> Result<(), ApiError> {
        let (api_id, name) = (required(&input.api_id), required(&input.stage_name));
        self.0.transact(|tx| {
            let api = self.api(tx, api_id)?;
            let mut stage: Stage = members::find(tx, api_id, Kind::Stage, name)?;
            stage.access_log_settings = None;
            stage.last_updated_date = Some(self.0.now());
            self.put_stage(tx, &api, stage, false).map(drop)
        })
    }

    /// `DeleteRouteSettings`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such stage, or if it has no settings for that route.
    pub fn delete_route_settings(&self, input: DeleteRouteSettingsRequest) -> Result<(), ApiError> {
        let (api_id, name) = (required(&input.api_id), required(&input.stage_name));
        let key = required(&input.route_key);
        self.0.transact(|tx| {
            let api = self.api(tx, api_id)?;
            let mut stage: Stage = members::find(tx, api_id, Kind::Stage, name)?;
            if stage.route_settings.as_mut().and_then(|settings| settings.remove(key)).is_none() {
                return not_found(format!(
                    "Unable to find Route by key {key} within the provided RouteSettings"
                ));
            }
            stage.last_updated_date = Some(self.0.now());
            self.put_stage(tx, &api, stage, false).map(drop)
        })
    }

    /// Writes a stage. One that deploys itself is deployed. What a deletion leaves is not checked again: settings of routes
    /// that are gone have to go one by one.
    fn put_stage(&self, tx: &Tx, api: &Api, stage: Stage, deployment_given: bool) -> Result<Stage, ApiError> {
        let (api_id, name) = (required(&api.api_id), required(&stage.stage_name));
        let key = keys::one(api_id, Kind::Stage, name);
        if stage.auto_deploy == Some(true) {
            if deployment_given {
                return bad_request("Deployment ID cannot be specified for a stage with autoDeploy enabled");
            }
            tx.put(&key, &stage)?;
            self.redeploy(tx, api_id)?;
            return members::find(tx, api_id, Kind::Stage, name).map(answer);
        }
        if let Some(id) = stage.deployment_id.as_deref() {
            members::find::<Deployment>(tx, api_id, Kind::Deployment, id)?;
            let mut snapshot: ApiSnapshot = members::find(tx, api_id, Kind::Snapshot, id)?;
            snapshot.vpc_link_names = vpc_links::names_now(tx)?;
            self.check_deployable(&snapshot, Some(&stage)).map_err(ApiError::BadRequest)?;
        }
        tx.put(&key, &stage)?;
        Ok(answer(stage))
    }
}

/// What of it a call does not have stays as it is.
const DEFAULT_ROUTE_SETTINGS: &str = "defaultRouteSettings";

/// Takes away what is empty: Terraform removes an access log by an update to an empty one.
fn drop_blanks(stage: &mut Stage) {
    stage.description.take_if(|text| text.is_empty());
    stage
        .access_log_settings
        .take_if(|log| required(&log.destination_arn).is_empty() && required(&log.format).is_empty());
}

/// What AWS asks of a stage's access log since 2023, and so not of one that was there before.
fn check_new_log(
    api: &Api,
    before: Option<&AccessLogSettings>,
    log: Option<&AccessLogSettings>,
) -> Result<(), ApiError> {
    match log.filter(|log| is_http(api) && before != Some(*log)) {
        Some(log) => access_log::check_variables_http(required(&log.format)),
        None => Ok(()),
    }
}

/// A name that a stage can have. Hyphens are allowed, whatever AWS's sentence says.
pub(super) fn check_name(api: &Api, name: &str) -> Result<(), ApiError> {
    let default = is_http(api) && name == route_key::DEFAULT;
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    match default || (!name.is_empty() && name.len() <= NAME_MAX && name.bytes().all(word)) {
        true => Ok(()),
        false => bad_request("Stage name only allows a-zA-Z0-9_"),
    }
}

/// AWS's rules for a stage.
pub(super) fn check(tx: &Tx, api: &Api, stage: &Stage) -> Result<(), ApiError> {
    stages::check_variables(&stage.stage_variables.clone().unwrap_or_default())?;
    let http = is_http(api);
    if http && stage.client_certificate_id.as_deref().is_some_and(|id| !id.is_empty()) {
        return bad_request("Client certificates are only supported for WebSocket APIs");
    }
    if let Some(id) = stage.client_certificate_id.as_deref().filter(|id| !id.is_empty()) {
        client_certificates::check_exists(tx, id)?;
    }
    if let Some(log) = &stage.access_log_settings {
        let (destination, format) = (required(&log.destination_arn), required(&log.format));
        if destination.is_empty() || format.is_empty() {
            return bad_request("Access Log value missing. Expected destinationArn and format.");
        }
        access_log::check_destination_v2(destination)?;
        access_log::check_format_v2(format)?;
    }
    let settings = stage.route_settings.iter().flatten().map(|(_, settings)| settings);
    for settings in settings.chain(&stage.default_route_settings) {
        let logs = settings.logging_level.is_some_and(|level| level != LoggingLevel::Off)
            || settings.data_trace_enabled == Some(true);
        if http && logs {
            return bad_request("Execution logs are not supported on protocolType HTTP");
        }
        if settings.throttling_rate_limit.is_some_and(|rate| rate < 0.0)
            || settings.throttling_burst_limit.is_some_and(|burst| burst < 0)
        {
            return bad_request("Throttling limits must not be negative");
        }
    }
    let keyed = stage.route_settings.as_ref().filter(|settings| !settings.is_empty());
    if let Some(settings) = keyed {
        let routes: Vec<Route> = all(tx, required(&api.api_id), Kind::Route)?;
        let is_route = |key: &String| routes.iter().any(|route| route.route_key.as_ref() == Some(key));
        if let Some(key) = settings.keys().find(|key| !is_route(key)) {
            return not_found(format!("Unable to find Route by key {key} within the provided RouteSettings"));
        }
    }
    Ok(())
}

/// A stage as it is answered.
fn answer(mut stage: Stage) -> Stage {
    stage.created_date = whole_seconds(stage.created_date);
    stage.last_updated_date = whole_seconds(stage.last_updated_date);
    stage
}
