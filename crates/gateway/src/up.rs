//! `up`: a project's definitions applied, printed, and applied again whenever they are edited.
//!
//! A broken edit changes nothing: it is shown with the line it stands in, and what was served goes on being served.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use notify::{RecursiveMode, Watcher};
use stagedoor_control_plane::ControlPlane;
use stagedoor_functions::Functions;
use stagedoor_templates::{ApiType, Applied, FunctionSpec, Problem, Project as Definitions, Surroundings};
use tokio::sync::mpsc;

use crate::config::Config;
use crate::logging::is_coloured;
use crate::publisher::Follow;
use crate::{lambda, report};

/// Editors write a file in several steps; a change is looked at once it has been quiet for so long.
const QUIET: Duration = Duration::from_millis(30);

/// A project on disk, and what was last read from it.
pub(crate) struct Project {
    path: PathBuf,
    config: Arc<Config>,
    definitions: Definitions,
}

/// Reads a project. `before` is what was read last: a function counts as made with Lambda's own API if it is there and
/// not from there.
pub(crate) fn load(
    path: &Path,
    config: &Arc<Config>,
    functions: &Functions,
    before: Option<&Project>,
) -> Result<Project, Vec<Problem>> {
    // The configuration was read and checked at start.
    let endpoints = config.remote_lambda().unwrap_or_default();
    let is_known = |name: &str| {
        if endpoints.iter().any(|endpoint| endpoint.may_know(name)) {
            return true;
        }
        let ours = before
            .is_some_and(|project| project.definitions.functions().iter().any(|spec| spec.name == name));
        !ours && functions.get(name).is_some()
    };
    let surroundings =
        Surroundings { is_known: &is_known, account_id: &config.account_id, region: &config.region };
    let definitions = Definitions::load_with(path, &surroundings)?;
    for warning in definitions.warnings() {
        tracing::warn!("{warning}");
    }
    Ok(Project { path: path.to_owned(), config: Arc::clone(config), definitions })
}

/// Puts a project in place: its functions first, because its APIs call them.
pub(crate) async fn apply(
    project: &Project,
    control_plane: &Arc<ControlPlane>,
    functions: &Functions,
) -> Result<Applied, Vec<Problem>> {
    put_functions(project, functions)?;
    let (definitions, control_plane) = (project.definitions.clone(), Arc::clone(control_plane));
    let applying = tokio::task::spawn_blocking(move || definitions.apply(&control_plane));
    let applied =
        applying.await.unwrap_or_else(|error| Err(vec![problem(&project.path, error.to_string())]))?;
    for warning in &applied.warnings {
        tracing::warn!("{warning}");
    }
    Ok(applied)
}

