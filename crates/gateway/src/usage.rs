//! What API keys have used: the control plane asks, the counters of traffic answer.

use std::sync::Arc;
use std::time::SystemTime;

use stagedoor_control_plane::usage::UsageMeter;
use stagedoor_data_plane::clients::quota;
use stagedoor_shapes::apigateway::UsagePlan;
use stagedoor_shared_state::{Answer, Counters, Day, Quota};
use time::Date;
use tokio::runtime::Handle;

/// Asks counters on behalf of the control plane, whose calls run on threads that may block.
pub(crate) struct Meter {
    pub(crate) counters: Arc<dyn Counters>,
    pub(crate) runtime: Handle,
}

impl Meter {
    fn wait<T>(&self, answer: Answer<T>) -> T {
        match answer {
            Answer::Now(value) => value,
            Answer::Later(value) => self.runtime.block_on(value),
        }
    }
}

impl UsageMeter for Meter {
    fn days(&self, plan: &UsagePlan, key: &str, first: Date, last: Date) -> Vec<[i64; 2]> {
        let (Some(first), Some(last)) = (Day::of_date(first), Day::of_date(last)) else { return Vec::new() };
        let usage = self.counters.usage(plan.id.as_deref().unwrap_or_default(), key);
        let days = self.wait(usage.days(quota_of(plan).as_ref(), first, last));
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        days.iter().map(|day| [signed(day.used), signed(day.remaining)]).collect()
    }

    fn set_remaining(&self, plan: &UsagePlan, key: &str, remaining: u64) {
        let Some(quota) = quota_of(plan) else { return };
        let usage = self.counters.usage(plan.id.as_deref().unwrap_or_default(), key);
        self.wait(usage.set_remaining(&quota, SystemTime::now(), remaining));
    }
}

fn quota_of(plan: &UsagePlan) -> Option<Quota> {
    plan.quota.as_ref().and_then(quota)
}
