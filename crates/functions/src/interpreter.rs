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

use crate::config::{FunctionConfig, Runtime};
use crate::functions::Shared;

/// The programs behind the files that were asked; none behind one that does not work, which a slow shim would otherwise
/// be asked again with each process.
#[derive(Default)]
pub(crate) struct Interpreters(Mutex<HashMap<PathBuf, Option<PathBuf>>>);

/// Program and arguments of a function's process.
pub(crate) async fn command_line(config: &FunctionConfig, shared: &Shared) -> io::Result<Vec<OsString>> {
    match config.runtime {
        Runtime::Node(major) => {
            let exact = format!("node{major}");
            let node =
                shared.interpreters.find(&[&exact, "node", "nodejs"], &["-p", "process.execPath"]).await;
            let node = node.ok_or_else(|| missing("node", config.runtime))?;
            // Node collects garbage before the memory of the function is used up.
            let heap = format!("--max-old-space-size={}", u64::from(config.memory_mb) * 9 / 10);
            Ok(vec![node.into(), heap.into(), shared.private.join("node.cjs").into()])
        }
        Runtime::Python(minor) => {
            let exact = format!("python3.{minor}");
            let ask = ["-c", "import sys; print(sys.executable)"];
            let python = shared.interpreters.find(&[&exact, "python3"], &ask).await;
            let python = python.ok_or_else(|| missing("python3", config.runtime))?;
            Ok(vec![python.into(), "-X".into(), "utf8".into(), shared.private.join("python.py").into()])
        }
        Runtime::Provided(_) => Ok(vec![config.code.join("bootstrap").into()]),
    }
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
