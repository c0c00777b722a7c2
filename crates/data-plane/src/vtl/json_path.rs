//! JSONPath, as mappings and templates use it.

use std::borrow::Cow;

use serde_json::Value as Json;
use stagedoor_jsonpath::Path;

/// A parsed JSONPath.
#[derive(Clone, Debug)]
pub struct JsonPath(Path);

impl JsonPath {
    /// Parses a path.
    ///
    /// # Errors
    /// A sentence that says what is wrong where.
    pub fn parse(text: &str) -> Result<Self, String> {
        Path::parse(text).map(Self).map_err(|error| error.to_string())
    }

    /// What it finds: one value, or for an indefinite path the list of values; nothing if there is none, or if the
    /// path cannot be applied to this document.
    #[must_use]
    pub fn read<'d>(&self, document: &'d Json) -> Option<Cow<'d, Json>> {
        self.0.read(document).ok().flatten()
    }
}