fn put_functions(project: &Project, functions: &Functions) -> Result<(), Vec<Problem>> {
    let put = |spec: &FunctionSpec| {
        let put = lambda::put(functions, spec, &project.config);
        put.map_err(|message| problem(&project.path, format!("function {}: {message}", spec.name))).err()
    };
    let problems: Vec<_> = project.definitions.functions().iter().filter_map(put).collect();
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// Finds out whether functions that an edit changes start: what serves is not replaced by what does not.
async fn try_functions(project: &Project, functions: &Functions) -> Result<(), Vec<Problem>> {
    let mut problems = Vec::new();
    for spec in project.definitions.functions() {
        if let Err(why) = lambda::try_out(functions, spec, &project.config).await {
            let message = format!("the function {} does not start: {why}", spec.name);
            problems.push(Problem { message, ..spec.place.clone() });
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

fn problem(path: &Path, message: String) -> Problem {
    Problem { file: path.to_owned(), line: 0, column: 0, path: String::new(), message }
}

/// Prints where each method answers, with a line to try it.
pub(crate) fn print(applied: &Applied, traffic: SocketAddr) {
    let (bold, dim, plain) =
        if is_coloured(&std::io::stdout()) { ("\x1b[1m", "\x1b[2m", "\x1b[0m") } else { ("", "", "") };
    for api in &applied.apis {
        println!("\n{bold}{}{plain}", api.name);
        for stage in &api.stages {
            let mut base = format!("http://{}.execute-api.localhost:{}", api.id, traffic.port());
            if stage != "$default" {
                base.push('/');
                base.push_str(stage);
            }
            println!("\n  {bold}{stage}{plain}");
            for method in &api.methods {
                let summary = method.summary.as_deref().map(|text| format!("  {text}")).unwrap_or_default();
                println!("    {bold}{:<7}{plain} {base}{}{dim}{summary}{plain}", method.method, method.path);
                println!("            {}", method.curl(&base));
            }
        }
    }
    for api in &applied.websockets {
        println!("\n{bold}{}{plain}", api.name);
        for stage in &api.stages {
            let url = format!("ws://{}.execute-api.localhost:{}/{stage}", api.id, traffic.port());
            println!("\n  {bold}{stage}{plain}\n    {bold}{:<7}{plain} {url}", "CONNECT");
            println!("            {dim}routes: {}{plain}", api.routes.join(", "));
            println!("            npx wscat -c '{url}'");
        }
    }
    println!();
}

/// Applies a project again whenever one of its documents changes. Functions watch their own code.
pub(crate) async fn watch(
    mut project: Project,
    control_plane: Arc<ControlPlane>,
    functions: Functions,
    mut follow: Follow,
) {
    let (changed, mut changes) = mpsc::unbounded_channel();
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading a file is an event too, and not one to react to.
        if event.is_ok_and(|event| !event.kind.is_access()) {
            let _ = changed.send(());
        }
    });
    let mut watcher = match watcher {
        Ok(watcher) => watcher,
        Err(error) => return tracing::error!(%error, "edits cannot be watched for; restart to apply them"),
    };
    let mut watched: Vec<PathBuf> = Vec::new();
    let mut seen = contents(&project.path);
    loop {
        for path in project.definitions.watched_paths() {
            if !watched.contains(path) {
                match watcher.watch(path, RecursiveMode::NonRecursive) {
                    Ok(()) => watched.push(path.clone()),
                    Err(error) => {
                        tracing::error!(%error, path = %path.display(), "edits here cannot be watched for")
                    }
                }
            }
        }
        if changes.recv().await.is_none() {
            return;
        }
        while let Ok(Some(())) = tokio::time::timeout(QUIET, changes.recv()).await {}
        let now = contents(&project.path);
        if now == seen {
            continue;
        }
        seen = now;
        let started = Instant::now();
        let next = match load(&project.path, &project.config, &functions, Some(&project)) {
            Ok(next) => next,
            Err(problems) => {
                refuse(&problems);
                continue;
            }
        };
        if let Err(problems) = try_functions(&next, &functions).await {
            refuse(&problems);
            continue;
        }
        match apply(&next, &control_plane, &functions).await {
            Ok(_) => {
                follow.caught_up().await;
                remove_functions(&project, &next, &functions);
                name_apis_that_stay(&project, &next);
                project = next;
                tracing::info!("applied the edited definitions in {} ms", started.elapsed().as_millis());
            }
            Err(problems) => {
                refuse(&problems);
                // The functions that belong to the last good definitions come back with them.
                if let Err(problems) = put_functions(&project, &functions) {
                    report::problems(&problems);
                }
            }
        }
    }
}

fn refuse(problems: &[Problem]) {
    report::problems(problems);
    tracing::error!("the edited definitions were not applied; the last good ones keep serving");
}

fn remove_functions(before: &Project, now: &Project, functions: &Functions) {
    let kept = now.definitions.functions();
    for gone in
        before.definitions.functions().iter().filter(|old| kept.iter().all(|new| new.name != old.name))
    {
        functions.remove(&gone.name, None);
    }
}

/// An API whose document is gone may hold what others made in it, so it is not deleted behind their backs.
fn name_apis_that_stay(before: &Project, now: &Project) {
    let command_of = |api_type| match api_type {
        ApiType::Rest => "apigateway delete-rest-api --rest-api-id",
        ApiType::Http => "apigatewayv2 delete-api --api-id",
    };
    let all = |project: &Project| {
        let documents =
            project.definitions.apis().iter().map(|api| (api.id.clone(), command_of(api.api_type)));
        let templates = project.definitions.templates().iter();
        let templates = templates.map(|api| (api.id.clone(), command_of(ApiType::Http)));
        documents.chain(templates).collect::<Vec<_>>()
    };
    let kept = all(now);
    for (id, command) in all(before).iter().filter(|(old, _)| kept.iter().all(|(new, _)| new != old)) {
        tracing::warn!("the API {id} is defined no more and still served; to delete it: aws {command} {id}");
    }
}

/// What is in the documents, to tell an edit from other things that happen in a directory.
fn contents(path: &Path) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    let files = if path.is_dir() {
        stagedoor_templates::DOCUMENT_NAMES.iter().map(|name| path.join(name)).collect()
    } else {
        vec![path.to_owned()]
    };
    files.into_iter().map(|file| (file.clone(), std::fs::read(file).ok())).collect()
}
