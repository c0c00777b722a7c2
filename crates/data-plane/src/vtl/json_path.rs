//! JSONPath, as mappings and templates use it.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use serde_json::Value as Json;
use stagedoor_jsonpath::{Path, ReadError};

/// How many of the paths that templates have asked for are kept parsed, and the longest that is, in bytes.
const KEPT_MAX: usize = 256;
const KEPT_BYTES_MAX: usize = 1024;

thread_local! {
    static KEPT: RefCell<HashMap<String, Rc<JsonPath>>> = RefCell::default();
}

/// A path that a template asks for: nearly always one of a few, which need not be parsed for every request.
pub(super) fn parsed(path: &str) -> Result<Rc<JsonPath>, String> {
    KEPT.with_borrow_mut(|kept| {
        if let Some(known) = kept.get(path) {
            return Ok(Rc::clone(known));
        }
        let parsed = Rc::new(JsonPath::parse(path)?);
        // A pattern may take a megabyte, and a client may have a say in it.
        if path.len() <= KEPT_BYTES_MAX && !path.contains("=~") {
            if kept.len() >= KEPT_MAX {
                kept.clear();
            }
            kept.insert(path.to_owned(), Rc::clone(&parsed));
        }
        Ok(parsed)
    })
}

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
