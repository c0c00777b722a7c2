//! Putting a project in place.

use std::path::{Path, PathBuf};

use serde_json::Value;
use stagedoor_control_plane::imports::{ImportError, StageDefinition};
use stagedoor_control_plane::{ControlPlane, HttpStageDefinition};
use stagedoor_openapi::{Document, Operation, ParameterLocation};

use crate::Problem;
use crate::api_type::ApiType;
use crate::example::{Examples, encoded};
use crate::project::{Project, ProjectApi};
use crate::stages::StageSpec;

/// What is in place.
#[derive(Clone, Debug, Default)]
pub struct Applied {
    /// The APIs, one a document.
    pub apis: Vec<AppliedApi>,
    /// The WebSocket APIs of templates.
    pub websockets: Vec<AppliedWebSocket>,
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

/// A WebSocket API that is in place.
#[derive(Clone, Debug)]
pub struct AppliedWebSocket {
    /// Its id, the first part of its host names.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The names of its stages, in the order of the template.
    pub stages: Vec<String>,
    /// The keys of its routes, in the order of the template.
    pub routes: Vec<String>,
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
    /// The query parameters that a request has to have, such as `page=1`; empty if there are none.
    pub example_query: String,
    /// A body to send: the document's example, or the least that its schema asks for.
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
        let question = if self.example_query.is_empty() { "" } else { "?" };
        let path = self.example_path.replace('\'', "%27");
        format!("{command} '{stage_url}{path}{question}{}'", self.example_query)
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
            let warnings = match api.api_type {
                ApiType::Rest => apply_rest(control_plane, api)?,
                ApiType::Http => apply_http(control_plane, api)?,
            };
            applied.warnings.extend(warnings);
            applied.apis.push(AppliedApi {
                id: api.id.clone(),
                name: api.document.definition.title.clone(),
                file: api.file.clone(),
                stages: api.stages.iter().map(|stage| stage.name.clone()).collect(),
                methods: methods(api),
            });
        }
        for api in self.templates() {
            let put = control_plane.v2().put_websocket(&api.definition);
            put.map_err(|refusals| refusals.iter().map(|refusal| api.problem(refusal)).collect::<Vec<_>>())?;
            applied.websockets.push(AppliedWebSocket {
                id: api.id.clone(),
                name: api.name.clone(),
                stages: api.stages(),
                routes: api.route_keys(),
            });
        }
        Ok(applied)
    }
}

fn apply_rest(control_plane: &ControlPlane, api: &ProjectApi) -> Result<Vec<Problem>, Vec<Problem>> {
    let stages: Vec<_> = api.stages.iter().map(definition).collect();
    let deployed = control_plane
        .deploy_document(&api.id, &api.document, &stages)
        .map_err(|error| problems(&api.file, &api.document, &error))?;
    let new = deployed.warnings.iter().filter(|one| !api.document.findings.contains(one));
    Ok(new.map(|finding| Problem::from_finding(&api.file, finding)).collect())
}

fn apply_http(control_plane: &ControlPlane, api: &ProjectApi) -> Result<Vec<Problem>, Vec<Problem>> {
    let stages: Vec<_> = api.stages.iter().map(http_definition).collect();
    let problem = |message: &str| Problem::from_message(&api.file, &api.document, message);
    let deployed = control_plane.v2().deploy_document(&api.id, &api.document.root().node.to_json(), &stages);
    match deployed {
        Ok(warnings) => Ok(warnings.iter().map(|warning| problem(warning)).collect()),
        Err(error) => {
            let text = error.to_string();
            let lines: Vec<&str> =
                text.lines().map(str::trim).filter(|line| !line.ends_with("import:")).collect();
            Err(lines.into_iter().map(problem).collect())
        }
    }
}

fn http_definition(stage: &StageSpec) -> HttpStageDefinition {
    HttpStageDefinition {
        name: stage.name.clone(),
        description: stage.description.clone(),
        variables: stage.variables.clone(),
        default_route_settings: stage.default_route_settings.clone(),
        route_settings: stage.route_settings.clone(),
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
        ImportError::NotServable { problems, warnings } => {
            let problems = problems.iter().map(|message| Problem::from_message(file, document, message));
            problems.chain(warnings.iter().map(|finding| Problem::from_finding(file, finding))).collect()
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
    let examples = Examples::new(api.document.root().node.to_json());
    let mut methods = Vec::new();
    for item in &api.document.definition.paths {
        for operation in &item.operations {
            // What HTTP APIs do with everything else can be tried at the root.
            let rest = api.api_type == ApiType::Http && item.path == "/$default";
            let path = if rest { "/" } else { &item.path };
            methods.push(method(&api.document, &examples, path, operation));
        }
    }
    methods
}

fn method(document: &Document, examples: &Examples, path: &str, operation: &Operation) -> AppliedMethod {
    let place = document.root().find(&operation.at);
    // As the document spells it: `get`, or `x-amazon-apigateway-any-method`.
    let key = operation.at.parts().last().map(String::as_str).unwrap_or_default();
    let parameters = examples.parameters(path, key);
    let word = |parameter: &Value, member: &str| {
        parameter.get(member).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let mut example_path = String::new();
    for part in path.split('/').skip(1) {
        let variable = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
        let filled = variable.map(|name| {
            let name = name.trim_end_matches('+');
            let found = parameters.iter().find(|one| word(one, "in") == "path" && word(one, "name") == name);
            found.and_then(|one| examples.given(one)).unwrap_or_else(|| name.to_owned())
        });
        example_path.push('/');
        example_path.push_str(filled.as_deref().unwrap_or(part));
    }
    let required = operation.parameters.iter().filter(|one| one.required);
    let query: Vec<_> = required
        .filter(|one| one.location == ParameterLocation::Query)
        .filter_map(|one| {
            let found = parameters
                .iter()
                .find(|other| word(other, "in") == "query" && word(other, "name") == one.name)?;
            Some(format!("{}={}", encoded(&one.name), encoded(&examples.made(found))))
        })
        .collect();
    AppliedMethod {
        method: operation.method.clone(),
        path: path.to_owned(),
        example_path,
        example_query: query.join("&"),
        example_body: examples.body(path, key).map(|body| body.to_string()),
        summary: place.as_ref().and_then(|place| place.get("summary")?.text()),
    }
}
