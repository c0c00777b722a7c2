//! What happens to a request, one step a file.

pub mod api_key;
pub mod authorization;
pub mod caching;
pub mod compression;
pub mod content_encoding;
pub mod content_handling;
pub mod headers;
pub mod http_api;
pub mod integration;
pub mod routing;
pub mod throttle;
pub mod transformation;
pub mod validation;
pub mod websocket;
