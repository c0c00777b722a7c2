//! API Gateway's rules, one file per noun, over a transactional store.

pub mod error;
pub mod store;

pub use error::ApiError;
