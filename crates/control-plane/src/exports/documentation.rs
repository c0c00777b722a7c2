//! The documentation of a stage in an exported document: as a list of parts, and inside what the parts describe.
//!
//! A part that names no path, method or status code describes everything below; the most specific part counts.

use serde_json::{Map, Value};
use stagedoor_shapes::apigateway::{DocumentationPart, DocumentationPartType as Part, DocumentationVersion};

use super::document::Export;

/// A version of an API's documentation, its properties read.
pub(super) struct Documentation {
    pub(super) version: DocumentationVersion,
    parts: Vec<(DocumentationPart, Map<String, Value>)>,
}

impl Documentation {
    pub(super) fn new(version: DocumentationVersion, parts: Vec<DocumentationPart>) -> Self {
        let read = |part: DocumentationPart| {
            let properties = part.properties.as_deref().unwrap_or_default();
            let properties = serde_json::from_str(properties).unwrap_or_default();
            (part, properties)
        };
        Self { version, parts: parts.into_iter().map(read).collect() }
    }

    /// The list as AWS writes it: places without what stands for everything.
    pub(super) fn parts_as_written(&self) -> Value {
        let written = self.parts.iter().map(|(part, properties)| {
            let location = part.location.clone().unwrap_or_default();
            let mut place = Map::new();
            let mut put = |name: &str, value: Option<String>, default: &str| {
                if let Some(value) = value.filter(|value| !value.is_empty() && value != default) {
                    place.insert(name.to_owned(), value.into());
                }
            };
            put("type", location.type_.map(|kind| kind.as_str().to_owned()), "");
            put("path", location.path, "/");
            put("method", location.method, "*");
            put("statusCode", location.status_code, "*");
            put("name", location.name, "");
            let mut members = Map::new();
            members.insert("location".to_owned(), Value::Object(place));
            members.insert("properties".to_owned(), Value::Object(properties.clone()));
            Value::Object(members)
        });
        written.collect()
    }
}

impl Export<'_> {
    /// The properties of the most specific part for a place.
    pub(super) fn documented(
        &self,
        kind: Part,
        path: Option<&str>,
        method: Option<&str>,
        code: Option<&str>,
        name: Option<&str>,
    ) -> Option<&Map<String, Value>> {
        let documentation = self.documentation.as_ref()?;
        let fitting = documentation.parts.iter().filter_map(|(part, properties)| {
            let location = part.location.as_ref().filter(|location| location.type_ == Some(kind))?;
            let depth = path.map_or(Some(0), |path| covers(location.path.as_deref().unwrap_or("/"), path))?;
            let method = fits(location.method.as_deref(), method)?;
            let code = fits(location.status_code.as_deref(), code)?;
            let same_name = name.is_none() || location.name.as_deref() == name;
            same_name.then_some(((depth, method, code), properties))
        });
        fitting.max_by_key(|(rank, _)| *rank).map(|(_, properties)| properties)
    }

    /// Adds what documentation says about a place: the members that OpenAPI has there, and `x-` members.
    #[expect(clippy::too_many_arguments, reason = "a documentation part's location has as many members")]
    pub(super) fn describe(
        &self,
        members: &mut Map<String, Value>,
        kind: Part,
        path: Option<&str>,
        method: Option<&str>,
        code: Option<&str>,
        name: Option<&str>,
        known: &[&str],
    ) {
        for (name, value) in self.documented(kind, path, method, code, name).into_iter().flatten() {
            if known.contains(&name.as_str()) || name.starts_with("x-") {
                members.insert(name.clone(), value.clone());
            }
        }
    }
}

/// How deep a part's path is if it covers another path.
fn covers(part: &str, path: &str) -> Option<usize> {
    if part == path {
        return Some(usize::MAX);
    }
    let above = part.trim_end_matches('/');
    let below = path.strip_prefix(above).is_some_and(|rest| rest.starts_with('/'));
    below.then(|| above.matches('/').count())
}

/// Whether a part's method or code fits, and whether it names it.
fn fits(part: Option<&str>, wanted: Option<&str>) -> Option<bool> {
    match (part.filter(|part| *part != "*"), wanted) {
        (_, None) => Some(false),
        (None, Some(_)) => Some(false),
        (Some(part), Some(wanted)) => (part == wanted).then_some(true),
    }
}
