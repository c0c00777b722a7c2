//! `x-stagedoor-functions`: the Lambda functions that stand beside a document.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use stagedoor_openapi::Place;

use crate::Problem;
use crate::reader::Reader;

/// The extension's name.
pub(crate) const NAME: &str = "x-stagedoor-functions";

/// The members of a function.
const MEMBERS: &[&str] = &["code", "environment", "handler", "memory", "runtime", "timeout"];

/// Which program runs a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// Node.js.
    Node,
    /// Python 3.
    Python,
    /// An executable named `bootstrap` that speaks Lambda's Runtime API.
    Provided,
}

/// A function as a project defines it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionSpec {
    /// Its name in ARNs.
    pub name: String,
    /// What runs it.
    pub runtime: Runtime,
    /// The runtime as it is spelt, such as `nodejs22.x`.
    pub runtime_name: String,
    /// `file.export`, as Lambda has it; empty for an executable.
    pub handler: String,
    /// The directory that the handler is looked for in.
    pub code: PathBuf,
    /// Environment variables.
    pub environment: BTreeMap<String, String>,
    /// How long an invocation may take; whole seconds, 1 to 900.
    pub timeout: Duration,
    /// In megabytes, 128 to 10,240.
    pub memory_mb: u32,
    /// Where its handler is named, for what is found out later; the message is empty.
    pub place: Problem,
}

/// Reads the functions of a document.
pub(crate) fn read(file: &Path, root: &Place<'_>, problems: &mut Vec<Problem>) -> Vec<FunctionSpec> {
    let mut reader = Reader { file, problems };
    let Some(section) = root.get(NAME) else { return Vec::new() };
    reader.object(&section, "the functions");
    section.members().filter_map(|(name, place)| function(&mut reader, name, &place)).collect()
}

/// A function as a file has it, before it is held against what there is.
pub(crate) struct Draft {
    pub(crate) name: String,
    pub(crate) runtime_name: Option<String>,
    pub(crate) handler: String,
    /// The directory of its code, beside the file.
    pub(crate) code: Option<String>,
    pub(crate) environment: BTreeMap<String, String>,
    /// In seconds.
    pub(crate) timeout: Option<i64>,
    pub(crate) memory_mb: Option<i64>,
}

fn function(reader: &mut Reader<'_>, name: &str, place: &Place<'_>) -> Option<FunctionSpec> {
    if !reader.object(place, "a function") {
        return None;
    }
    reader.members(place, "a function", MEMBERS);
    let draft = Draft {
        name: name.to_owned(),
        runtime_name: reader.text(place, "runtime"),
        handler: reader.text(place, "handler").unwrap_or_default(),
        code: reader.text(place, "code"),
        timeout: whole(place, "timeout"),
        memory_mb: whole(place, "memory"),
        environment: reader.texts(place, "environment"),
    };
    finish(reader, draft, &|name| place.get(name).unwrap_or_else(|| place.clone()))
}

/// A member as a whole number. What is none is out of every range.
fn whole(place: &Place<'_>, name: &str) -> Option<i64> {
    let member = place.get(name)?;
    Some(member.text().and_then(|text| text.parse().ok()).unwrap_or(-1))
}

/// Holds a function against what there is. `at` is where its `runtime`, `handler`, `code`, `timeout` and `memory` stand,
/// and for any other name the function itself.
pub(crate) fn finish<'a>(
    reader: &mut Reader<'_>,
    draft: Draft,
    at: &dyn Fn(&str) -> Place<'a>,
) -> Option<FunctionSpec> {
    let plain = |one: char| one.is_ascii_alphanumeric() || one == '-' || one == '_';
    if draft.name.is_empty() || draft.name.len() > 64 || !draft.name.chars().all(plain) {
        reader.problem(&at(""), "a function's name has up to 64 letters, digits, '-' and '_'");
    }
    let mut number = |name: &str, given: Option<i64>, min: u32, max: u32, default: u32| {
        let Some(given) = given else { return default };
        let fits = u32::try_from(given).ok().filter(|value| (min..=max).contains(value));
        fits.unwrap_or_else(|| {
            reader.problem(&at(name), format!("'{name}' must be a whole number from {min} to {max}"));
            default
        })
    };
    let timeout = number("timeout", draft.timeout, 1, 900, 3);
    let memory_mb = number("memory", draft.memory_mb, 128, 10_240, 128);
    let directory = directory(reader.file, draft.code.as_deref().unwrap_or("."));
    let Some(runtime_name) = draft.runtime_name else {
        reader.problem(&at(""), "a function needs a 'runtime': nodejs, python or provided");
        return None;
    };
    let Some(runtime) = find_runtime(&runtime_name) else {
        reader.problem(
            &at("runtime"),
            format!("'{runtime_name}' is not run here; the runtimes are nodejs, python and provided"),
        );
        return None;
    };
    if !directory.is_dir() {
        reader.problem(&at("code"), format!("there is no directory {}", directory.display()));
        return None;
    }
    check_handler(reader, &at("handler"), runtime, &draft.handler, &directory);
    Some(FunctionSpec {
        name: draft.name,
        runtime,
        runtime_name,
        handler: draft.handler,
        code: directory,
        environment: draft.environment,
        timeout: Duration::from_secs(timeout.into()),
        memory_mb,
        place: Problem::at(reader.file, &at("handler"), ""),
    })
}

