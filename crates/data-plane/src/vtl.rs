//! Where the pipeline meets the template and JSONPath languages.

use serde_json::Value as Json;

use crate::exchange::Exchange;
use crate::gateway_response::Fault;

/// A parsed JSONPath.
#[derive(Clone, Debug)]
pub struct JsonPath(String);

impl JsonPath {
    /// Parses a path that begins with `$`.
    ///
    /// # Errors
    /// A sentence that says what is wrong where.
    pub fn parse(text: &str) -> Result<Self, String> {
        Ok(Self(text.to_owned()))
    }

    /// What it finds: one value, or for an indefinite path the list of values; nothing if there is none.
    #[must_use]
    pub fn read(&self, document: &Json) -> Option<Json> {
        let pointer = self.0.strip_prefix('$')?.replace('.', "/");
        document.pointer(&pointer).cloned()
    }
}

/// A mapping template, parsed.
#[derive(Debug)]
pub enum Template {
    /// Text without any reference or directive.
    Constant(bytes::Bytes),
}

/// Which message a template transforms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The client's request.
    Request,
    /// The integration's answer.
    Response,
}

/// What templates see and leave behind for each other.
#[derive(Debug, Default)]
pub struct TemplateScope;

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// A sentence with line and column.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.contains(['$', '#']) {
            return Err("templates with references and directives are not supported yet".to_owned());
        }
        Ok(Self::Constant(bytes::Bytes::from(text.to_owned())))
    }

    /// Whether it gives the same text for every request.
    #[must_use]
    pub fn is_constant(&self) -> bool {
        matches!(self, Self::Constant(_))
    }

    /// The text for a request.
    ///
    /// # Errors
    /// A [`Fault`] if the template fails or reaches its limits.
    pub fn render(&self, _exchange: &mut Exchange<'_>, _side: Side) -> Result<bytes::Bytes, Fault> {
        match self {
            Self::Constant(text) => Ok(text.clone()),
        }
    }
}

/// What templates overrode.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Headers by name.
    pub headers: Vec<(String, String)>,
    /// Path parameters by name.
    pub path: Vec<(String, String)>,
    /// Query parameters by name.
    pub query: Vec<(String, String)>,
    /// The status, on the way back.
    pub status: Option<String>,
}

impl TemplateScope {
    /// `$context.requestOverride`.
    #[must_use]
    pub fn request_overrides(&self) -> Overrides {
        Overrides::default()
    }

    /// `$context.responseOverride`.
    #[must_use]
    pub fn response_overrides(&self) -> Overrides {
        Overrides::default()
    }
}
