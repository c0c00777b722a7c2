//! What `UpdateUsagePlan` does to a plan.
//!
//! The limits of single methods have paths of their own, `/apiStages/{api}:{stage}/throttle/{resource}/{method}/…`, in
//! which the resource's path may hold slashes, escaped or not.

use std::collections::BTreeMap;
use std::str::FromStr;

use stagedoor_shapes::apigateway::{
    ApiStage, Op, PatchOperation, QuotaPeriodType, QuotaSettings, ThrottleSettings, UsagePlan,
};

use crate::ApiError;
use crate::control_plane::{bad_request, not_found, required};
use crate::patch::{ADD_OR_REPLACE, ENTRY, MEMBER, Patch, REMOVE, REPLACE, Style, Table, unescape};
use crate::tx::Tx;
use crate::usage_plans;

#[derive(Clone, Copy, Debug)]
enum Field {
    Name,
    Description,
    Stages,
    Quota,
    Throttle,
    ProductCode,
    QuotaLimit,
    QuotaOffset,
    QuotaPeriod,
    RateLimit,
    BurstLimit,
    /// Told apart before the table is asked, which only lists it.
    OfStage,
}

const PATCHES: Table<Field> = Table {
    style: Style::Listing,
    rows: &[
        ("/name", REPLACE, Field::Name),
        ("/description", REPLACE, Field::Description),
        ("/apiStages", MEMBER, Field::Stages),
        ("/quota", REMOVE, Field::Quota),
        ("/throttle", REMOVE, Field::Throttle),
        ("/productCode", ENTRY, Field::ProductCode),
        ("/quota/limit", ADD_OR_REPLACE, Field::QuotaLimit),
        ("/quota/offset", ADD_OR_REPLACE, Field::QuotaOffset),
        ("/quota/period", ADD_OR_REPLACE, Field::QuotaPeriod),
        ("/throttle/rateLimit", ADD_OR_REPLACE, Field::RateLimit),
        ("/throttle/burstLimit", ADD_OR_REPLACE, Field::BurstLimit),
        (
            "/apiStages/<apidId:stageName>/throttle/<resourcePath>/<httpMethod>/rateLimit",
            ADD_OR_REPLACE,
            Field::OfStage,
        ),
        (
            "/apiStages/<apidId:stageName>/throttle/<resourcePath>/<httpMethod>/burstLimit",
            ADD_OR_REPLACE,
            Field::OfStage,
        ),
        ("/apiStages/<apidId:stageName>/throttle/<resourcePath>/<httpMethod>", REMOVE, Field::OfStage),
        ("/apiStages/<apidId:stageName>/throttle", ENTRY, Field::OfStage),
    ],
};

/// Applies one operation. What the plan then is as a whole is checked at the end of all of them.
///
/// # Errors
/// [`ApiError::BadRequest`] or [`ApiError::NotFound`] with AWS's message.
pub(crate) fn apply(tx: &Tx, plan: &mut UsagePlan, operation: &PatchOperation) -> Result<(), ApiError> {
    if let (Some(op), Some(target)) = (operation.op, operation.path.as_deref().and_then(OfStage::parse))
        && target.allows(op)
    {
        return target.apply(plan, op, required(&operation.value));
    }
    for patch in PATCHES.resolve(Some(std::slice::from_ref(operation)))? {
        match patch.field {
            Field::Name => plan.name = patch.text(),
            Field::Description => plan.description = patch.text(),
            Field::ProductCode => plan.product_code = patch.text(),
            Field::Stages => stages(tx, plan, &patch)?,
            Field::Quota => plan.quota = None,
            Field::Throttle => plan.throttle = None,
            Field::QuotaLimit => quota(plan).limit = Some(number(&patch, "quota limit")?),
            Field::QuotaOffset => quota(plan).offset = Some(number(&patch, "quota offset")?),
            Field::QuotaPeriod => {
                let message = "Invalid Usage Plan quota period specified. Must be one of [DAY, WEEK, MONTH]";
                quota(plan).period = Some(patch.one_of::<QuotaPeriodType>(message)?);
            }
            Field::RateLimit => throttle(plan).rate_limit = Some(number(&patch, "throttle rate limit")?),
            Field::BurstLimit => throttle(plan).burst_limit = Some(number(&patch, "throttle burst limit")?),
            Field::OfStage => return bad_request("Invalid API Stage specified"),
        }
    }
    Ok(())
}

fn quota(plan: &mut UsagePlan) -> &mut QuotaSettings {
    plan.quota.get_or_insert_default()
}

fn throttle(plan: &mut UsagePlan) -> &mut ThrottleSettings {
    plan.throttle.get_or_insert_default()
}

fn number<T: FromStr>(patch: &Patch<Field>, what: &str) -> Result<T, ApiError> {
    parse(required(&patch.value), what)
}

fn parse<T: FromStr>(value: &str, what: &str) -> Result<T, ApiError> {
    value
        .parse()
        .map_err(|_| ApiError::BadRequest(format!("Usage Plan {what} must be a non-negative numeric")))
}

/// Adds or removes a stage, named as `{api}:{stage}`. More colons are overlooked, as AWS overlooks them.
fn stages(tx: &Tx, plan: &mut UsagePlan, patch: &Patch<Field>) -> Result<(), ApiError> {
    let mut parts = required(&patch.value).split(':').map(str::to_owned);
    let (Some(api), Some(name)) = (parts.next(), parts.next()) else {
        return bad_request("Invalid API Stage specified");
    };
    let stage = ApiStage { api_id: Some(api), stage: Some(name), throttle: None };
    if patch.op == Op::Remove {
        if !usage_plans::has_stage(plan, &stage) {
            return no_such_stage(plan, &stage);
        }
        plan.api_stages
            .get_or_insert_default()
            .retain(|own| own.api_id != stage.api_id || own.stage != stage.stage);
        return Ok(());
    }
    usage_plans::check_stage(tx, &stage)?;
    if !usage_plans::has_stage(plan, &stage) {
        plan.api_stages.get_or_insert_default().push(stage);
    }
    Ok(())
}

