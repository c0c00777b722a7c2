//! Which operations are built, and the method of the control plane that each of them is.
//!
//! `cargo xtask conformance` reads this file: keep one `Operation => method,` on a line. The rest of what it needs
//! to know about an operation is in the model.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use stagedoor_control_plane::{ApiError, ControlPlane};

use crate::{failure::Failure, output::internal, service::Service};

macro_rules! operations {
    ($(#[$meta:meta])* $table:ident, $call:ident { $($operation:ident => $method:ident,)* }) => {
        $(#[$meta])*
        const $table: &[&str] = &[$(stringify!($operation),)*];

        fn $call(plane: &ControlPlane, operation: &str, input: Map<String, Value>) -> Result<Value, Failure> {
            match operation {
                $(stringify!($operation) => run(input, |input| plane.$method(input)),)*
                _ => Err(internal(format!("{operation} is not in the table of operations"))),
            }
        }
    };
}

operations! {
    /// REST APIs.
    REST, call_rest {
    }
}

/// HTTP and WebSocket APIs.
const HTTP: &[&str] = &[];

/// `@connections`.
const CONNECTIONS: &[&str] = &[];

/// Whether an operation is built.
pub(crate) fn is_built(service: Service, operation: &str) -> bool {
    let table = match service {
        Service::Rest => REST,
        Service::Http => HTTP,
        Service::Connections => CONNECTIONS,
    };
    table.contains(&operation)
}

/// Runs an operation.
///
/// # Errors
/// What the control plane answers; or 501 for an operation that is not built.
pub(crate) fn call(
    plane: &ControlPlane,
    service: Service,
    operation: &'static str,
    input: Map<String, Value>,
) -> Result<Value, Failure> {
    match service {
        Service::Rest if is_built(service, operation) => call_rest(plane, operation, input),
        _ => Err(Failure::not_built(service, operation)),
    }
}

/// Members to the shape that the method takes, and the shape that it gives to members.
fn run<I: DeserializeOwned, O: Serialize>(
    input: Map<String, Value>,
    method: impl FnOnce(I) -> Result<O, ApiError>,
) -> Result<Value, Failure> {
    // The types have been checked against the model; what is left is text of a form of its own, as base64.
    let input = serde_json::from_value(Value::Object(input))
        .map_err(|error| Failure::bad_request("SerializationException", error.to_string()))?;
    let output = method(input)?;
    serde_json::to_value(output).map_err(|error| internal(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_an_operation() {
        for (service, table) in
            [(Service::Rest, REST), (Service::Http, HTTP), (Service::Connections, CONNECTIONS)]
        {
            for name in table {
                assert!(service.operations().iter().any(|operation| operation.name == *name), "{name}");
            }
        }
    }
}
