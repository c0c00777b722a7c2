//! Finds the resource and method of a request.

use http::Method;

use crate::exchange::Exchange;
use crate::gateway_response::Fault;
use crate::phase::Phase;
use crate::phases::authorization::decide::{Place, leads_to};
use crate::phases::authorization::iam::no_method;
use crate::plan::{MethodPlan, Route};

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
        if is_misspelt(&exchange.head.method) {
            return Err(Fault::not_found());
        }
        let route = find(exchange).ok_or_else(Fault::not_found)?;
        exchange.route = Some(route);
        return Ok(());
    }
    let mut overrides = exchange.head.headers.get_all("x-http-method-override");
    if let Some(name) = overrides.next() {
        if overrides.next().is_some() || name.contains(&b',') {
            // Of several the backend might believe another one.
            return Err(no_method(exchange));
        }
        let wanted = METHODS.iter().find(|method| method.as_str().as_bytes().eq_ignore_ascii_case(name));
        if let Some(method) = wanted {
            let received = std::mem::replace(&mut exchange.head.method, method.clone());
            exchange.overridden_method = Some(received);
        }
    }
    if !is_served(&exchange.head.method) {
        return Err(no_method(exchange));
    }
    let route = find(exchange).ok_or_else(|| no_method(exchange))?;
    exchange.route = Some(route);
    Ok(())
}

/// The method that serves a request. A path with dot segments leads some backends elsewhere: whatever is asked of callers
/// there has to be asked here, or there is no method. Out of a stage it leads to none: backends may serve another one there.
fn find<'a>(exchange: &Exchange<'a>) -> Option<Route<'a>> {
    let (plan, method) = (exchange.plan, &exchange.head.method);
    let route = plan.route(method, exchange.path())?;
    let elsewhere = match leads_to(exchange.path()) {
        None => return Some(route),
        Some(Place::Outside) => return None,
        Some(Place::At(path)) => plan.route(method, &path),
    };
    elsewhere.is_none_or(|other| asks_as_much(route.method, other.method)).then_some(route)
}

/// Whether a method asks as much of its callers as another.
fn asks_as_much(method: &MethodPlan, other: &MethodPlan) -> bool {
    let wants_key = |method: &MethodPlan| method.phases.contains(&Phase::ApiKey);
    std::ptr::eq(method, other)
        || (method.authorization.asks_as_much(&other.authorization)
            && (wants_key(method) || !wants_key(other)))
}

/// Whether it is one of [`METHODS`] but for its case. Methods have one (RFC 9110, section 9.1), and some backends forget
/// that: such a request would pass routes, and what policies say of the method, and be understood all the same.
fn is_misspelt(method: &Method) -> bool {
    !is_served(method) && METHODS.iter().any(|known| known.as_str().eq_ignore_ascii_case(method.as_str()))
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
