//! Which API keys a usage plan holds. A key may be in several plans, but in one at most for each stage.

use std::collections::BTreeSet;

use stagedoor_shapes::apigateway::{
    ApiKey, ApiStage, CreateUsagePlanKeyRequest, DeleteUsagePlanKeyRequest, GetUsagePlanKeyRequest,
    GetUsagePlanKeysRequest, UsagePlan, UsagePlanKey, UsagePlanKeys,
};

use crate::control_plane::{ControlPlane, bad_request, conflict, not_found, required};
use crate::page::page_below;
use crate::tx::Tx;
use crate::{ApiError, api_keys, keys, usage_plans};

/// The one type of keys that there is.
const TYPE: &str = "API_KEY";

/// A key may be in no more plans than this.
const PLANS_MAX: usize = 10;

/// The ids of the plans that hold a key.
pub(crate) fn plans_of(tx: &Tx, key: &str) -> Result<Vec<String>, ApiError> {
    let prefix = keys::key_plans(key);
    Ok(tx.keys(&prefix)?.iter().filter_map(|key| key.strip_prefix(&prefix)).map(str::to_owned).collect())
}

/// The ids of the keys that a plan holds.
pub(crate) fn keys_of(tx: &Tx, plan: &str) -> Result<BTreeSet<String>, ApiError> {
    let prefix = keys::plan_keys(plan);
    Ok(tx.keys(&prefix)?.iter().filter_map(|key| key.strip_prefix(&prefix)).map(str::to_owned).collect())
}

/// Puts a key into a plan.
///
/// # Errors
/// [`ApiError::Conflict`] if it is there, or in another plan for one of the stages; [`ApiError::LimitExceeded`] if it is
/// in too many.
pub(crate) fn add(tx: &Tx, plan: &UsagePlan, key: &ApiKey) -> Result<(), ApiError> {
    let (id, made, key) = (required(&plan.id), key.created_date, required(&key.id));
    let others = plans_of(tx, key)?;
    if others.iter().any(|other| other == id) {
        return conflict(format!("API key {key} is in usage plan {id} already"));
    }
    if others.len() >= PLANS_MAX {
        return Err(ApiError::LimitExceeded(format!("An API key can be in at most {PLANS_MAX} usage plans")));
    }
    for other in others {
        let other = usage_plans::find(tx, &other)?;
        if let Some(stage) = shared_stage(plan, &other) {
            return conflict(two_plans(key, required(&other.id), &stage));
        }
    }
    tx.put(&keys::plan_key_order(id, made, key), &key)?;
    tx.put(&keys::plan_key(id, key), &true)?;
    tx.put(&keys::key_plan(key, id), &true)
}

/// Takes a key out of a plan.
pub(crate) fn remove(tx: &Tx, plan: &str, key: &ApiKey) {
    let (made, key) = (key.created_date, required(&key.id));
    tx.delete(&keys::plan_key_order(plan, made, key));
    tx.delete(&keys::plan_key(plan, key));
    tx.delete(&keys::key_plan(key, plan));
}

/// Refuses a stage for a plan if one of the plan's keys is in another plan of that stage.
///
/// # Errors
/// [`ApiError::Conflict`].
pub(crate) fn check_new_stage(tx: &Tx, plan: &str, stage: &ApiStage) -> Result<(), ApiError> {
    let mine = keys_of(tx, plan)?;
    if mine.is_empty() {
        return Ok(());
    }
    for other in tx.scan::<UsagePlan>(keys::USAGE_PLANS)?.into_values() {
        let id = required(&other.id);
        if id == plan || !usage_plans::has_stage(&other, stage) {
            continue;
        }
        if let Some(key) = keys_of(tx, id)?.iter().find(|key| mine.contains(*key)) {
            return conflict(two_plans(key, id, &usage_plans::name_of(stage)));
        }
    }
    Ok(())
}

fn two_plans(key: &str, plan: &str, stage: &str) -> String {
    format!("API key {key} is in usage plan {plan}, which has API stage {stage} too")
}

fn shared_stage(plan: &UsagePlan, other: &UsagePlan) -> Option<String> {
    let stages = plan.api_stages.iter().flatten();
    stages.filter(|stage| usage_plans::has_stage(other, stage)).map(usage_plans::name_of).next()
}

fn answer(key: ApiKey) -> UsagePlanKey {
    UsagePlanKey { id: key.id, type_: Some(TYPE.to_owned()), value: key.value, name: key.name }
}

impl ControlPlane {
    /// `CreateUsagePlanKey`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown plan or key, [`ApiError::Conflict`] as said for one plan a stage,
    /// [`ApiError::BadRequest`] for another type.
    pub fn create_usage_plan_key(&self, input: CreateUsagePlanKeyRequest) -> Result<UsagePlanKey, ApiError> {
        if required(&input.key_type) != TYPE {
            return bad_request(format!("Invalid key type specified. Must be one of [{TYPE}]"));
        }
        self.transact(|tx| {
            let plan = usage_plans::find(tx, required(&input.usage_plan_id))?;
            let key = api_keys::find(tx, required(&input.key_id))?;
            add(tx, &plan, &key)?;
            Ok(answer(key))
        })
    }

    /// `GetUsagePlanKey`. A key that is in other plans only is answered as if the plan were unknown, as AWS does.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such key, or the plan has it not.
    pub fn get_usage_plan_key(&self, input: GetUsagePlanKeyRequest) -> Result<UsagePlanKey, ApiError> {
        self.read(|tx| member(tx, required(&input.usage_plan_id), required(&input.key_id)).map(answer))
    }

    /// `GetUsagePlanKeys`, the newest first; those whose name starts with `nameQuery` if there is one. An unknown plan has
    /// none, as on AWS.
    ///
    /// # Errors
    /// [`ApiError::BadRequest`] for a position that no page has answered.
    pub fn get_usage_plan_keys(&self, input: GetUsagePlanKeysRequest) -> Result<UsagePlanKeys, ApiError> {
        let plan = required(&input.usage_plan_id);
        let (items, position) = self.read(|tx| {
            let show = |_: &str, id: String| {
                let key = api_keys::find(tx, &id)?;
                let named =
                    input.name_query.as_deref().is_none_or(|query| required(&key.name).starts_with(query));
                Ok(named.then(|| answer(key)))
            };
            page_below(tx.view(), &keys::plan_key_orders(plan), input.position.as_deref(), input.limit, show)
        })?;
        Ok(UsagePlanKeys { position, items })
    }

    /// `DeleteUsagePlanKey`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such key, or the plan has it not.
    pub fn delete_usage_plan_key(&self, input: DeleteUsagePlanKeyRequest) -> Result<(), ApiError> {
        let (plan, key) = (required(&input.usage_plan_id), required(&input.key_id));
        self.transact(|tx| {
            let key = member(tx, plan, key)?;
            remove(tx, plan, &key);
            Ok(())
        })
    }
}

/// A key of a plan.
pub(crate) fn member(tx: &Tx, plan: &str, key: &str) -> Result<ApiKey, ApiError> {
    let found = api_keys::find(tx, key)?;
    if tx.exists(&keys::plan_key(plan, key))? {
        Ok(found)
    } else {
        not_found("Invalid Usage Plan ID specified")
    }
}
