//! API Gateway's rules, one file per noun, over a transactional store.

mod account;
mod authorizers;
mod control_plane;
pub mod deployed;
mod deployments;
mod documentation;
pub mod error;
mod gateway_responses;
mod ids;
pub mod imports;
mod integration_responses;
mod integrations;
mod keys;
mod mapping;
mod memory;
mod method_responses;
mod methods;
mod model_template;
mod models;
mod page;
mod patch;
mod policy;
mod request_validators;
mod resources;
mod rest_apis;
mod stage_patch;
mod stages;
pub mod store;
mod tags;
mod tree;
mod tx;
mod unsupported;
mod vpc_links;

pub use control_plane::{ControlPlane, DeploymentCheck, NoCheck, Settings};
pub use error::ApiError;
pub use memory::MemoryStore;
