//! A directory of code, functions over it, and calls of them.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;
use stagedoor_functions::{
    FunctionConfig, Functions, Invocation, InvocationOutput, InvokeError, Runtime, Settings,
};

pub(crate) struct Bench {
    pub(crate) functions: Functions,
    pub(crate) code: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        Self::with(Settings::default(), files)
    }

    pub(crate) fn with(settings: Settings, files: &[(&str, &str)]) -> Self {
        let code = tempfile::tempdir().unwrap();
        for (name, text) in files {
            write(code.path(), name, text);
        }
        Self { functions: Functions::new(settings).unwrap(), code }
    }

    pub(crate) fn config(&self, name: &str, runtime: &str, handler: &str) -> FunctionConfig {
        let runtime: Runtime = runtime.parse().unwrap();
        FunctionConfig::new(name, runtime, handler, self.code.path())
    }

    pub(crate) fn put(&self, name: &str, runtime: &str, handler: &str) {
        self.functions.put(self.config(name, runtime, handler)).unwrap();
    }

    pub(crate) async fn raw(&self, name: &str, event: &Value) -> Result<InvocationOutput, InvokeError> {
        self.functions.invoke(invocation(name, event)).await
    }

    /// The result of a call that must not fail.
    pub(crate) async fn call(&self, name: &str, event: Value) -> Value {
        let output = self.raw(name, &event).await.unwrap();
        assert_eq!(output.function_error, None, "{}", String::from_utf8_lossy(&output.payload));
        serde_json::from_slice(&output.payload).unwrap()
    }

    /// The error of a call that must fail, and the end of its log.
    pub(crate) async fn failure(&self, name: &str, event: Value) -> (Value, String) {
        let mut call = invocation(name, &event);
        call.log_tail = true;
        call.request_id = Some("r-1".to_owned());
        let output = self.functions.invoke(call).await.unwrap();
        assert_eq!(output.function_error.as_deref(), Some("Unhandled"));
        (serde_json::from_slice(&output.payload).unwrap(), tail(&output))
    }
}

pub(crate) fn tail(output: &InvocationOutput) -> String {
    use base64::Engine;
    let bytes = output.log_tail.as_deref().unwrap_or_default();
    String::from_utf8(base64::engine::general_purpose::STANDARD.decode(bytes).unwrap()).unwrap()
}

pub(crate) fn invocation(name: &str, event: &Value) -> Invocation {
    Invocation { function: name.to_owned(), payload: Bytes::from(event.to_string()), ..Invocation::default() }
}

pub(crate) fn write(dir: &Path, name: &str, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, text).unwrap();
    if name == "bootstrap" {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// Whether a process is there and is no zombie. A zombie's own group may still be dying.
pub(crate) fn alive(pid: u64) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z"))
}

pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(20), "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
