//! How fast one method of a stage may be called, compiled from the stage's method settings.

use std::fmt;
use std::sync::{Arc, OnceLock};

use stagedoor_shapes::apigateway::MethodSetting;
use stagedoor_shapes::apigatewayv2::RouteSettings;
use stagedoor_shared_state::{Bucket, Counters, Limit};

use crate::metrics::Labels;

/// The limits that AWS fills in where a method setting asks for none: those of an account. They stand for no limit of
/// the method's own.
const UNLIMITED: Limit = Limit { rate: 10_000.0, burst: 5_000 };

/// What the throttle phase of a method knows.
pub struct Throttle {
    /// The method as usage plans name it: `{path}/{method}`, such as `/pets/GET`, `//GET`.
    pub method: Box<str>,
    /// The same with API and stage before it, for the names of buckets.
    pub name: Box<str>,
    /// The stage's limit for the method.
    pub limit: Option<Limit>,
    bucket: OnceLock<Arc<dyn Bucket>>,
}

impl fmt::Debug for Throttle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Throttle").field("name", &self.name).field("limit", &self.limit).finish()
    }
}

impl Throttle {
    /// The throttle of a method: what its stage sets for it, if anything. `None` if nothing throttles it; `has_others`
    /// says that the client or the account may be throttled.
    #[must_use]
    pub fn compile(
        stage: &Labels,
        setting: Option<&MethodSetting>,
        path: &str,
        method: &str,
        has_others: bool,
    ) -> Option<Self> {
        // Each method has a bucket of its own, also where a setting is for all.
        let limit = setting.and_then(|it| limit_of(it.throttling_rate_limit, it.throttling_burst_limit));
        if limit.is_none() && !has_others {
            return None;
        }
        let name = format!("{}/{}{path}/{method}", stage.api_id, stage.stage).into();
        Some(Self { method: format!("{path}/{method}").into(), name, limit, bucket: OnceLock::new() })
    }

    /// The throttle of an HTTP API's route: what its stage sets for it, or else for all routes. Each route has a bucket
    /// of its own.
    #[must_use]
    pub fn of_route(
        stage: &Labels,
        key: &str,
        own: Option<&RouteSettings>,
        all: Option<&RouteSettings>,
        has_others: bool,
    ) -> Option<Self> {
        let settings = || own.into_iter().chain(all);
        let rate = settings().find_map(|settings| settings.throttling_rate_limit);
        let burst = settings().find_map(|settings| settings.throttling_burst_limit);
        let limit = limit_of(rate, burst);
        if limit.is_none() && !has_others {
            return None;
        }
        let name = format!("{}/{}/{key}", stage.api_id, stage.stage).into();
        Some(Self { method: key.into(), name, limit, bucket: OnceLock::new() })
    }

    /// The method's bucket. It goes by name, so that a new deployment goes on with it.
    pub fn bucket(&self, counters: &dyn Counters) -> &Arc<dyn Bucket> {
        self.bucket.get_or_init(|| counters.bucket(&format!("method/{}", self.name)))
    }
}

fn limit_of(rate: Option<f64>, burst: Option<i32>) -> Option<Limit> {
    // -1 stands for no limit of its own.
    let rate = rate.filter(|rate| *rate >= 0.0).unwrap_or(UNLIMITED.rate);
    let burst = burst.and_then(|burst| u32::try_from(burst).ok());
    let burst = burst.unwrap_or(UNLIMITED.burst);
    (rate < UNLIMITED.rate || burst < UNLIMITED.burst).then_some(Limit { rate, burst })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rate: f64, burst: i32, expected: Option<(f64, u32)>) {
        let setting = MethodSetting {
            throttling_rate_limit: Some(rate),
            throttling_burst_limit: Some(burst),
            ..MethodSetting::default()
        };
        let [api_name, api_id, stage] = ["n", "a", "dev"].map(str::to_owned);
        let stage = Labels { api_name, api_id, stage, is_http_api: false, method: None };
        let throttle = Throttle::compile(&stage, Some(&setting), "/pets", "GET", true).unwrap();
        assert_eq!(throttle.limit, expected.map(|(rate, burst)| Limit { rate, burst }), "{rate} {burst}");
        assert_eq!((&*throttle.method, &*throttle.name), ("/pets/GET", "a/dev/pets/GET"));
        let alone = Throttle::compile(&stage, Some(&setting), "/pets", "GET", false);
        assert_eq!(alone.is_some(), expected.is_some());
    }

    #[test]
    fn a_route_takes_what_it_does_not_set_from_all() {
        let settings = |rate: Option<f64>, burst: Option<i32>| RouteSettings {
            throttling_rate_limit: rate,
            throttling_burst_limit: burst,
            ..RouteSettings::default()
        };
        let [api_name, api_id, stage] = ["n", "a", "dev"].map(str::to_owned);
        let stage = Labels { api_name, api_id, stage, is_http_api: false, method: None };
        let check = |own: Option<RouteSettings>, expected: Option<(f64, u32)>| {
            let all = settings(Some(5.0), Some(6));
            let found = Throttle::of_route(&stage, "GET /a", own.as_ref(), Some(&all), false);
            let found = found.and_then(|throttle| throttle.limit);
            assert_eq!(found, expected.map(|(rate, burst)| Limit { rate, burst }));
        };
        check(None, Some((5.0, 6)));
        check(Some(settings(None, None)), Some((5.0, 6)));
        check(Some(settings(Some(1.0), None)), Some((1.0, 6)));
        check(Some(settings(Some(0.0), Some(0))), Some((0.0, 0)));
        check(Some(settings(Some(10_000.0), Some(5_000))), None);
        assert!(Throttle::of_route(&stage, "GET /a", None, None, false).is_none());
        assert!(Throttle::of_route(&stage, "GET /a", None, None, true).is_some());
    }

    #[test]
    fn what_aws_fills_in_is_no_limit() {
        check(0.0, 0, Some((0.0, 0)));
        check(1.5, 2, Some((1.5, 2)));
        check(-1.0, -1, None);
        check(10_000.0, 5_000, None);
        check(-1.0, 7, Some((10_000.0, 7)));
        check(7.0, -1, Some((7.0, 5_000)));
    }
}
