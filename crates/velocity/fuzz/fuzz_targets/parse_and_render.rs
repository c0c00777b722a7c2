//! Any text is either refused or rendered within its limits.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stagedoor_velocity::{Context, Limits, Template, Util, Value};

fuzz_target!(|source: &str| {
    let Ok(template) = Template::parse(source) else { return };
    let limits = Limits { output_bytes: 1 << 16, items: 10_000, steps: 50_000, ..Limits::default() };
    let mut context = Context::with_limits(limits);
    context.set("util", Value::object(Util));
    context.set("s", "text");
    context.set("n", 5);
    context.set("list", Value::from_json(&serde_json::json!([1, "a", {"k": [2.5, null]}])));
    let _ = template.render(&mut context);
});
