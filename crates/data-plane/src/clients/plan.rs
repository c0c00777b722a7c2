//! A usage plan, compiled: its stages and limits by what a request knows.

use std::collections::HashMap;

use stagedoor_shapes::apigateway::{self as shapes, QuotaPeriodType};
use stagedoor_shared_state::{Limit, Period, Quota};

/// A usage plan.
#[derive(Debug)]
pub struct UsagePlan {
    /// Its id.
    pub id: Box<str>,
    /// How fast each of its keys may call, all stages together.
    pub throttle: Option<Limit>,
    /// How often each of its keys may call.
    pub quota: Option<Quota>,
    /// The limits of its stages' methods, by API and stage. A method is `{path}/{method}`.
    stages: HashMap<Box<str>, Vec<(Box<str>, MethodLimits)>>,
}

type MethodLimits = HashMap<Box<str>, Limit>;

impl UsagePlan {
    /// Compiles a plan.
    #[must_use]
    pub fn compile(plan: &shapes::UsagePlan) -> Self {
        let mut stages = HashMap::<Box<str>, Vec<_>>::new();
        for stage in plan.api_stages.iter().flatten() {
            let (Some(api), Some(name)) = (stage.api_id.as_deref(), stage.stage.as_deref()) else { continue };
            let methods = stage
                .throttle
                .iter()
                .flatten()
                .map(|(method, throttle)| (method.as_str().into(), limit(throttle)));
            stages.entry(api.into()).or_default().push((name.into(), methods.collect()));
        }
        Self {
            id: plan.id.as_deref().unwrap_or_default().into(),
            throttle: plan.throttle.as_ref().map(limit),
            quota: plan.quota.as_ref().and_then(quota),
            stages,
        }
    }

    /// Whether it has a stage.
    #[must_use]
    pub fn has_stage(&self, api: &str, stage: &str) -> bool {
        self.methods(api, stage).is_some()
    }

    /// How fast each of its keys may call a method of a stage.
    #[must_use]
    pub fn method_limit(&self, api: &str, stage: &str, method: &str) -> Option<Limit> {
        let methods = self.methods(api, stage).filter(|methods| !methods.is_empty())?;
        methods.get(method).copied()
    }

    fn methods(&self, api: &str, stage: &str) -> Option<&MethodLimits> {
        let stages = self.stages.get(api)?;
        stages.iter().find(|(name, _)| &**name == stage).map(|(_, methods)| methods)
    }
}

fn limit(throttle: &shapes::ThrottleSettings) -> Limit {
    Limit {
        rate: throttle.rate_limit.unwrap_or_default(),
        burst: u32::try_from(throttle.burst_limit.unwrap_or_default()).unwrap_or(0),
    }
}

/// A plan's quota; `None` for one that cannot be, which the control plane does not let through.
#[must_use]
pub fn quota(quota: &shapes::QuotaSettings) -> Option<Quota> {
    Some(Quota {
        limit: u64::try_from(quota.limit?).ok()?,
        period: match quota.period? {
            QuotaPeriodType::Day => Period::Day,
            QuotaPeriodType::Week => Period::Week,
            QuotaPeriodType::Month => Period::Month,
        },
        offset: u8::try_from(quota.offset.unwrap_or_default()).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_found_by_method() {
        let plan = UsagePlan::compile(
            &serde_json::from_value(serde_json::json!({
                "id": "p", "throttle": {"rateLimit": 1.5, "burstLimit": 2},
                "quota": {"limit": 5, "offset": 1, "period": "WEEK"},
                "apiStages": [{"apiId": "a", "stage": "dev", "throttle": {"/x/GET": {"rateLimit": 3.0}}}],
            }))
            .unwrap(),
        );
        assert_eq!(plan.throttle, Some(Limit { rate: 1.5, burst: 2 }));
        assert_eq!(plan.quota, Some(Quota { limit: 5, period: Period::Week, offset: 1 }));
        assert_eq!(plan.method_limit("a", "dev", "/x/GET"), Some(Limit { rate: 3.0, burst: 0 }));
        assert_eq!(plan.method_limit("a", "dev", "/y/GET"), None);
        assert!(plan.has_stage("a", "dev") && !plan.has_stage("a", "prod") && !plan.has_stage("b", "dev"));
    }
}
