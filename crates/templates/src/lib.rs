//! Project directories: OpenAPI documents with their functions and stages, applied to a control plane.
//!
//! [`Project::load`] reads and checks a project without touching anything. [`Project::apply`] puts it in place, all of
//! it or nothing. Whoever keeps a project applied while it is edited watches [`Project::watched_paths`], loads it again
//! when something changes, and on problems shows them and goes on with what is in place.

mod api_id;
mod api_type;
mod apply;
mod blame;
mod cloudformation;
mod example;
mod functions;
mod problem;
mod project;
mod reader;
mod stages;

pub use api_type::ApiType;
pub use apply::{Applied, AppliedApi, AppliedMethod, AppliedWebSocket};
pub use cloudformation::TemplateApi;
pub use functions::{FunctionSpec, Runtime};
pub use problem::Problem;
pub use project::{DOCUMENT_NAMES, Project, ProjectApi, Surroundings};
pub use stages::StageSpec;
