//! `AWS::Serverless::Function` and `AWS::Lambda::Function`: functions whose code lies beside the template.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use stagedoor_openapi::Place;

use super::properties::{self, LAMBDA, SERVERLESS};
use super::resolve::{Resolver, as_text};
use super::{Kind, Template};
use crate::functions::{self, Draft};
use crate::reader::Reader;

/// Reads the functions of a template.
pub(super) fn read<'a>(resolver: &Resolver<'a>, root: &Place<'a>, template: &mut Template) {
    let globals = globals(resolver, root);
    for resource in resolver.of_kind(&[Kind::Serverless, Kind::Lambda]) {
        let is_serverless = resource.kind == Kind::Serverless;
        let (what, table, code) = match is_serverless {
            true => ("AWS::Serverless::Function", SERVERLESS, "CodeUri"),
            false => ("AWS::Lambda::Function", LAMBDA, "Code"),
        };
        let place = resource.properties.clone().unwrap_or_else(|| resource.place.clone());
        let own = match &resource.properties {
            Some(properties) => properties::read(resolver, properties, what, table),
            None => Map::new(),
        };
        let Some(name) = resolver.physical(resource) else { continue };
        let property = |name: &str| {
            let shared = is_serverless.then(|| globals.get(name)).flatten();
            own.get(name).or(shared).cloned()
        };
        let text = |name: &str| property(name).as_ref().and_then(as_text);
        let mut environment = BTreeMap::new();
        let shared = globals.get("environment").filter(|_| is_serverless);
        for variables in shared.into_iter().chain(own.get("environment")) {
            for (name, value) in variables.get("variables").and_then(Value::as_object).into_iter().flatten() {
                environment.insert(name.clone(), as_text(value).unwrap_or_default());
            }
        }
        let draft = Draft {
            name,
            runtime_name: text("runtime"),
            handler: text("handler").unwrap_or_default(),
            code: text(if is_serverless { "codeUri" } else { "code" }),
            environment,
            timeout: number(property("timeout")),
            memory_mb: number(property("memorySize")),
        };
        let at = |name: &str| {
            let name = match name {
                "runtime" => "Runtime",
                "handler" => "Handler",
                "timeout" => "Timeout",
                "memory" => "MemorySize",
                "code" => code,
                _ => return place.clone(),
            };
            place.get(name).unwrap_or_else(|| place.clone())
        };
        let mut problems = resolver.problems().borrow_mut();
        let mut reader = Reader { file: resolver.file(), problems: &mut problems };
        template.functions.extend(functions::finish(&mut reader, draft, &at));
    }
}

/// What all functions of a SAM template share.
fn globals<'a>(resolver: &Resolver<'a>, root: &Place<'a>) -> Map<String, Value> {
    let Some(section) = root.get("Globals") else { return Map::new() };
    for (name, member) in section.members() {
        if name != "Function" {
            resolver.problem(&member, "of Globals, only Function is read here");
        }
    }
    match section.get("Function") {
        Some(shared) => properties::read(resolver, &shared, "Globals.Function", SERVERLESS),
        None => Map::new(),
    }
}

/// What is no whole number is out of any range.
fn number(value: Option<Value>) -> Option<i64> {
    value.map(|value| value.as_i64().unwrap_or(-1))
}
