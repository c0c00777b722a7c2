//! Schemas as JSON Schema draft 4, the form that API Gateway's models have.
//!
//! References to models stay references, spelt the same for both dialects. Other references into the document are
//! replaced by what they point to. Keywords that are none of draft 4's (`example`, `nullable`) stay: whoever makes models
//! of the schemas refuses them, as AWS does. Vendors' own members (`x-`) are left out.

use serde_json::{Map, Value as Json};

use crate::limits::{DEPTH_MAX, NODES_MAX};
use crate::node::Value;
use crate::place::Place;
use crate::read::Reader;
use crate::{Kind, SchemaUse, references};

/// How a reference to a model is spelt in a definition's schemas: this, and the model's name.
pub const MODEL_REFERENCE: &str = "#/models/";

/// Keywords whose value is a schema, or a list of them. The value of a keyword that is in neither list is data.
const SCHEMAS: &[&str] =
    &["additionalItems", "additionalProperties", "allOf", "anyOf", "items", "not", "oneOf"];

/// Keywords whose value maps names to schemas.
const NAMED: &[&str] = &["properties", "patternProperties", "definitions", "dependencies"];

impl<'a> Reader<'a> {
    /// The schema at a place where one is used.
    pub(crate) fn schema_use(&mut self, place: &Place<'a>) -> SchemaUse {
        match references::reference(place).and_then(|target| self.model_name(&target)) {
            Some(name) => SchemaUse::Model(name),
            None => SchemaUse::Inline(self.schema(place)),
        }
    }

    /// A schema as JSON.
    pub(crate) fn schema(&mut self, place: &Place<'a>) -> Json {
        self.convert(place, &mut Vec::new(), 0)
    }

    /// The name of the model that a reference points to.
    fn model_name(&self, target: &str) -> Option<String> {
        let name = target.strip_prefix(self.models_prefix())?.replace("~1", "/").replace("~0", "~");
        self.has_model(&name).then_some(name)
    }

    fn convert(&mut self, place: &Place<'a>, trail: &mut Vec<String>, depth: usize) -> Json {
        self.values += 1;
        if self.values > NODES_MAX || depth > DEPTH_MAX {
            self.too_much(place);
            return Json::Null;
        }
        if let Some(target) = references::reference(place) {
            if let Some(name) = self.model_name(&target) {
                return serde_json::json!({ "$ref": format!("{MODEL_REFERENCE}{name}") });
            }
            return self.inlined(place, target, trail, depth);
        }
        match &place.node.value {
            Value::Map(_) => Json::Object(self.members(place, trail, depth)),
            Value::List(_) => {
                let items: Vec<_> = place.items().collect();
                Json::Array(items.iter().map(|item| self.convert(item, trail, depth + 1)).collect())
            }
            _ => place.node.to_json(),
        }
    }

    fn members(&mut self, place: &Place<'a>, trail: &mut Vec<String>, depth: usize) -> Map<String, Json> {
        let mut schema = Map::new();
        for (name, member) in place.members() {
            if name.starts_with("x-") {
                continue;
            }
            let value = if NAMED.contains(&name) && member.map().is_some() {
                let named: Vec<_> = member.members().collect();
                Json::Object(
                    named
                        .iter()
                        .map(|(key, one)| ((*key).to_owned(), self.convert(one, trail, depth + 2)))
                        .collect(),
                )
            } else if SCHEMAS.contains(&name) {
                self.convert(&member, trail, depth + 1)
            } else {
                member.node.to_json()
            };
            schema.insert(name.to_owned(), value);
        }
        schema
    }

    /// What a reference to something other than a model points to.
    fn inlined(&mut self, place: &Place<'a>, target: String, trail: &mut Vec<String>, depth: usize) -> Json {
        if trail.contains(&target) {
            let way = format!("{} -> {target}", trail.join(" -> "));
            self.fail(place, format!("this reference comes back to itself: {way}"));
            return Json::Null;
        }
        if let Some(found) = references::point(&self.root, &target) {
            trail.push(target);
            let schema = self.convert(&found, trail, depth + 1);
            trail.pop();
            return schema;
        }
        if let Some(name) = target.strip_prefix(self.models_prefix()) {
            // AWS goes on without it, and so with a schema that takes anything.
            let message = format!("Reference to model '{name}' not found. Ignoring.");
            self.warn_as_aws(Kind::UnknownName, place, message);
            return Json::Object(Map::new());
        }
        if !target.starts_with('#') {
            // AWS says so and keeps the reference, and then the model that has it cannot be made.
            let kind = if target.contains("://") { "URL" } else { "RELATIVE" };
            let message = format!("Parse issue: Unable to load {kind} ref: {target} path: .");
            self.warn_as_aws(Kind::NotApplied, place, message);
            return serde_json::json!({ "$ref": target });
        }
        self.fail(place, references::missing(&target));
        Json::Null
    }
}
