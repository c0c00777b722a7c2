//! A project: the documents in a directory, read and checked as far as that goes without a control plane.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use stagedoor_openapi::{Document, Kind};

use crate::api_type::{self, ApiType};
use crate::cloudformation::{self, TemplateApi};
use crate::functions::{self, FunctionSpec};
use crate::stages::{self, StageSpec};
use crate::{Problem, api_id};

/// The names that a document goes by, in the order in which they are looked for.
pub const DOCUMENT_NAMES: &[&str] = &[
    "openapi.yaml",
    "openapi.yml",
    "openapi.json",
    "swagger.yaml",
    "swagger.yml",
    "swagger.json",
    "template.yaml",
    "template.yml",
    "template.json",
];

/// How the names of templates begin: SAM's. In a directory, those that define no WebSocket API are for AWS alone.
const TEMPLATE: &str = "template.";

/// What a project is read in.
pub struct Surroundings<'a> {
    /// Whether a function that the project does not define is there all the same, made with Lambda's own API.
    pub is_known: &'a dyn Fn(&str) -> bool,
    /// The account that ARNs name.
    pub account_id: &'a str,
    /// The region that ARNs name.
    pub region: &'a str,
}

impl Default for Surroundings<'_> {
    fn default() -> Self {
        Self { is_known: &|_| false, account_id: "000000000000", region: "us-east-1" }
    }
}

/// What a document in a project makes: an API in its stages, and functions.
#[derive(Clone, Debug)]
pub struct ProjectApi {
    /// The file.
    pub file: PathBuf,
    /// The API's id, the same each time.
    pub id: String,
    /// Whether it is a REST API or an HTTP API.
    pub api_type: ApiType,
    /// The stages it is deployed to.
    pub stages: Vec<StageSpec>,
    /// What was read.
    pub document: Document,
}

/// A project that has no problems that can be seen from here.
#[derive(Clone, Debug)]
pub struct Project {
    apis: Vec<ProjectApi>,
    templates: Vec<TemplateApi>,
    functions: Vec<FunctionSpec>,
    warnings: Vec<Problem>,
    watched: Vec<PathBuf>,
}

impl Project {
    /// Reads a document, or the documents in a directory (see [`DOCUMENT_NAMES`]), where nobody else defines functions.
    ///
    /// # Errors
    /// As for [`Project::load_with`].
    pub fn load(path: &Path) -> Result<Self, Vec<Problem>> {
        Self::load_with(path, &Surroundings::default())
    }

    /// Reads a document, or the documents in a directory (see [`DOCUMENT_NAMES`]).
    ///
    /// # Errors
    /// Everything that is wrong, so that one look at it is enough: mistakes in the documents, names that nothing
    /// knows, handlers and functions that are not there, two APIs with one id.
    pub fn load_with(path: &Path, surroundings: &Surroundings<'_>) -> Result<Self, Vec<Problem>> {
        let files = find(path).map_err(|problem| vec![problem])?;
        let mut problems = Vec::new();
        let mut project = Self {
            apis: Vec::new(),
            templates: Vec::new(),
            functions: Vec::new(),
            warnings: Vec::new(),
            watched: watched(path, &files),
        };
        let mut calls = Vec::new();
        for file in files {
            match read(&file) {
                Ok(text) if cloudformation::is_template(&text) => {
                    let template = cloudformation::read(&file, &text, surroundings, &mut problems);
                    for function in template.functions {
                        project.add_function(&file, function, &mut problems);
                    }
                    project.templates.extend(template.apis);
                    calls.extend(template.calls);
                }
                Ok(text) => project.add(&file, &text, &mut problems),
                Err(problem) => problems.push(problem),
            }
        }
        project.check_names(&mut problems);
        project.look_for_functions(surroundings.is_known, &mut problems);
        project.look_for_called(&calls, surroundings.is_known, &mut problems);
        // By position, so that the list reads like the text.
        problems.sort_by(|one, other| {
            (&one.file, one.line, one.column).cmp(&(&other.file, other.line, other.column))
        });
        if problems.is_empty() { Ok(project) } else { Err(problems) }
    }

    /// Adds a function of a template. One of a name that a document defines is found by [`Self::check_names`].
    fn add_function(&mut self, file: &Path, function: FunctionSpec, problems: &mut Vec<Problem>) {
        let name = &function.name;
        let is_taken = self.functions.iter().any(|other| other.name == *name);
        if is_taken && !self.apis.iter().any(|api| api.defines(name)) {
            problems.push(Problem::with_file(file, format!("two functions have the name '{name}'")));
        }
        self.watched.push(function.code.clone());
        self.functions.push(function);
    }

