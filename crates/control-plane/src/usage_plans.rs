//! Usage plans: which stages a group of API keys may call, how fast and how often. What `UpdateUsagePlan` does to one
//! stands in `usage_plan_patch.rs`, who is in one in `usage_plan_keys.rs`.
//!
//! A plan refers to stages, not the other way round: deleting a stage or its API takes it out of every plan.

use stagedoor_shapes::apigateway::{
    ApiStage, CreateUsagePlanRequest, DeleteUsagePlanRequest, GetUsagePlanRequest, GetUsagePlansRequest,
    QuotaPeriodType, QuotaSettings, Stage, ThrottleSettings, UpdateUsagePlanRequest, UsagePlan, UsagePlans,
};
use stagedoor_shapes::snapshot::RestApiSnapshot;

use crate::control_plane::{ControlPlane, bad_request, not_found, required};
use crate::keys::{self, Kind};
use crate::page::page_below;
use crate::quotas::check_one_more;
use crate::tx::Tx;
use crate::{ApiError, api_keys, ids, tags, usage_plan_keys, usage_plan_patch, v2};

/// A plan by its id.
///
/// # Errors
/// [`ApiError::NotFound`] if there is none.
pub(crate) fn find(tx: &Tx, id: &str) -> Result<UsagePlan, ApiError> {
    match tx.get(&keys::usage_plan(id))? {
        Some(plan) => Ok(plan),
        None => not_found("Invalid Usage Plan ID specified"),
    }
}

/// A stage as messages and patches name it.
pub(crate) fn name_of(stage: &ApiStage) -> String {
    format!("{}:{}", required(&stage.api_id), required(&stage.stage))
}

/// Whether a plan has a stage.
pub(crate) fn has_stage(plan: &UsagePlan, stage: &ApiStage) -> bool {
    plan.api_stages.iter().flatten().any(|own| own.api_id == stage.api_id && own.stage == stage.stage)
}

/// Takes a stage, or all stages of an API, out of every plan.
pub(crate) fn forget_stages(tx: &Tx, api: &str, stage: Option<&str>) -> Result<(), ApiError> {
    for (key, mut plan) in tx.scan::<UsagePlan>(keys::USAGE_PLANS)? {
        let stages = plan.api_stages.get_or_insert_default();
        let before = stages.len();
        stages.retain(|own| {
            required(&own.api_id) != api || stage.is_some_and(|stage| required(&own.stage) != stage)
        });
        if stages.len() != before {
            tx.put(&key, &plan)?;
        }
    }
    Ok(())
}

/// AWS's rules for a plan as a whole, and its zeros where a group was given in part.
///
/// # Errors
/// [`ApiError::BadRequest`].
pub(crate) fn check(plan: &mut UsagePlan) -> Result<(), ApiError> {
    if required(&plan.name).is_empty() {
        return bad_request("Usage Plan name cannot be empty");
    }
    if let Some(throttle) = &mut plan.throttle {
        check_throttle(throttle)?;
    }
    for stage in plan.api_stages.iter_mut().flatten() {
        for throttle in stage.throttle.iter_mut().flat_map(|throttle| throttle.values_mut()) {
            check_throttle(throttle)?;
        }
    }
    plan.quota.as_mut().map_or(Ok(()), check_quota)
}

fn check_throttle(throttle: &mut ThrottleSettings) -> Result<(), ApiError> {
    let burst = *throttle.burst_limit.get_or_insert(0);
    let rate = *throttle.rate_limit.get_or_insert(0.0);
    if burst < 0 {
        return bad_request("Usage Plan throttle burst limit must be a non-negative numeric");
    }
    if rate < 0.0 || !rate.is_finite() {
        return bad_request("Usage Plan throttle rate limit must be a non-negative numeric");
    }
    Ok(())
}

fn check_quota(quota: &mut QuotaSettings) -> Result<(), ApiError> {
    let limit = *quota.limit.get_or_insert(0);
    let offset = *quota.offset.get_or_insert(0);
    let Some(period) = quota.period else {
        return bad_request("Invalid Usage Plan quota period specified. Must be one of [DAY, WEEK, MONTH]");
    };
    if limit < 1 {
        return bad_request("Usage Plan quota limit must be a non-negative numeric");
    }
    let offset_max = match period {
        QuotaPeriodType::Day if offset != 0 => {
            return bad_request("Usage Plan quota offset must be zero in the DAY period");
        }
        QuotaPeriodType::Day => 0,
        QuotaPeriodType::Week => 6,
        QuotaPeriodType::Month => 27,
    };
    if !(0..=offset_max).contains(&offset) {
        return bad_request(format!(
            "Usage Plan quota offset must be between 0 and {offset_max} inclusive in the {period} period"
        ));
    }
    Ok(())
}

