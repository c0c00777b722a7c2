//! Throttles and quotas, in AWS's order: the client's limit for this method, the client's own, the method's, the
//! account's.
//!
//! A quota that is spent is found first, before a token is taken that others could use; what counts against a quota is
//! a request that every throttle has let through.

use crate::clients::Client;
use crate::exchange::Exchange;
use crate::gateway_response::Fault;
use crate::plan::throttle::Throttle;

/// Takes a token from each bucket, and counts the request.
///
/// # Errors
/// 429: `Limit Exceeded` for a quota, `Too Many Requests` for a throttle.
pub async fn run(exchange: &mut Exchange<'_>) -> Result<(), Fault> {
    let Some(throttle) = exchange.method().and_then(|method| method.throttle.as_ref()) else { return Ok(()) };
    let client = exchange.client.take();
    let outcome = admit(exchange, throttle, client.as_ref()).await;
    exchange.client = client;
    outcome
}

async fn admit(exchange: &Exchange<'_>, throttle: &Throttle, client: Option<&Client>) -> Result<(), Fault> {
    let services = &exchange.worker.services;
    let counters = &*services.counters;
    let now = exchange.received_at;
    let member = client.and_then(|client| client.member(counters));
    if let (Some(client), Some(member)) = (client, member) {
        let plan = &client.plan;
        if plan.quota.as_ref().is_some_and(|quota| member.usage.is_spent(quota, now)) {
            return Err(Fault::quota_exceeded());
        }
        let own = plan.method_limit(&exchange.plan.api_id, &exchange.plan.stage, &throttle.method);
        if let Some(limit) = own {
            let bucket = member.method_bucket(client, &throttle.name, counters);
            pass(bucket.take(limit).get().await)?;
        }
        if let Some(limit) = plan.throttle {
            pass(member.usage.take(limit).get().await)?;
        }
    }
    if let Some(limit) = throttle.limit {
        pass(throttle.bucket(counters).take(limit).get().await)?;
    }
    if let Some(account) = &services.account {
        pass(account.bucket.take(account.limit).get().await)?;
    }
    if let (Some(client), Some(member)) = (client, member)
        && !member.usage.count(client.plan.quota.as_ref(), now).get().await
    {
        return Err(Fault::quota_exceeded());
    }
    Ok(())
}

fn pass(passed: bool) -> Result<(), Fault> {
    if passed { Ok(()) } else { Err(Fault::throttled()) }
}
