//! Finds the resource and method of a request.

use http::Method;

use crate::exchange::Exchange;
use crate::gateway_response::Fault;
use crate::phases::authorization::iam::no_method;

/// The methods a REST API can have; a request can ask for one of them in a header.
const METHODS: [Method; 7] =
    [Method::DELETE, Method::GET, Method::HEAD, Method::OPTIONS, Method::PATCH, Method::POST, Method::PUT];

/// Applies `X-HTTP-Method-Override`, then looks the method up.
///
/// # Errors
/// AWS answers 403 for a path or method that is not there, never 404 or 405: `Missing Authentication Token`, or what is
/// wrong with a signature.
pub fn run(exchange: &mut Exchange<'_>) -> Result<(), Fault> {
    if exchange.plan.http_api.is_some() {
        let route = exchange.plan.route(&exchange.head.method, exchange.path());
        exchange.route = Some(route.ok_or_else(Fault::not_found)?);
        return Ok(());
    }
    if let Some(name) = exchange.head.headers.get("x-http-method-override") {
        let wanted = METHODS.iter().find(|method| method.as_str().as_bytes().eq_ignore_ascii_case(name));
        if let Some(method) = wanted {
            let received = std::mem::replace(&mut exchange.head.method, method.clone());
            exchange.overridden_method = Some(received);
        }
    }
    if !is_served(&exchange.head.method) {
        return Err(no_method(exchange));
    }
    let route = exchange.plan.route(&exchange.head.method, exchange.path());
    exchange.route = Some(route.ok_or_else(|| no_method(exchange))?);
    Ok(())
}

/// Whether it is one of [`METHODS`], told without comparing names.
fn is_served(method: &Method) -> bool {
    matches!(
        *method,
        Method::DELETE
            | Method::GET
            | Method::HEAD
            | Method::OPTIONS
            | Method::PATCH
            | Method::POST
            | Method::PUT
    )
}
