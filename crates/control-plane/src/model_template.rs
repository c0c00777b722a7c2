//! A mapping template that renders an example of a model.

use serde_json::{Map, Value};
use stagedoor_shapes::apigateway::Model;

use crate::ApiError;

/// How deep schemas may refer to one another. A model may refer to itself, so there has to be an end.
const DEPTH_MAX: usize = 24;

/// What AWS writes for an array, before and after what one of its items looks like. It leaves to the reader which array
/// of the input is meant.
const LOOP_BEGIN: &str = "[\n##TODO: Update this foreach loop to reference array from input json\n#foreach($elem in \
                          $inputRoot.TODO)\n ";
const LOOP_END: &str = " \n#if($foreach.hasNext),#end\n#end\n]";

/// A schema with the schemas of the models that it refers to in place of the references.
pub(crate) fn flattened(
    schema: &Value,
    lookup: &dyn Fn(&str) -> Result<Option<Model>, ApiError>,
) -> Result<Value, ApiError> {
    flatten(schema, lookup, 0)
}

fn flatten(
    schema: &Value,
    lookup: &dyn Fn(&str) -> Result<Option<Model>, ApiError>,
    depth: usize,
) -> Result<Value, ApiError> {
    if depth > DEPTH_MAX {
        return Ok(Value::Object(Map::new()));
    }
    match schema {
        Value::Object(members) => {
            let target =
                members.get("$ref").and_then(Value::as_str).and_then(|target| target.rsplit_once("/models/"));
            if let Some((_, name)) = target
                && let Some(model) = lookup(name)?
                && let Ok(schema) = serde_json::from_str(model.schema.as_deref().unwrap_or_default())
            {
                return flatten(&schema, lookup, depth + 1);
            }
            let members =
                members.iter().map(|(name, value)| Ok((name.clone(), flatten(value, lookup, depth + 1)?)));
            Ok(Value::Object(members.collect::<Result<_, ApiError>>()?))
        }
        Value::Array(items) => Ok(Value::Array(
            items.iter().map(|item| flatten(item, lookup, depth + 1)).collect::<Result<_, _>>()?,
        )),
        other => Ok(other.clone()),
    }
}

/// The template for a schema.
pub(crate) fn template(schema: &Value) -> String {
    let mut out = "#set($inputRoot = $input.path('$'))\n".to_owned();
    example(schema, 0, &mut out);
    out
}

fn example(schema: &Value, indent: usize, out: &mut String) {
    let kind = match schema.get("type") {
        Some(Value::String(kind)) => kind.as_str(),
        // Of several types the first will do.
        Some(Value::Array(kinds)) => kinds.iter().find_map(Value::as_str).unwrap_or("object"),
        _ if schema.get("items").is_some() => "array",
        _ => "object",
    };
    match kind {
        "string" => out.push_str("\"foo\""),
        "integer" => out.push_str("42"),
        "number" => out.push_str("3.14"),
        "boolean" => out.push_str("true"),
        "null" => out.push_str("null"),
        "array" => {
            let items = schema.get("items").unwrap_or(&Value::Null);
            out.push_str(LOOP_BEGIN);
            example(items, indent, out);
            out.push_str(LOOP_END);
        }
        _ => {
            let pad = "  ".repeat(indent + 1);
            let properties = schema.get("properties").and_then(Value::as_object);
            if properties.is_none_or(Map::is_empty) {
                out.push_str("{ }");
                return;
            }
            out.push_str("{\n");
            let mut first = true;
            for (name, property) in properties.into_iter().flatten() {
                if !first {
                    out.push_str(",\n");
                }
                first = false;
                out.push_str(&format!("{pad}{} : ", Value::String(name.clone())));
                example(property, indent + 1, out);
            }
            if !first {
                out.push('\n');
            }
            out.push_str(&format!("{}}}", "  ".repeat(indent)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(schema: &str, expected: &str) {
        let lookup = |name: &str| {
            let schema = r#"{"type": "array", "items": {"$ref": "https://apigateway.amazonaws.com/restapis/a/models/Self"}}"#;
            Ok((name == "Self").then(|| Model { schema: Some(schema.to_owned()), ..Model::default() }))
        };
        let schema = serde_json::from_str(schema).unwrap();
        let found = template(&flattened(&schema, &lookup).unwrap());
        assert_eq!(found.strip_prefix("#set($inputRoot = $input.path('$'))\n").unwrap(), expected);
    }

    #[test]
    fn templates_render_examples() {
        check(r#"{"type": "object"}"#, "{ }");
        check(
            r#"{"properties": {"id": {"type": "integer"}, "n": {"type": "string"}}}"#,
            "{\n  \"id\" : 42,\n  \"n\" : \"foo\"\n}",
        );
        let list = |item: &str| format!("{LOOP_BEGIN}{item}{LOOP_END}");
        check(r#"{"items": {"type": "boolean"}}"#, &list("true"));
        check(
            r#"{"type": "array", "items": {"properties": {"age": {"type": "integer"}, "height": {"type": "integer"}}}}"#,
            "[\n##TODO: Update this foreach loop to reference array from input json\n#foreach($elem in \
             $inputRoot.TODO)\n {\n  \"age\" : 42,\n  \"height\" : 42\n} \n#if($foreach.hasNext),#end\n#end\n]",
        );
    }

    #[test]
    fn a_model_that_refers_to_itself_has_an_end() {
        let schema = serde_json::json!({"$ref": "https://apigateway.amazonaws.com/restapis/a/models/Self"});
        let model = Model { schema: Some(schema.to_string()), ..Model::default() };
        flattened(&schema, &|_| Ok(Some(model.clone()))).unwrap();
    }
}
