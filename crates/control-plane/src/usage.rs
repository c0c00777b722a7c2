//! What API keys have used of their quotas. It is counted where traffic is; this file only asks, and sets what is left.

use std::collections::BTreeMap;

use stagedoor_shapes::apigateway::{GetUsageRequest, UpdateUsageRequest, Usage, UsagePlan};
use time::macros::format_description;
use time::{Date, OffsetDateTime};

use crate::ApiError;
use crate::control_plane::{ControlPlane, bad_request, not_found, required};
use crate::page::{Page, page_below};
use crate::patch::{REPLACE, Style, Table};
use crate::tx::Tx;
use crate::{keys, usage_plans};

/// The longest span that one call answers, in days.
const SPAN_MAX: i64 = 366;

/// Asks what counts requests.
pub trait UsageMeter: Send + Sync {
    /// Used and left, for each day of a span with both ends, of a key in a plan.
    fn days(&self, plan: &UsagePlan, key: &str, first: Date, last: Date) -> Vec<[i64; 2]>;

    /// Sets what is left of a plan's quota for a key until the period ends. It is kept when this returns.
    fn set_remaining(&self, plan: &UsagePlan, key: &str, remaining: u64);
}

/// A meter where nothing is counted, for tests and tools that serve no traffic.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTraffic;

impl UsageMeter for NoTraffic {
    fn days(&self, plan: &UsagePlan, _: &str, first: Date, last: Date) -> Vec<[i64; 2]> {
        let limit = plan.quota.as_ref().and_then(|quota| quota.limit).unwrap_or_default();
        (0..=(last - first).whole_days()).map(|_| [0, i64::from(limit)]).collect()
    }

    fn set_remaining(&self, _: &UsagePlan, _: &str, _: u64) {}
}

#[derive(Clone, Copy, Debug)]
enum Field {
    Remaining,
}

const PATCHES: Table<Field> =
    Table { style: Style::Listing, rows: &[("/remaining", REPLACE, Field::Remaining)] };

impl ControlPlane {
    /// `GetUsage`: by the ids of keys, used and left for each day of a span, as far as it has come. Of a plan without a
    /// quota nothing is left.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown plan, or a key that it has not, [`ApiError::BadRequest`] for dates that
    /// are none.
    pub fn get_usage(&self, input: GetUsageRequest) -> Result<Usage, ApiError> {
        let plan_id = required(&input.usage_plan_id);
        let (first, last) = (date("startDate", &input.start_date)?, date("endDate", &input.end_date)?);
        if last < first {
            return bad_request("Invalid dates specified: endDate is before startDate");
        }
        if (last - first).whole_days() > SPAN_MAX {
            return bad_request(format!("Invalid dates specified: they are more than {SPAN_MAX} days apart"));
        }
        let today = self.today();
        let meter = &self.settings.usage;
        let days = |plan: &UsagePlan, key: &str| {
            let days = if first > today { Vec::new() } else { meter.days(plan, key, first, last.min(today)) };
            (key.to_owned(), days.into_iter().map(Vec::from).collect())
        };
        let (items, position): Page<(String, Vec<Vec<i64>>)> = self.read(|tx| {
            let plan = usage_plans::find(tx, plan_id)?;
            match &input.key_id {
                Some(key) => {
                    check_member(tx, plan_id, key)?;
                    Ok((Some(vec![days(&plan, key)]), None))
                }
                None => {
                    let show = |key: &str, _: bool| Ok(Some(days(&plan, key)));
                    let prefix = keys::plan_keys(plan_id);
                    page_below(tx.view(), &prefix, input.position.as_deref(), input.limit, show)
                }
            }
        })?;
        Ok(Usage {
            usage_plan_id: input.usage_plan_id,
            start_date: input.start_date,
            end_date: input.end_date,
            position,
            items: Some(items.unwrap_or_default().into_iter().collect()),
        })
    }

    /// `UpdateUsage`: what is left of the quota in its current period.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] for an unknown plan or a key that it has not, [`ApiError::BadRequest`] for a plan without a
    /// quota or what is no number.
    pub fn update_usage(&self, input: UpdateUsageRequest) -> Result<Usage, ApiError> {
        let (plan_id, key) = (required(&input.usage_plan_id), required(&input.key_id));
        let plan = self.read(|tx| {
            let plan = usage_plans::find(tx, plan_id)?;
            check_member(tx, plan_id, key)?;
            Ok(plan)
        })?;
        let mut remaining = None;
        for patch in PATCHES.resolve(input.patch_operations.as_deref())? {
            let Field::Remaining = patch.field;
            let Ok(number) = required(&patch.value).parse::<u32>() else {
                return bad_request("Usage Plan remaining quota must be a non-negative numeric");
            };
            remaining = Some(number);
        }
        if let Some(remaining) = remaining {
            if plan.quota.is_none() {
                return bad_request(format!("Usage Plan {plan_id} has no quota"));
            }
            self.settings.usage.set_remaining(&plan, key, u64::from(remaining));
        }
        let today = self.today();
        let days = self.settings.usage.days(&plan, key, today, today);
        Ok(Usage {
            usage_plan_id: input.usage_plan_id.clone(),
            start_date: Some(today.to_string()),
            end_date: Some(today.to_string()),
            position: None,
            items: Some(BTreeMap::from([(key.to_owned(), days.into_iter().map(Vec::from).collect())])),
        })
    }

    /// Today in UTC, which is where the days of quotas begin.
    fn today(&self) -> Date {
        let now = self.now() as i64;
        OffsetDateTime::from_unix_timestamp(now).unwrap_or(OffsetDateTime::UNIX_EPOCH).date()
    }
}

/// A key that a plan has not is not told from one that is not there.
fn check_member(tx: &Tx, plan: &str, key: &str) -> Result<(), ApiError> {
    if tx.exists(&keys::plan_key(plan, key))? {
        Ok(())
    } else {
        not_found("Invalid Key identifier specified")
    }
}

fn date(name: &str, text: &Option<String>) -> Result<Date, ApiError> {
    let text = required(text);
    let date = Date::parse(text, format_description!("[year]-[month]-[day]")).ok();
    // Nothing was counted before this, and spans stay short.
    date.filter(|date| date.year() >= 1970).ok_or_else(|| {
        ApiError::BadRequest(format!("Invalid {name} specified: {text:?} is no date such as 2026-01-31"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        let check = |text: &str, valid: bool| {
            assert_eq!(date("startDate", &Some(text.to_owned())).is_ok(), valid, "{text}");
        };
        check("2026-01-31", true);
        for text in ["", "2026-02-30", "31-01-2026", "2026-1-1", "1969-12-31", "2026-01-31T00:00:00Z"] {
            check(text, false);
        }
    }
}