    fn add(&mut self, file: &Path, text: &str, problems: &mut Vec<Problem>) {
        let document = match Document::read(text) {
            Ok(document) => document,
            Err(findings) => {
                problems.extend(findings.iter().map(|finding| Problem::from_finding(file, finding)));
                return;
            }
        };
        let api_type = api_type::read(file, &document.root(), problems);
        for finding in &document.findings {
            // What REST APIs leave out is not what HTTP APIs do; their import says it.
            if api_type == ApiType::Http && finding.kind != Kind::UnknownName {
                continue;
            }
            // AWS takes a document with names that nothing knows, which here can only be a mistake: whoever misspells
            // a member wants to hear of it now.
            let list = if finding.kind == Kind::UnknownName { &mut *problems } else { &mut self.warnings };
            list.push(Problem::from_finding(file, finding));
        }
        let root = document.root();
        for (name, place) in root.members() {
            let ours = [functions::NAME, stages::NAME, api_id::NAME, api_type::NAME];
            if name.starts_with("x-stagedoor-") && !ours.contains(&name) {
                let message = format!("Stagedoor has no extension of this name; it has {}", ours.join(", "));
                let mut problem = Problem::at(file, &place, message);
                (problem.line, problem.column) = (place.key_at.line, place.key_at.column);
                problems.push(problem);
            }
        }
        let functions = functions::read(file, &root, problems);
        let stages = stages::read(file, &root, api_type, problems);
        let id = api_id::read(file, &root, &document.definition.title, problems);
        self.watched.extend(functions.iter().map(|function| function.code.clone()));
        self.functions.extend(functions);
        self.apis.push(ProjectApi { file: file.to_owned(), id, api_type, stages, document });
    }

    /// Ids and functions are shared by all documents of a project.
    fn check_names(&self, problems: &mut Vec<Problem>) {
        let mut seen: Vec<&ProjectApi> = Vec::new();
        for api in &self.apis {
            if let Some(first) = seen.iter().find(|one| one.id == api.id) {
                let message = format!(
                    "the API of {} has the id '{}' as well; give one of them another with '{}'",
                    first.file.display(),
                    api.id,
                    api_id::NAME
                );
                problems.push(Problem::with_file(&api.file, message));
            }
            seen.push(api);
        }
        let mut ids: Vec<(&str, &Path)> = self.apis.iter().map(|api| (&*api.id, &*api.file)).collect();
        for api in &self.templates {
            if let Some((_, first)) = ids.iter().find(|(id, _)| *id == api.id) {
                let message = format!(
                    "the API of {} has the id '{}' as well; give one another name",
                    first.display(),
                    api.id
                );
                problems.push(Problem::with_file(&api.file, message));
            }
            ids.push((&api.id, &api.file));
        }
        let mut names = BTreeSet::new();
        for function in &self.functions {
            if !names.insert(&function.name)
                && let Some(api) = self.apis.iter().rev().find(|api| api.defines(&function.name))
            {
                let message = format!("two documents define the function '{}'", function.name);
                problems.push(Problem::with_file(&api.file, message));
            }
        }
    }

    /// A function that an integration calls and nobody defines answers every call with an error. In a project that
    /// defines functions it is a slip of the pen, and refused; one that defines none may wait for its functions to be
    /// made with Lambda's own API, so it is only said.
    fn look_for_functions(&mut self, is_known: &dyn Fn(&str) -> bool, problems: &mut Vec<Problem>) {
        let operations = self.apis.iter().flat_map(|api| {
            let items = api.document.definition.paths.iter().flat_map(|item| &item.operations);
            items.filter_map(move |operation| Some((api, operation.integration.as_ref()?)))
        });
        let defines = |api: &ProjectApi| api.document.root().get(functions::NAME).is_some();
        let refused = self.apis.iter().any(defines);
        let mut found: Vec<Problem> = Vec::new();
        for (api, integration) in operations {
            let Some(name) = integration.uri.as_deref().and_then(function_name) else { continue };
            // A definition with a problem of its own is a definition still.
            let is_defined = self.apis.iter().any(|api| api.defines(name))
                || self.functions.iter().any(|function| function.name == name);
            if is_defined || is_known(name) {
                continue;
            }
            let Some(place) = api.document.root().find(&integration.at.child("uri")) else { continue };
            let meant = closest(name, self.functions.iter().map(|function| function.name.as_str()));
            let meant =
                meant.map(|other| format!("; did you mean '{other}'?")).unwrap_or_else(|| ".".to_owned());
            let message = format!(
                "there is no function '{name}' in this project{meant} Define it in {}",
                functions::NAME
            );
            let problem = Problem::at(&api.file, &place, message);
            // Integrations share their text through YAML's anchors.
            if !found.iter().any(|one| one.file == problem.file && one.message == problem.message) {
                found.push(problem);
            }
        }
        if refused { problems.extend(found) } else { self.warnings.extend(found) }
    }

