//! Putting a project in place.

use std::path::{Path, PathBuf};

use stagedoor_control_plane::ControlPlane;
use stagedoor_control_plane::imports::{ImportError, StageDefinition};
use stagedoor_openapi::{Document, Operation, Place};

use crate::Problem;
use crate::project::{Project, ProjectApi};
use crate::stages::StageSpec;

/// What is in place.
#[derive(Clone, Debug, Default)]
pub struct Applied {
    /// The APIs, one a document.
    pub apis: Vec<AppliedApi>,
    /// What was left out, apart from what [`Project::warnings`] says already.
    pub warnings: Vec<Problem>,
}

/// An API that is in place.
#[derive(Clone, Debug)]
pub struct AppliedApi {
    /// Its id, the first part of its host names.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The document it is from.
    pub file: PathBuf,
    /// The names of its stages, in the order of the document.
    pub stages: Vec<String>,
    /// Its methods, in the order of the document.
    pub methods: Vec<AppliedMethod>,
}

/// A method, and how to try it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedMethod {
    /// In capital letters; `ANY` for all.
    pub method: String,
    /// Its path, such as `/users/{userId}`.
    pub path: String,
    /// The path with the document's examples for its variables, such as `/users/ada`.
    pub example_path: String,
    /// A body to send, from the document's examples.
    pub example_body: Option<String>,
    /// `summary`.
    pub summary: Option<String>,
}

impl AppliedMethod {
    /// A command that tries the method. `stage_url` is a stage's address without a slash at its end.
    #[must_use]
    pub fn curl(&self, stage_url: &str) -> String {
        let mut command = "curl".to_owned();
        match (self.method.as_str(), &self.example_body) {
            ("GET" | "ANY", None) | ("POST", Some(_)) => {}
            ("HEAD", None) => command.push_str(" --head"),
            (method, _) => command.push_str(&format!(" -X {method}")),
        }
        if let Some(body) = &self.example_body {
            command.push_str(&format!(
                " -H 'Content-Type: application/json' -d '{}'",
                body.replace('\'', "'\\''")
            ));
        }
        format!("{command} '{stage_url}{}'", self.example_path.replace('\'', "%27"))
    }
}

impl Project {
    /// Puts each API in place, deployed to its stages. An API is replaced in one step; one that cannot be served, or
    /// that comes after one that cannot, stays as it was.
    ///
    /// # Errors
    /// What is wrong with the document that could not be applied.
    pub fn apply(&self, control_plane: &ControlPlane) -> Result<Applied, Vec<Problem>> {
        let mut applied = Applied::default();
        for api in self.apis() {
            let stages: Vec<_> = api.stages.iter().map(definition).collect();
            let deployed = control_plane
                .deploy_document(&api.id, &api.document, &stages)
                .map_err(|error| problems(&api.file, &api.document, &error))?;
            let new = deployed.warnings.iter().filter(|one| !api.document.findings.contains(one));
            applied.warnings.extend(new.map(|finding| Problem::from_finding(&api.file, finding)));
            applied.apis.push(AppliedApi {
                id: api.id.clone(),
                name: api.document.definition.title.clone(),
                file: api.file.clone(),
                stages: api.stages.iter().map(|stage| stage.name.clone()).collect(),
                methods: methods(api),
            });
        }
        Ok(applied)
    }
}

fn definition(stage: &StageSpec) -> StageDefinition {
    StageDefinition {
        name: stage.name.clone(),
        description: stage.description.clone(),
        variables: stage.variables.clone(),
        method_settings: stage.method_settings.clone(),
        tracing_enabled: stage.tracing_enabled,
    }
}

/// An error of the control plane as problems of the document.
fn problems(file: &Path, document: &Document, error: &ImportError) -> Vec<Problem> {
    let mut problems: Vec<Problem> = match error {
        ImportError::NotServable(messages) => {
            messages.iter().map(|message| Problem::from_message(file, document, message)).collect()
        }
        ImportError::Api(error) => vec![Problem::from_message(file, document, &error.to_string())],
        ImportError::Unreadable(_) | ImportError::Refused { .. } | ImportError::Warned(_) => {
            error.findings().iter().map(|finding| Problem::from_finding(file, finding)).collect()
        }
    };
    problems.sort_by_key(|problem| (problem.line, problem.column));
    problems
}

fn methods(api: &ProjectApi) -> Vec<AppliedMethod> {
    let mut methods = Vec::new();
    for item in &api.document.definition.paths {
        for operation in &item.operations {
            methods.push(method(&api.document, &item.path, operation));
        }
    }
    methods
}

fn method(document: &Document, path: &str, operation: &Operation) -> AppliedMethod {
    let place = document.root().find(&operation.at);
    let parameter = |name: &str| place.as_ref().and_then(|place| parameter_example(document, place, name));
    let mut example_path = String::new();
    for part in path.split('/').skip(1) {
        let variable = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
        let filled = variable.map(|name| {
            let name = name.trim_end_matches('+');
            parameter(name).unwrap_or_else(|| name.to_owned())
        });
        example_path.push('/');
        example_path.push_str(filled.as_deref().unwrap_or(part));
    }
    let body = place.as_ref().and_then(|place| {
        let media = place.get("requestBody")?.get("content")?.get("application/json")?;
        media.get("example").or_else(|| media.get("schema")?.get("example"))
    });
    AppliedMethod {
        method: operation.method.clone(),
        path: path.to_owned(),
        example_path,
        example_body: body.map(|place| place.node.to_json().to_string()),
        summary: place.as_ref().and_then(|place| place.get("summary")?.text()),
    }
}

/// The example of a parameter: the method's own, or the path's.
fn parameter_example(document: &Document, operation: &Place<'_>, name: &str) -> Option<String> {
    let parts = operation.path.parts();
    let above = parts.get(..parts.len().saturating_sub(1))?.to_vec();
    let path = document.root().find(&above.into())?;
    let lists = [operation.get("parameters"), path.get("parameters")];
    let mut parameters = lists.into_iter().flatten().flat_map(|list| list.items());
    let found =
        parameters.find(|one| one.get("name").and_then(|name| name.text()).as_deref() == Some(name))?;
    found.get("example").or_else(|| found.get("schema")?.get("example"))?.text()
}
