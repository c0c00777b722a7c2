//! Who calls, by API key: which key it is, and that a usage plan lets it call this stage.

use crate::clients::Client;
use crate::exchange::Exchange;
use crate::gateway_response::Fault;
use crate::plan::ApiKeySource;

/// Looks the request's key up.
///
/// # Errors
/// 403, the same for a key that is missing, unknown, switched off or in no plan for the stage: nobody learns which keys
/// there are.
pub fn run(exchange: &mut Exchange<'_>) -> Result<(), Fault> {
    let client = find(exchange).ok_or_else(Fault::invalid_api_key)?;
    let identity = exchange.record.identity_mut();
    identity.api_key = Some(client.value().into());
    identity.api_key_id = Some(client.id().into());
    exchange.client = Some(client);
    Ok(())
}

fn find(exchange: &Exchange<'_>) -> Option<Client> {
    let plan = exchange.plan;
    let value = match plan.api_key_source {
        ApiKeySource::Header => {
            let mut values = exchange.head.headers.iter().filter(|header| header.is("x-api-key"));
            let value = std::str::from_utf8(&values.next()?.value).ok()?;
            // Of two keys the backend might believe the other one.
            values.next().is_none().then_some(value)?
        }
        ApiKeySource::Authorizer => exchange.record.authorizer.as_ref()?.usage_identifier_key.as_deref()?,
    };
    exchange.worker.services.clients.load().find(value, &plan.api_id, &plan.stage)
}
