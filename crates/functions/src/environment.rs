//! The environment of a function's process: what Lambda sets, what the function asks for, and nothing of the gateway's
//! own, which may hold secrets. `HOME` is a private directory, so that an AWS SDK finds no credentials file either.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::config::{FunctionConfig, Runtime};
use crate::walls::OPT;

/// What differs from process to process.
pub(crate) struct Instance<'a> {
    /// Unique per process, as on Lambda.
    pub(crate) log_stream: &'a str,
    /// `host:port` of the Runtime API.
    pub(crate) runtime_api: &'a str,
    /// Where bootstraps and caches live.
    pub(crate) private: &'a Path,
    /// Whether layers are at `/opt`; otherwise each is on the search paths where it is.
    pub(crate) has_opt: bool,
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
    let layers = Layers { dirs: &config.layers, has_opt: instance.has_opt };
    set("PATH", &joined(std::env::split_paths(&path).collect(), layers.places(&["bin"])));
    set("HOME", &instance.private);
    set("LANG", &"en_US.UTF-8");
    set("TZ", &":UTC");
    set("AWS_REGION", &region);
    set("AWS_DEFAULT_REGION", &region);
    set("AWS_LAMBDA_FUNCTION_NAME", &config.name);
    set("AWS_LAMBDA_FUNCTION_VERSION", &config.version);
    set("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", &config.memory_mb.to_string());
    set("AWS_LAMBDA_INITIALIZATION_TYPE", &"on-demand");
    set("AWS_LAMBDA_LOG_GROUP_NAME", &config.log_group());
    set("AWS_LAMBDA_LOG_STREAM_NAME", &instance.log_stream);
    set("AWS_XRAY_CONTEXT_MISSING", &"LOG_ERROR");
    match config.runtime {
        Runtime::Node(_) => {
            set("AWS_EXECUTION_ENV", &format!("AWS_Lambda_{}", config.runtime));
            let versioned = match config.runtime {
                Runtime::Node(major) => format!("nodejs/node{major}/node_modules"),
                _ => String::new(),
            };
            let places = layers.places(&[&versioned, "nodejs/node_modules"]);
            set("NODE_PATH", &joined(places, vec![config.code.clone()]));
        }
        Runtime::Python(_) => {
            set("AWS_EXECUTION_ENV", &format!("AWS_Lambda_{}", config.runtime));
            let versioned = match config.runtime {
                Runtime::Python(minor) => format!("python/lib/python3.{minor}/site-packages"),
                _ => String::new(),
            };
            set("PYTHONPATH", &joined(layers.places(&[&versioned, "python"]), Vec::new()));
        }
        Runtime::Provided(_) => {}
    }
    let own = vec![config.code.clone(), config.code.join("lib")];
    set("LD_LIBRARY_PATH", &joined(own, layers.places(&["lib"])));
    for (name, value) in common.iter().chain(&config.environment) {
        set(name, value);
    }
    set("_HANDLER", &config.handler);
    set("LAMBDA_TASK_ROOT", &config.code);
    set("LAMBDA_RUNTIME_DIR", &"/var/runtime");
    set("AWS_LAMBDA_RUNTIME_API", &instance.runtime_api);
    variables
}

/// Where layers are.
struct Layers<'l> {
    dirs: &'l [PathBuf],
    has_opt: bool,
}

impl Layers<'_> {
    /// The places inside of them, the last layer's first.
    fn places(&self, places: &[&str]) -> Vec<PathBuf> {
        let opt = Path::new(OPT);
        let roots: Vec<&Path> = match self.has_opt {
            true => vec![opt],
            false => self.dirs.iter().rev().map(PathBuf::as_path).collect(),
        };
        roots.into_iter().flat_map(|root| places.iter().map(move |place| root.join(place))).collect()
    }
}

fn joined(first: Vec<PathBuf>, then: Vec<PathBuf>) -> OsString {
    // A path with a colon cannot be a part of one.
    let fits = |path: &PathBuf| !path.as_os_str().as_encoded_bytes().contains(&b':');
    std::env::join_paths(first.into_iter().chain(then).filter(fits)).unwrap_or_default()
}
