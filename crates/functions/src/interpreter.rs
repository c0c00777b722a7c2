//! Which program runs a function.
//!
//! What is found on the PATH may be a shim of a version manager: slow, and not sure to work for a version that is not
//! installed. Each candidate is asked once for the program behind it.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};

use tokio::process::Command;

use crate::config::{FunctionConfig, Runtime, is_executable};
use crate::functions::Shared;
use crate::outcome::InitFailure;
use crate::walls::{OPT, TASK};

/// The programs behind the files that were asked; none behind one that does not work, which a slow shim would otherwise
/// be asked again with each process.
#[derive(Default)]
pub(crate) struct Interpreters(Mutex<HashMap<PathBuf, Option<PathBuf>>>);

/// Program and arguments of a function's process.
///
/// # Errors
/// What is missing.
pub(crate) async fn command_line(
    config: &FunctionConfig,
    shared: &Shared,
) -> Result<Vec<OsString>, InitFailure> {
    let mut line = match config.runtime {
        Runtime::Node(major) => {
            let exact = format!("node{major}");
            let node =
                shared.interpreters.find(&[&exact, "node", "nodejs"], &["-p", "process.execPath"]).await;
            let node = node.ok_or_else(|| missing("node", config.runtime))?;
            // Node collects garbage before the memory of the function is used up.
            let heap = format!("--max-old-space-size={}", u64::from(config.memory_mb) * 9 / 10);
            vec![node.into(), heap.into(), shared.private.join("node.cjs").into()]
        }
        Runtime::Python(minor) => {
            let exact = format!("python3.{minor}");
            let ask = ["-c", "import sys; print(sys.executable)"];
            let python = shared.interpreters.find(&[&exact, "python3"], &ask).await;
            let python = python.ok_or_else(|| missing("python3", config.runtime))?;
            vec![python.into(), "-X".into(), "utf8".into(), shared.private.join("python.py").into()]
        }
        // As on Lambda, a wrapper is for the runtimes that bring a program of their own.
        Runtime::Provided(_) => return Ok(vec![bootstrap(config, shared)?.into()]),
    };
    if let Some(wrapper) = config.environment.get(WRAPPER).filter(|wrapper| !wrapper.is_empty()) {
        line.insert(0, here(wrapper, config, shared).into());
    }
    Ok(line)
}

/// The variable that names a script, which is run with the command line of the runtime as its arguments.
const WRAPPER: &str = "AWS_LAMBDA_EXEC_WRAPPER";

/// A path at AWS as it is here.
fn here(path: &str, config: &FunctionConfig, shared: &Shared) -> PathBuf {
    let below = |root: &str| path.strip_prefix(root).and_then(|rest| rest.strip_prefix('/'));
    if let Some(rest) = below(TASK) {
        return config.code.join(rest);
    }
    match below(OPT) {
        Some(rest) if !shared.walls.has_opt() => {
            in_layers(config, rest).unwrap_or_else(|| PathBuf::from(path))
        }
        _ => PathBuf::from(path),
    }
}

/// A file in the last layer that has it.
fn in_layers(config: &FunctionConfig, inner: &str) -> Option<PathBuf> {
    config.layers.iter().rev().map(|layer| layer.join(inner)).find(|file| file.is_file())
}

/// The executable of a function that brings its own runtime, or has it in a layer.
fn bootstrap(config: &FunctionConfig, shared: &Shared) -> Result<PathBuf, InitFailure> {
    let own = config.code.join("bootstrap");
    let (file, at_aws) = if own.is_file() {
        (own, "/var/task/bootstrap")
    } else if let Some(file) = in_layers(config, "bootstrap") {
        (file, "/opt/bootstrap")
    } else {
        let message = "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]";
        return Err(InitFailure::NoProgram(message.to_owned()));
    };
    if !is_executable(&file) {
        return Err(InitFailure::NoProgram(format!("fork/exec {at_aws}: permission denied")));
    }
    let is_there = at_aws == "/opt/bootstrap" && shared.walls.has_opt();
    Ok(if is_there { PathBuf::from(at_aws) } else { file })
}

fn missing(program: &str, runtime: Runtime) -> io::Error {
    let message =
        format!("{program} is not on the PATH or does not work; install it to run {runtime} functions");
    io::Error::new(io::ErrorKind::NotFound, message)
}

impl Interpreters {
    /// The first of `names` on the PATH that works; `ask` are the arguments that make it print its own path.
    async fn find(&self, names: &[&str], ask: &[&str]) -> Option<PathBuf> {
        for file in on_path(names) {
            let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&file).cloned();
            let program = match known {
                Some(known) => known,
                None => {
                    let found = behind(&file, ask).await;
                    self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(file, found.clone());
                    found
                }
            };
            if program.is_some() {
                return program;
            }
        }
        // Whoever is told that a program is missing may install it, and try again.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, program| program.is_some());
        None
    }
}

fn on_path(names: &[&str]) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs: Vec<_> = std::env::split_paths(&path).filter(|dir| dir.is_absolute()).collect();
    let candidates = names.iter().flat_map(|name| dirs.iter().map(move |dir| dir.join(name)));
    candidates.filter(|file| file.is_file()).collect()
}

async fn behind(file: &Path, ask: &[&str]) -> Option<PathBuf> {
    // Shims are scripts. A real program need not be asked, which would take as long as starting the function.
    let mut start = [0; 2];
    std::io::Read::read_exact(&mut std::fs::File::open(file).ok()?, &mut start).ok()?;
    if start != *b"#!" {
        return Some(file.to_owned());
    }
    let mut command = Command::new(file);
    command.args(ask).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(PathBuf::from(text.trim())).filter(|program| program.is_file())
}
