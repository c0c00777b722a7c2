//! Schemas as JSON Schema draft 4, the form that API Gateway's models have.
//!
//! References to models stay references, spelt the same for both dialects. Other references into the document are
//! replaced by what they point to. Keywords that only describe (`example`, `xml` and the like) are left out as AWS
//! does; those that change what is valid are named in a warning.

use serde_json::{Map, Value as Json};

use crate::limits::{DEPTH_MAX, NODES_MAX};
use crate::node::Value;
use crate::place::Place;
use crate::read::Reader;
use crate::{Kind, SchemaUse, references};

/// How a reference to a model is spelt in a definition's schemas: this, and the model's name.
pub const MODEL_REFERENCE: &str = "#/models/";

/// Keywords that describe and check nothing.
const DESCRIBING: &[&str] =
    &["example", "examples", "externalDocs", "xml", "readOnly", "writeOnly", "deprecated"];

/// Keywords that would change what is valid, and that JSON Schema draft 4 does not have.
const UNSUPPORTED: &[&str] = &["discriminator", "nullable"];

/// Keywords whose value is data, not schemas.
const DATA: &[&str] = &["enum", "default", "required", "type"];

/// Keywords whose value maps names to schemas.
const NAMED: &[&str] = &["properties", "patternProperties", "definitions"];

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
            if DESCRIBING.contains(&name) || name.starts_with("x-") {
                continue;
            }
            if UNSUPPORTED.contains(&name) {
                let message = format!("'{name}' is no keyword of API Gateway's models and is left out");
                self.warn(Kind::NotApplied, &member, message);
                continue;
            }
            let value = if DATA.contains(&name) {
                member.node.to_json()
            } else if NAMED.contains(&name) {
                let named: Vec<_> = member.members().collect();
                Json::Object(
                    named
                        .iter()
                        .map(|(key, one)| ((*key).to_owned(), self.convert(one, trail, depth + 2)))
                        .collect(),
                )
            } else {
                self.convert(&member, trail, depth + 1)
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
            self.warn(Kind::UnknownName, place, format!("Reference to model '{name}' not found. Ignoring."));
            return Json::Object(Map::new());
        }
        if !target.starts_with('#') {
            // AWS says so and keeps the reference, and then the model that has it cannot be made.
            let kind = if target.contains("://") { "URL" } else { "RELATIVE" };
            let message = format!("Parse issue: Unable to load {kind} ref: {target} path: .");
            self.warn(Kind::NotApplied, place, message);
            return serde_json::json!({ "$ref": target });
        }
        self.fail(place, references::missing(&target));
        Json::Null
    }
}
