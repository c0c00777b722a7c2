//! Project chores, run as `cargo xtask TASK`.
//!
//! This crate uses none of the other crates, so that it still builds when a generated file does not.

// Indexing a JSON value by a name that it lacks gives null.
#![allow(clippy::indexing_slicing)]

mod codegen;
mod conformance;
mod models;
mod names;

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

const HELP: &str = "\
usage: cargo xtask TASK

  models DIR            refresh models/ from DIR, the `data` folder of an installed botocore
  codegen [--check]     write crates/shapes/src from models/ (--check: only compare)
  conformance [--check] write docs/conformance.md from models/ and the dispatch table
";

/// Why a task failed, in words for the one who ran it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TaskError {
    #[error("{what} {}: {source}", path.display())]
    Io { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{}: {source}", path.display())]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("{0}")]
    Model(String),
    #[error("rustfmt refused the generated code: {0}")]
    Format(String),
    #[error("out of date: {}\nrun `{remedy}` and commit the result", paths.join(", "))]
    Stale { paths: Vec<String>, remedy: &'static str },
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match args.as_slice() {
        ["models", data] => models::refresh(Path::new(data)),
        ["codegen"] => codegen::run(false),
        ["codegen", "--check"] => codegen::run(true),
        ["conformance"] => conformance::run(false),
        ["conformance", "--check"] => conformance::run(true),
        ["--help" | "-h" | "help"] => {
            print!("{HELP}");
            Ok(())
        }
        _ => {
            eprint!("{HELP}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The top of the checkout, found from this crate so that tasks work from any folder.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, TaskError> {
    std::fs::read(path).map_err(|source| TaskError::Io { what: "cannot read", path: path.to_owned(), source })
}

/// Writes files that differ, or with `check` names them in an error.
pub(crate) fn settle(
    files: &[(PathBuf, String)],
    check: bool,
    remedy: &'static str,
) -> Result<(), TaskError> {
    let mut stale = Vec::new();
    for (path, text) in files {
        if std::fs::read(path).is_ok_and(|old| old == text.as_bytes()) {
            continue;
        }
        if check {
            stale.push(path.strip_prefix(root()).unwrap_or(path).display().to_string());
            continue;
        }
        let io = |source| TaskError::Io { what: "cannot write", path: path.clone(), source };
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(io)?;
        }
        std::fs::write(path, text).map_err(io)?;
    }
    if stale.is_empty() { Ok(()) } else { Err(TaskError::Stale { paths: stale, remedy }) }
}

/// Runs source text through the workspace's rustfmt settings.
pub(crate) fn rustfmt(source: &str) -> Result<String, TaskError> {
    let failed = |error: std::io::Error| TaskError::Format(error.to_string());
    let mut child = Command::new("rustfmt")
        .args(["--edition", "2024", "--emit", "stdout", "--config-path"])
        .arg(root())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let mut stdin = child.stdin.take().ok_or_else(|| TaskError::Format("no pipe to its input".to_owned()))?;
    // rustfmt reads all of its input before it writes, so writing first cannot block both sides.
    stdin.write_all(source.as_bytes()).map_err(failed)?;
    drop(stdin);
    let output = child.wait_with_output().map_err(failed)?;
    if !output.status.success() {
        return Err(TaskError::Format(output.status.to_string()));
    }
    String::from_utf8(output.stdout).map_err(|error| TaskError::Format(error.to_string()))
}
