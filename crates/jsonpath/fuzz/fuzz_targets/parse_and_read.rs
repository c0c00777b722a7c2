//! Any text is either refused or read within its limits.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use stagedoor_jsonpath::Path;

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../tests/oracle/document.json")).expect("the document is JSON")
});

fuzz_target!(|source: &str| {
    if let Ok(path) = Path::parse(source) {
        let _ = path.read(&DOCUMENT);
    }
});
