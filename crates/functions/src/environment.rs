//! The environment of a function's process: what Lambda sets, what the function asks for, and nothing of the gateway's
//! own, which may hold secrets. `HOME` is a private directory, so that an AWS SDK finds no credentials file either.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::config::{FunctionConfig, Runtime};

/// What differs from process to process.
pub(crate) struct Instance<'a> {
    /// Unique per process, as on Lambda.
    pub(crate) log_stream: &'a str,
    /// `host:port` of the Runtime API.
    pub(crate) runtime_api: &'a str,
    /// Where bootstraps and caches live.
    pub(crate) private: &'a Path,
}

/// All variables of a process. Later sources win: Lambda's, then `common` (the gateway's setting for all functions), then
/// the function's own; what the connection to the gateway rests on cannot be replaced.
pub(crate) fn environment(
    config: &FunctionConfig,
    common: &BTreeMap<String, String>,
    instance: &Instance<'_>,
) -> BTreeMap<OsString, OsString> {
    let mut variables = BTreeMap::<OsString, OsString>::new();
    let mut set = |name: &str, value: &dyn AsRef<OsStr>| {
        variables.insert(name.into(), value.as_ref().to_owned());
    };
    let region = config.region();
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    let own: Vec<_> = std::env::split_paths(&path).collect();
    set("PATH", &search_path(config, &["bin"], own));
    set("HOME", &instance.private);
    set("LANG", &"en_US.UTF-8");
    set("TZ", &":UTC");
    set("AWS_REGION", &region);
    set("AWS_DEFAULT_REGION", &region);
    set("AWS_LAMBDA_FUNCTION_NAME", &config.name);
    set("AWS_LAMBDA_FUNCTION_VERSION", &config.version);
    set("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", &config.memory_mb.to_string());
    set("AWS_LAMBDA_INITIALIZATION_TYPE", &"on-demand");
    set("AWS_LAMBDA_LOG_GROUP_NAME", &format!("/aws/lambda/{}", config.name));
    set("AWS_LAMBDA_LOG_STREAM_NAME", &instance.log_stream);
    set("AWS_XRAY_CONTEXT_MISSING", &"LOG_ERROR");
    match config.runtime {
        Runtime::Node(_) => {
            set("AWS_EXECUTION_ENV", &format!("AWS_Lambda_{}", config.runtime));
            let versioned = match config.runtime {
                Runtime::Node(major) => format!("nodejs/node{major}/node_modules"),
                _ => String::new(),
            };
            let places = ["nodejs/node_modules", versioned.as_str()];
            set("NODE_PATH", &search_path(config, &places, vec!["/opt/nodejs/node_modules".into()]));
        }
        Runtime::Python(_) => {
            set("AWS_EXECUTION_ENV", &format!("AWS_Lambda_{}", config.runtime));
            let versioned = match config.runtime {
                Runtime::Python(minor) => format!("python/lib/python3.{minor}/site-packages"),
                _ => String::new(),
            };
            set("PYTHONPATH", &search_path(config, &["python", &versioned], vec!["/opt/python".into()]));
        }
        Runtime::Provided(_) => {}
    }
    if !config.layers.is_empty() {
        set("LD_LIBRARY_PATH", &search_path(config, &["lib"], Vec::new()));
    }
    for (name, value) in common.iter().chain(&config.environment) {
        set(name, value);
    }
    set("_HANDLER", &config.handler);
    set("LAMBDA_TASK_ROOT", &config.code);
    set("LAMBDA_RUNTIME_DIR", &"/var/runtime");
    set("AWS_LAMBDA_RUNTIME_API", &instance.runtime_api);
    variables
}

/// The places inside of layers, the last layer's first, and then the others.
fn search_path(config: &FunctionConfig, places: &[&str], others: Vec<PathBuf>) -> OsString {
    let layers = config.layers.iter().rev();
    let mut all: Vec<PathBuf> =
        layers.flat_map(|layer| places.iter().map(move |place| layer.join(place))).collect();
    all.extend(others);
    // Only a path with a colon cannot be a part of one; nothing of ours has one.
    std::env::join_paths(all).unwrap_or_default()
}
