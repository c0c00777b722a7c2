//! Serves the traffic of deployed APIs.
//!
//! A snapshot and a stage are compiled to a [`plan::Plan`]; the plans being served are swapped as one
//! ([`published::Published`]); a worker finds the plan for a request ([`edge`]) and runs it ([`pipeline`]). Everything
//! on the way of a request belongs to one thread: no lock, no store, no parsing of definitions.

mod accept;
pub mod acme;
pub mod backends;
pub mod cache;
pub mod cache_budget;
pub mod client_certificate;
pub mod clients;
mod connection;
pub mod context;
pub mod document;
pub mod domains;
pub mod edge;
pub mod exchange;
pub mod fast_map;
pub mod forward;
pub mod gateway_response;
mod handshake;
mod http2;
pub mod ids;
mod kept_body;
pub mod lambda;
pub mod listener;
pub mod logs;
pub mod metrics;
pub mod phase;
pub mod phases;
pub mod pipeline;
pub mod plan;
pub mod published;
/// The TLS library, whose settings are a part of what is published.
pub use rustls;
pub mod record;
pub mod roles;
pub mod server_tls;
mod service_request;
mod socket;
pub mod test_invoke;
mod timers;
pub mod tls;
mod untaken;
pub mod upstream;
pub mod vtl;
pub mod websocket;
pub mod worker;
pub mod xray;
