//! Strips AWS's published service models to facts: operations, bindings, shapes and constraints.
//!
//! Descriptions are left out because they are AWS's prose, and shapes that no operation reaches because nothing
//! could use them. Operations and shapes are sorted by name so that a refresh shows only what AWS changed;
//! members keep AWS's order.

use std::{collections::BTreeSet, io::Read as _, path::Path};

use serde_json::{Map, Value};

use crate::{TaskError, read, root, settle};

/// Each service: its folder in botocore's data, and the name of its file in `models/` and module in `shapes`.
pub(crate) const SERVICES: [(&str, &str); 3] = [
    ("apigateway/2015-07-09", "apigateway"),
    ("apigatewayv2/2018-11-29", "apigatewayv2"),
    ("apigatewaymanagementapi/2018-11-29", "apigatewaymanagementapi"),
];

const METADATA: [&str; 4] = ["apiVersion", "serviceId", "serviceFullName", "signingName"];
const SHAPE: [&str; 11] = [
    "type",
    "required",
    "enum",
    "pattern",
    "min",
    "max",
    "payload",
    "timestampFormat",
    "error",
    "key",
    "value",
];
const MEMBER: [&str; 6] = ["shape", "location", "locationName", "jsonvalue", "timestampFormat", "enum"];

pub(crate) fn refresh(data: &Path) -> Result<(), TaskError> {
    let mut files = Vec::new();
    for (folder, name) in SERVICES {
        let model = load(&data.join(folder).join("service-2.json"))?;
        let mut text = serde_json::to_string_pretty(&strip(&model))
            .map_err(|source| TaskError::Json { path: folder.into(), source })?;
        text.push('\n');
        files.push((root().join("models").join(format!("{name}.json")), text));
    }
    settle(&files, false, "cargo xtask models")
}

/// Reads a model from the given path, or gzipped from the same path with `.gz`.
fn load(path: &Path) -> Result<Value, TaskError> {
    let bytes = if path.exists() {
        read(path)?
    } else {
        let packed = path.with_extension("json.gz");
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(read(&packed)?.as_slice())
            .read_to_end(&mut bytes)
            .map_err(|source| TaskError::Io { what: "cannot unpack", path: packed, source })?;
        bytes
    };
    serde_json::from_slice(&bytes).map_err(|source| TaskError::Json { path: path.to_owned(), source })
}

fn strip(model: &Value) -> Value {
    let mut operations: Vec<(&String, &Value)> = entries(model, "operations").collect();
    operations.sort_by_key(|(name, _)| name.as_str());
    let mut reached = BTreeSet::new();
    let mut kept = Map::new();
    for (name, operation) in operations {
        for shape in [&operation["input"], &operation["output"]] {
            reach(model, shape, &mut reached);
        }
        let mut facts = Map::new();
        facts.insert("http".to_owned(), operation["http"].clone());
        for key in ["input", "output"] {
            if let Some(shape) = operation[key]["shape"].as_str() {
                facts.insert(key.to_owned(), shape.into());
            }
        }
        let errors: Vec<Value> = items(&operation["errors"])
            .map(|error| {
                reach(model, error, &mut reached);
                error["shape"].clone()
            })
            .collect();
        facts.insert("errors".to_owned(), errors.into());
        kept.insert(name.clone(), facts.into());
    }
    let shapes: Map<String, Value> =
        reached.into_iter().map(|name| (name.to_owned(), shape(&model["shapes"][name]))).collect();
    let mut out = Map::new();
    out.insert("metadata".to_owned(), pick(&model["metadata"], &METADATA).into());
    out.insert("operations".to_owned(), kept.into());
    out.insert("shapes".to_owned(), shapes.into());
    out.into()
}

/// Adds a shape, and all that its members, keys and values are made of.
fn reach<'a>(model: &'a Value, reference: &'a Value, reached: &mut BTreeSet<&'a str>) {
    let Some(name) = reference["shape"].as_str() else { return };
    if !reached.insert(name) {
        return;
    }
    let shape = &model["shapes"][name];
    for key in ["member", "key", "value"] {
        reach(model, &shape[key], reached);
    }
    for (_, member) in entries(shape, "members") {
        reach(model, member, reached);
    }
}

fn shape(shape: &Value) -> Value {
    let mut facts = pick(shape, &SHAPE);
    for key in ["member", "key", "value"] {
        if shape.get(key).is_some() {
            facts.insert(key.to_owned(), pick(&shape[key], &MEMBER).into());
        }
    }
    if shape.get("members").is_some() {
        let members: Map<String, Value> = entries(shape, "members")
            .map(|(name, member)| (name.clone(), pick(member, &MEMBER).into()))
            .collect();
        facts.insert("members".to_owned(), members.into());
    }
    facts.into()
}

fn pick(from: &Value, keys: &[&str]) -> Map<String, Value> {
    keys.iter().filter_map(|key| Some(((*key).to_owned(), from.get(*key)?.clone()))).collect()
}

/// The members of an object under a key, in the document's order; nothing if it is absent.
pub(crate) fn entries<'a>(
    value: &'a Value,
    key: &str,
) -> impl Iterator<Item = (&'a String, &'a Value)> + use<'a> {
    value.get(key).and_then(Value::as_object).into_iter().flatten()
}

pub(crate) fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keeps_facts_and_drops_prose_and_the_unreached() {
        let model = json!({
            "metadata": {"apiVersion": "1", "uid": "x"},
            "operations": {"B": {"http": {"method": "GET", "requestUri": "/b"}, "errors": [{"shape": "E"}]},
                           "A": {"http": {"method": "GET", "requestUri": "/a"}, "input": {"shape": "In"}}},
            "shapes": {"In": {"type": "structure", "documentation": "prose",
                              "members": {"s": {"shape": "S", "documentation": "prose"}}},
                       "S": {"type": "string", "min": 1}, "E": {"type": "structure", "members": {}},
                       "Unused": {"type": "string"}}
        });
        let expected = json!({
            "metadata": {"apiVersion": "1"},
            "operations": {"A": {"http": {"method": "GET", "requestUri": "/a"}, "input": "In", "errors": []},
                           "B": {"http": {"method": "GET", "requestUri": "/b"}, "errors": ["E"]}},
            "shapes": {"E": {"type": "structure", "members": {}},
                       "In": {"type": "structure", "members": {"s": {"shape": "S"}}},
                       "S": {"type": "string", "min": 1}}
        });
        assert_eq!(strip(&model).to_string(), expected.to_string());
    }
}