    /// The same for the functions that a template's integrations and authorizers call.
    fn look_for_called(
        &self,
        calls: &[(String, Problem)],
        is_known: &dyn Fn(&str) -> bool,
        problems: &mut Vec<Problem>,
    ) {
        for (uri, place) in calls {
            let Some(name) = function_name(uri) else { continue };
            if self.functions.iter().any(|function| function.name == name) || is_known(name) {
                continue;
            }
            let message = format!("there is no function '{name}' in this project");
            problems.push(Problem { message, ..place.clone() });
        }
    }

    /// The WebSocket APIs of its templates.
    #[must_use]
    pub fn templates(&self) -> &[TemplateApi] {
        &self.templates
    }

    /// Its APIs, one a document.
    #[must_use]
    pub fn apis(&self) -> &[ProjectApi] {
        &self.apis
    }

    /// Its functions.
    #[must_use]
    pub fn functions(&self) -> &[FunctionSpec] {
        &self.functions
    }

    /// What is in its documents and cannot be applied.
    #[must_use]
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// What to watch for changes: the directory of the documents, and the directories of the functions' code.
    #[must_use]
    pub fn watched_paths(&self) -> &[PathBuf] {
        &self.watched
    }
}

impl ProjectApi {
    fn defines(&self, function: &str) -> bool {
        self.document.root().get(functions::NAME).is_some_and(|section| section.get(function).is_some())
    }
}

/// The name of the function that an integration calls, unless a stage variable is part of it.
fn function_name(uri: &str) -> Option<&str> {
    let (_, after) = uri.rsplit_once(":function:")?;
    let name = after.split([':', '/']).next()?;
    (!name.is_empty() && !name.contains('$')).then_some(name)
}

/// The name that a misspelt one stands for, if one is near enough: a third of its letters may differ.
fn closest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let rated = known.map(|other| (distance(name, other), other));
    rated.filter(|(far, _)| *far <= 1 + name.len() / 3).min_by_key(|(far, _)| *far).map(|(_, other)| other)
}

/// How many letters are to be put in, left out or changed to make one text of another.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut next = vec![i + 1];
        for (pair, b) in row.windows(2).zip(&other) {
            let [above_left, above] = pair else { continue };
            let left = next.last().copied().unwrap_or_default();
            next.push((above_left + usize::from(a != *b)).min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

/// The documents at a path.
fn find(path: &Path) -> Result<Vec<PathBuf>, Problem> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    if !path.is_dir() {
        return Err(Problem::with_file(path, "there is no such file or directory"));
    }
    let files: Vec<_> =
        DOCUMENT_NAMES.iter().map(|name| path.join(name)).filter(|file| file.is_file()).collect();
    let is_ours = |file: &PathBuf| {
        let is_template = file.file_name().is_some_and(|name| name.to_string_lossy().starts_with(TEMPLATE));
        !is_template
            || std::fs::read_to_string(file).is_ok_and(|text| cloudformation::defines_websocket(&text))
    };
    let found = files.len();
    let files: Vec<_> = files.into_iter().filter(is_ours).collect();
    if files.is_empty() && found > 0 {
        let message = "the template here defines no WebSocket API; of templates, nothing else is served";
        return Err(Problem::with_file(path, message));
    }
    if files.is_empty() {
        let message = format!("there is no document here; one is called {}", DOCUMENT_NAMES.join(", "));
        return Err(Problem::with_file(path, message));
    }
    Ok(files)
}

/// A document's directory rather than the document: editors replace files, and a new one is another file.
fn watched(path: &Path, files: &[PathBuf]) -> Vec<PathBuf> {
    if path.is_dir() {
        return vec![path.to_owned()];
    }
    let parent = |file: &PathBuf| match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    files.iter().map(parent).collect()
}

/// The text of a file.
fn read(file: &Path) -> Result<String, Problem> {
    let unread = |error: std::io::Error| Problem::with_file(file, format!("cannot be read: {error}"));
    let bytes = std::fs::read(file).map_err(unread)?;
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(error.as_bytes().get(..good).unwrap_or_default()).into_owned();
        let last = text.rsplit('\n').next().unwrap_or_default();
        Problem {
            line: text.matches('\n').count() + 1,
            column: last.chars().count() + 1,
            ..Problem::with_file(file, "this is no UTF-8")
        }
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn misspelt_names_stand_for_the_nearest() {
        let check = |name: &str, expected: Option<&str>| {
            assert_eq!(super::closest(name, ["users", "orders"].into_iter()), expected, "{name}");
        };
        check("user", Some("users"));
        check("order", Some("orders"));
        check("ordres", Some("orders"));
        check("nosuch", None);
        check("", None);
    }
}
