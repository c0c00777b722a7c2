//! What HTTP APIs do with requests and answers around their integrations.

pub mod cors;
pub mod fault;
pub mod parameters;
