//! JSONPath, as mappings and templates use it.

use std::borrow::Cow;

use serde_json::Value as Json;
use stagedoor_jsonpath::{Path, ReadError};

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
    ///
    /// A path that looks at more than it may finds nothing either: [`Self::read_all`] tells.
    #[must_use]
    pub fn read<'d>(&self, document: &'d Json) -> Option<Cow<'d, Json>> {
        self.0.read(document).ok().flatten()
    }

    /// What it finds, as [`Self::read`] does.
    ///
    /// # Errors
    /// A sentence, if it looks at more of the document than it may.
    pub fn read_all<'d>(&self, document: &'d Json) -> Result<Option<Cow<'d, Json>>, String> {
        match self.0.read(document) {
            Err(error @ (ReadError::TooMuch(_) | ReadError::TooManySteps)) => Err(error.to_string()),
            found => Ok(found.ok().flatten()),
        }
    }
}