fn no_such_stage<T>(plan: &UsagePlan, stage: &ApiStage) -> Result<T, ApiError> {
    not_found(format!(
        "Invalid API Stage {{api: {}, stage: {}}} specified for usageplan {}",
        required(&stage.api_id),
        required(&stage.stage),
        required(&plan.id)
    ))
}

/// The limits of a stage's methods that a path names.
#[derive(Debug, PartialEq)]
struct OfStage {
    api: String,
    stage: String,
    what: What,
}

#[derive(Debug, PartialEq)]
enum What {
    All,
    Method(String),
    Rate(String),
    Burst(String),
}

impl OfStage {
    fn parse(path: &str) -> Option<Self> {
        let (stage, rest) = path.strip_prefix("/apiStages/")?.split_once("/throttle")?;
        let (api, stage) = stage.split_once(':').filter(|(_, stage)| !stage.contains('/'))?;
        if api.starts_with('<') {
            return None;
        }
        let what = match rest.strip_prefix('/') {
            None if rest.is_empty() => What::All,
            None => return None,
            Some(rest) => match rest.rsplit_once('/')? {
                (method, "rateLimit") => What::Rate(method_key(method)?),
                (method, "burstLimit") => What::Burst(method_key(method)?),
                _ => What::Method(method_key(rest)?),
            },
        };
        Some(Self { api: api.to_owned(), stage: stage.to_owned(), what })
    }

    fn allows(&self, op: Op) -> bool {
        match self.what {
            What::All => matches!(op, Op::Add | Op::Replace | Op::Remove),
            What::Method(_) => op == Op::Remove,
            What::Rate(_) | What::Burst(_) => matches!(op, Op::Add | Op::Replace),
        }
    }

    fn apply(self, plan: &mut UsagePlan, op: Op, value: &str) -> Result<(), ApiError> {
        let wanted = ApiStage { api_id: Some(self.api), stage: Some(self.stage), throttle: None };
        let mut own = plan.api_stages.iter_mut().flatten();
        let own = own.find(|own| own.api_id == wanted.api_id && own.stage == wanted.stage);
        let Some(own) = own else { return no_such_stage(plan, &wanted) };
        let limits = own.throttle.get_or_insert_default();
        match self.what {
            What::All => {
                if op != Op::Add {
                    limits.clear();
                }
                if op != Op::Remove {
                    limits.extend(limits_of(value)?);
                }
            }
            What::Method(method) => drop(limits.remove(&method)),
            What::Rate(method) => {
                limits.entry(method).or_default().rate_limit = Some(parse(value, "throttle rate limit")?);
            }
            What::Burst(method) => {
                limits.entry(method).or_default().burst_limit = Some(parse(value, "throttle burst limit")?);
            }
        }
        if limits.is_empty() {
            own.throttle = None;
        }
        Ok(())
    }
}

/// The limits of several methods, as JSON: `{"/pets/GET": {"rateLimit": 1, "burstLimit": 2}}`.
fn limits_of(value: &str) -> Result<BTreeMap<String, ThrottleSettings>, ApiError> {
    serde_json::from_str(value).or_else(|_| bad_request("Invalid API Stage throttle specified"))
}

/// `{resource path}/{method}` as plans show it: with the slash that a resource's path begins with, whether it was
/// written escaped, as it is, or not at all.
fn method_key(text: &str) -> Option<String> {
    let (path, method) = text.rsplit_once('/')?;
    let path = unescape(path);
    Some(if path.starts_with('/') { format!("{path}/{method}") } else { format!("/{path}/{method}") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_of_methods() {
        let check = |path: &str, expected: Option<What>| {
            assert_eq!(OfStage::parse(path).map(|target| target.what), expected, "{path}");
        };
        check("/apiStages/a:s/throttle", Some(What::All));
        check("/apiStages/a:s/throttle/~1pets~1{id}/GET", Some(What::Method("/pets/{id}/GET".into())));
        check("/apiStages/a:s/throttle//pets/GET/rateLimit", Some(What::Rate("/pets/GET".into())));
        check("/apiStages/a:s/throttle/pets/GET/burstLimit", Some(What::Burst("/pets/GET".into())));
        check("/apiStages/a:s/throttle/~1/GET/burstLimit", Some(What::Burst("//GET".into())));
        check("/apiStages/a:s", None);
        check("/apiStages/a/throttle", None);
        check("/apiStages/<apidId:stageName>/throttle", None);
        check("/apiStages/a:s/throttles", None);
    }

    #[test]
    fn refusals_list_what_aws_lists() {
        let error = PATCHES
            .resolve(Some(&[PatchOperation {
                op: Some(Op::Remove),
                path: Some("/apiStages/a:dev".to_owned()),
                ..PatchOperation::default()
            }]))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "Invalid patch path  '/apiStages/a:dev' specified for op 'remove'. Must be one of: [/apiStages, /quota, \
             /throttle, /productCode, /apiStages/<apidId:stageName>/throttle/<resourcePath>/<httpMethod>, \
             /apiStages/<apidId:stageName>/throttle]"
        );
    }

    proptest! {
        #[test]
        fn any_path_is_read_or_not(path in "(/apiStages/)?[a:/~01<>{}throle]{0,40}") {
            if let Some(target) = OfStage::parse(&path) {
                prop_assert!(!target.stage.contains('/'));
            }
        }
    }
}
