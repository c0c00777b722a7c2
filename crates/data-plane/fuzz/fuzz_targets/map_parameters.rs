//! Any mapping expression is refused or parsed, and reads any body: the expression is the first line, the body the rest.

#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use stagedoor_data_plane::plan::mapping::Source;

fuzz_target!(|input: &[u8]| {
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (expression, body) = input.split_at(end);
    let Ok(expression) = std::str::from_utf8(expression) else { return };
    let variables = BTreeMap::from([("host".to_owned(), "example.org".to_owned())]);
    if let Ok(Source::BodyPath(path) | Source::ResponseBodyPath(path)) = Source::parse(expression, &variables)
        && let Ok(document) = serde_json::from_slice(body)
    {
        let _ = path.read(&document);
    }
});
