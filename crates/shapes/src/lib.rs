//! AWS's published API Gateway shapes and operations. No logic lives here.
//!
//! [`apigateway`] (REST APIs), [`apigatewayv2`] (HTTP and WebSocket APIs) and [`apigatewaymanagementapi`]
//! (`@connections`) are generated from `models/` by `cargo xtask codegen`. In each of them
//!
//! * a shape is a struct whose members are all optional, because whether a member is required depends on the
//!   direction and is checked against the model by the wire before a struct is made;
//! * serde's names are the wire's, and absent members are not written;
//! * `OPERATIONS` describes every operation: method, path, where members travel, and their constraints.

pub mod apigateway;
pub mod apigatewaymanagementapi;
pub mod apigatewayv2;
mod blob;
mod model;
pub mod snapshot;
mod string_enum;
mod timestamp;

pub use blob::Blob;
pub use model::{Binding, Constraint, Member, Operation, Shape, Structure};
pub use string_enum::UnknownValue;
