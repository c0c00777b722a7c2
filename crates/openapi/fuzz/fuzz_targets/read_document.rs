//! Any text is either refused, saying where, or read within its limits.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stagedoor_openapi::Document;

fuzz_target!(|source: &str| {
    match Document::read(source) {
        Ok(document) => drop(document.definition),
        Err(findings) => assert!(!findings.is_empty(), "refused without a word"),
    }
});
