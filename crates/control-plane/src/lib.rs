//! API Gateway's rules, one file per noun, over a transactional store.

mod control_plane;
pub mod deployed;
pub mod error;
mod ids;
pub mod imports;
mod keys;
mod page;
mod patch;
pub mod store;
mod tree;
mod tx;

pub use control_plane::{ControlPlane, DeploymentCheck, NoCheck, Settings};
pub use error::ApiError;