/// The directory of a function's code, beside its document. A `.` would only be noise in messages.
fn directory(file: &Path, code: &str) -> PathBuf {
    let beside = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if code == "." { beside.to_owned() } else { beside.join(code) }
}

/// Lambda's names with and without a version, also those that Lambda has given up: the version that runs is the one that
/// is installed.
fn find_runtime(name: &str) -> Option<Runtime> {
    const NODE: &[&str] =
        &["", "4.3", "6.10", "8.10", "10.x", "12.x", "14.x", "16.x", "18.x", "20.x", "22.x", "24.x"];
    const PYTHON: &[&str] =
        &["", "3", "2.7", "3.6", "3.7", "3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14"];
    if name.strip_prefix("nodejs").is_some_and(|version| NODE.contains(&version)) {
        Some(Runtime::Node)
    } else if name.strip_prefix("python").is_some_and(|version| PYTHON.contains(&version)) {
        Some(Runtime::Python)
    } else {
        matches!(name, "provided" | "provided.al2" | "provided.al2023").then_some(Runtime::Provided)
    }
}

/// Looks for the file that a handler is in.
fn check_handler(reader: &mut Reader<'_>, at: &Place<'_>, runtime: Runtime, handler: &str, directory: &Path) {
    // Node takes the first dot of the last segment, since exports nest; Python takes the last, since modules do.
    let base_at = handler.rfind('/').map_or(0, |slash| slash + 1);
    let dot = match runtime {
        Runtime::Python => handler.rfind('.').filter(|dot| *dot > base_at),
        _ => handler.get(base_at..).and_then(|base| base.find('.')).map(|dot| base_at + dot),
    };
    let split = dot.and_then(|dot| Some((handler.get(..dot)?, handler.get(dot + 1..)?)));
    let split = split.filter(|(file, export)| file.len() > base_at && !export.is_empty());
    let candidates: Vec<PathBuf> = match (runtime, split) {
        (Runtime::Provided, _) => vec![directory.join("bootstrap")],
        (_, None) => {
            reader.problem(
                at,
                "a 'handler' is a file without its ending, a dot and a function, such as 'users.handler'",
            );
            return;
        }
        (Runtime::Node, Some((file, _))) => {
            let endings = ["mjs", "cjs", "js", "mts", "cts", "ts"];
            let named = endings.iter().map(|ending| directory.join(format!("{file}.{ending}")));
            named.chain([directory.join(file).join("index.js")]).collect()
        }
        (Runtime::Python, Some((module, _))) => {
            let module = module.replace('.', "/");
            vec![directory.join(format!("{module}.py")), directory.join(module).join("__init__.py")]
        }
    };
    if let Some(file) = candidates.iter().find(|file| file.is_file()) {
        if runtime == Runtime::Provided && !is_executable(file) {
            reader.problem(at, format!("{0} is not executable; chmod +x {0}", file.display()));
        }
        return;
    }
    // The usual ones are hint enough.
    let names: Vec<_> = candidates.iter().take(3).map(|file| file.display().to_string()).collect();
    reader.problem(at, format!("the handler's file is not there; it would be {}", names.join(" or ")));
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(file).is_ok_and(|metadata| metadata.permissions().mode() & 0o111 != 0)
}