/// A stage that a plan is to have must be there, and so must be the methods that it limits.
///
/// # Errors
/// [`ApiError::NotFound`] for the stage, [`ApiError::BadRequest`] for a method.
pub(crate) fn check_stage(tx: &Tx, stage: &ApiStage) -> Result<(), ApiError> {
    let (api, name) = (required(&stage.api_id), required(&stage.stage));
    if api.is_empty() || name.is_empty() {
        // AWS has not filled these in.
        return bad_request("Invalid API Stage {api: %s, stage: %s} specified for usageplan %s");
    }
    let methods = stage.throttle.iter().flatten().map(|(method, _)| method);
    let mut methods = methods.peekable();
    let Some(found) = tx.get::<Stage>(&keys::one(api, Kind::Stage, name))? else {
        if v2::has_http_stage(tx, api, name)? {
            return bad_request("Usage plans are not allowed for HTTP Apis");
        }
        if !v2::has_websocket_stage(tx, api, name)? {
            return not_found(format!("API Stage not found: {}", name_of(stage)));
        }
        // Routes are no methods, and AWS has no throttles of a plan for them.
        return match methods.peek() {
            Some(key) => bad_request(format!("Invalid method {{resourcePath: {key},method: }} specified")),
            None => Ok(()),
        };
    };
    if methods.peek().is_none() {
        return Ok(());
    }
    let key = keys::one(api, Kind::Snapshot, required(&found.deployment_id));
    let snapshot: RestApiSnapshot = tx.get(&key)?.unwrap_or_default();
    for key in methods {
        let (path, method) = key.rsplit_once('/').filter(|(path, _)| !path.is_empty()).unwrap_or((key, ""));
        let known = snapshot.resources.iter().any(|resource| {
            resource.path.as_deref() == Some(path)
                && resource.resource_methods.as_ref().is_some_and(|methods| methods.contains_key(method))
        });
        if !known {
            return bad_request(format!(
                "Invalid method {{resourcePath: {path},method: {method}}} specified"
            ));
        }
    }
    Ok(())
}

/// A plan as everything but its creation answers it.
fn answer(mut plan: UsagePlan) -> UsagePlan {
    plan.tags.get_or_insert_default();
    plan
}

impl ControlPlane {
    /// `CreateUsagePlan`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for a stage that is not there, [`ApiError::BadRequest`] for limits that cannot be.
    pub fn create_usage_plan(&self, input: CreateUsagePlanRequest) -> Result<UsagePlan, ApiError> {
        tags::check(input.tags.as_ref())?;
        let mut plan = UsagePlan {
            id: Some(ids::short()?),
            name: input.name,
            description: input.description.filter(|description| !description.is_empty()),
            api_stages: Some(input.api_stages.unwrap_or_default()),
            throttle: input.throttle,
            quota: input.quota,
            product_code: None,
            tags: input.tags.filter(|tags| !tags.is_empty()),
        };
        check(&mut plan)?;
        self.transact(|tx| {
            for stage in plan.api_stages.iter().flatten() {
                check_stage(tx, stage)?;
            }
            let there = tx.keys(keys::USAGE_PLANS)?.len();
            check_one_more(there, self.settings.quotas.usage_plans, "Usage plans", "account")?;
            tx.put(&keys::usage_plan(required(&plan.id)), &plan)
        })?;
        Ok(plan)
    }

    /// `GetUsagePlan`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such plan.
    pub fn get_usage_plan(&self, input: GetUsagePlanRequest) -> Result<UsagePlan, ApiError> {
        self.read(|tx| find(tx, required(&input.usage_plan_id)).map(answer))
    }

    /// `GetUsagePlans`, those that hold a key if one is named.
    ///
    /// # Errors
    /// [`ApiError::BadRequest`] for a position that no page has answered.
    pub fn get_usage_plans(&self, input: GetUsagePlansRequest) -> Result<UsagePlans, ApiError> {
        let (items, position) = self.read(|tx| {
            let show = |id: &str, plan: UsagePlan| match &input.key_id {
                Some(key) => Ok(tx.exists(&keys::plan_key(id, key))?.then_some(plan)),
                None => Ok(Some(plan)),
            };
            page_below(tx.view(), keys::USAGE_PLANS, input.position.as_deref(), input.limit, show)
        })?;
        Ok(UsagePlans { position, items })
    }

    /// `UpdateUsagePlan`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such plan or stage, [`ApiError::BadRequest`] for a patch that AWS refuses,
    /// [`ApiError::Conflict`] for a stage that one of the plan's keys has another plan for.
    pub fn update_usage_plan(&self, input: UpdateUsagePlanRequest) -> Result<UsagePlan, ApiError> {
        let id = required(&input.usage_plan_id);
        self.transact(|tx| {
            let mut plan = find(tx, id)?;
            let before = plan.clone();
            for operation in input.patch_operations.iter().flatten() {
                usage_plan_patch::apply(tx, &mut plan, operation)?;
            }
            check(&mut plan)?;
            for stage in plan.api_stages.iter().flatten() {
                if before.api_stages.iter().flatten().any(|known| known == stage) {
                    continue;
                }
                check_stage(tx, stage)?;
                if !has_stage(&before, stage) {
                    usage_plan_keys::check_new_stage(tx, id, stage)?;
                }
            }
            tx.put(&keys::usage_plan(id), &plan)?;
            Ok(answer(plan))
        })
    }

    /// `DeleteUsagePlan`. Its keys leave it; its stages have to have left it before.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such plan, [`ApiError::BadRequest`] while it has a stage.
    pub fn delete_usage_plan(&self, input: DeleteUsagePlanRequest) -> Result<(), ApiError> {
        let id = required(&input.usage_plan_id);
        self.transact(|tx| {
            let plan = find(tx, id)?;
            if let Some(stage) = plan.api_stages.iter().flatten().next() {
                return bad_request(format!(
                    "Cannot delete Usage Plan {id} because there are API Stages associated with it, including {}",
                    name_of(stage)
                ));
            }
            for key in usage_plan_keys::keys_of(tx, id)? {
                usage_plan_keys::remove(tx, id, &api_keys::find(tx, &key)?);
            }
            tx.delete(&keys::usage_plan(id));
            Ok(())
        })
    }
}
