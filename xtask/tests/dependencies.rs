//! Who may use whom. The layers are a promise of ARCHITECTURE.md, and this test holds it over `cargo metadata`:
//! traffic never depends on the store, the rules never depend on a wire format, and a leaf is useful alone.
//!
//! Development dependencies count too: a test that reaches into another room is a layer crossed all the same. Only
//! leaves may be used by any test, because they bring nothing else of ours along.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail loudly")]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// Useful alone: these use nothing of ours.
const LEAVES: &[&str] = &["jsonpath", "openapi", "policy", "sigv4", "velocity", "websocket"];

/// Each crate, and what it may use beside the leaves.
const ALLOWED: &[(&str, &[&str])] = &[
    ("control-plane", &["shapes"]),
    ("data-plane", &["shapes", "http", "shared-state"]),
    ("functions", &[]),
    ("store", &["control-plane", "shapes"]),
    ("templates", &["control-plane", "shapes"]),
    ("wire", &["control-plane", "shapes"]),
];

/// Leaves in all but name, except that they belong to one side: no leaf may use them.
const ALONE: &[&str] = &["http", "shapes", "shared-state", "xtask"];

/// The binary wires everything together.
const ANYTHING: &str = "stagedoor";

#[test]
fn layers_hold() {
    let mut crossed = Vec::new();
    for (name, used) in internal() {
        let allowed: BTreeSet<&str> = match ALLOWED.iter().find(|(row, _)| *row == name) {
            Some((_, list)) => list.iter().chain(LEAVES).copied().collect(),
            None if name == ANYTHING => continue,
            None if LEAVES.contains(&name.as_str()) || ALONE.contains(&name.as_str()) => BTreeSet::new(),
            None => panic!("{name} has no row here: say which crates it may use"),
        };
        crossed.extend(
            used.iter()
                .filter(|used| !allowed.contains(used.as_str()))
                .map(|used| format!("{name} → {used}")),
        );
    }
    assert!(crossed.is_empty(), "these dependencies cross the layers: {crossed:#?}");
}

#[test]
fn rows_name_crates_that_exist() {
    let crates = internal();
    for name in LEAVES.iter().chain(ALONE).chain(ALLOWED.iter().map(|(name, _)| name)).chain([&ANYTHING]) {
        assert!(crates.contains_key(*name), "{name} is in the table and not in the workspace");
    }
}

#[test]
fn every_outside_dependency_has_its_reason() {
    let path = root().join("docs/dependencies.md");
    let page = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let silent: BTreeSet<String> = dependencies()
        .into_iter()
        .flat_map(|(_, used)| used)
        .filter(|used| !used.inside && !page.contains(&format!("| `{}` |", used.name)))
        .map(|used| used.name)
        .collect();
    assert!(silent.is_empty(), "docs/dependencies.md does not say what these are for: {silent:?}");
}

/// The crates of this workspace and which others of them each uses, without the `stagedoor-` of their names.
/// README's first command is a plain `cargo run`, which refuses to choose between several binaries.
#[test]
fn cargo_run_runs_the_gateway() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let members = metadata["workspace_default_members"].as_array().expect("cargo names the default members");
    assert_eq!(members.len(), 1, "{members:?}");
    assert!(members[0].as_str().is_some_and(|id| id.contains("crates/gateway")), "{members:?}");
}

fn internal() -> BTreeMap<String, BTreeSet<String>> {
    let short = |name: &str| name.trim_start_matches("stagedoor-").to_owned();
    let counts = |used: &Used| used.inside && !(used.dev && LEAVES.contains(&short(&used.name).as_str()));
    dependencies()
        .into_iter()
        .map(|(name, used)| {
            (short(&name), used.iter().filter(|used| counts(used)).map(|used| short(&used.name)).collect())
        })
        .collect()
}

/// One crate's use of another.
struct Used {
    name: String,
    /// Of this workspace.
    inside: bool,
    /// By tests alone.
    dev: bool,
}

/// Each crate's dependencies of every kind.
fn dependencies() -> Vec<(String, Vec<Used>)> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let text = |value: &Value, member: &str| value[member].as_str().unwrap_or_default().to_owned();
    metadata["packages"]
        .as_array()
        .expect("packages")
        .iter()
        .map(|package| {
            let used = package["dependencies"].as_array().expect("dependencies").iter();
            let used = used.map(|used| Used {
                name: text(used, "name"),
                inside: used["path"].is_string(),
                dev: used["kind"] == "dev",
            });
            (text(package, "name"), used.collect())
        })
        .collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
