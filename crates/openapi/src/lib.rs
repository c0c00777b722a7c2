//! OpenAPI 3.0 and Swagger 2.0 documents with API Gateway's extensions, and where in the text each thing stands.
//!
//! [`Document::read`] turns text (JSON or YAML) into an [`ApiDefinition`], which knows nothing of AWS's shapes, and a
//! list of [`Finding`]s, each with its line, its column and its path in the document. Both dialects come out as the
//! same definition, so whoever applies it sees one form.
//!
//! What a reader of this crate should know: documents are hostile input. Nesting, size, aliases and references are
//! all bounded ([`limits`]), and nothing here recurses deeper than those bounds.

mod definition;
mod finding;
mod json;
mod names;
mod node;
mod place;
mod read;
mod references;
mod schema;
mod yaml;

pub use definition::{
    ApiDefinition, ApiKeySource, AuthorizerExtension, BodyUse, Dialect, DocumentationPart,
    EndpointConfiguration, GatewayResponse, Integration, IntegrationResponse, Model, Operation, Parameter,
    ParameterLocation, PathItem, RequestValidator, Requirement, Response, SchemaUse, SecurityScheme,
};
pub use finding::{Finding, Kind, Severity};
pub use node::{DocPath, Entry, Map, Node, Position, Value};
pub use place::Place;
pub use schema::MODEL_REFERENCE;

/// The bounds on what is read. A document beyond one of them is refused, saying which.
pub mod limits {
    /// Bytes of text; AWS takes 6 MB.
    pub const BYTES_MAX: usize = 6 * 1024 * 1024;
    /// Levels of nesting, counted after aliases are put in place.
    pub const DEPTH_MAX: usize = 96;
    /// Values after aliases and references are put in place, so that a short text cannot fill the memory.
    pub const NODES_MAX: usize = 500_000;
}

/// A document that has been read.
#[derive(Clone, Debug)]
pub struct Document {
    /// What it defines.
    pub definition: ApiDefinition,
    /// What is worth saying about it; all of [`Severity::Warning`], as a document with errors is not handed out.
    pub findings: Vec<Finding>,
    root: Node,
}

impl Document {
    /// Reads a document. JSON and YAML are told apart by their first character: a text that starts with `{` is JSON
    /// first, and YAML if it is no JSON.
    ///
    /// # Errors
    /// Everything that was found, with at least one finding of [`Severity::Error`].
    pub fn read(text: &str) -> Result<Self, Vec<Finding>> {
        let root = Self::parse(text)?;
        let (definition, findings) = read::read(&root);
        if findings.iter().any(|finding| finding.severity() == Severity::Error) {
            return Err(findings);
        }
        Ok(Self { definition, findings, root })
    }

    /// Reads a text as plain values, without asking that it be an OpenAPI document.
    ///
    /// # Errors
    /// The mistakes in its syntax, duplicate keys among them.
    pub fn parse(text: &str) -> Result<Node, Vec<Finding>> {
        Self::parse_with(text, yaml::Tags::Refused)
    }

    /// Reads a CloudFormation template as plain values: YAML's short forms (`!Ref a`, `!Sub a`) become the long ones
    /// (`{Ref: a}`, `{Fn::Sub: a}`).
    ///
    /// # Errors
    /// As for [`Document::parse`].
    pub fn parse_template(text: &str) -> Result<Node, Vec<Finding>> {
        Self::parse_with(text, yaml::Tags::ShortForms)
    }

    fn parse_with(text: &str, tags: yaml::Tags) -> Result<Node, Vec<Finding>> {
        // An editor's byte order mark is not part of the document.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if text.len() > limits::BYTES_MAX {
            return Err(vec![Finding::error(
                &DocPath::root(),
                Position::START,
                format!("the document has {} bytes; at most {} are read", text.len(), limits::BYTES_MAX),
            )]);
        }
        if text.trim_start().starts_with('{') {
            let as_json = json::parse(text);
            return as_json.or_else(|findings| yaml::parse(text, tags).map_err(|_| findings));
        }
        yaml::parse(text, tags)
    }

    /// The whole document as values, for what this crate does not interpret.
    #[must_use]
    pub fn root(&self) -> Place<'_> {
        Place::root(&self.root)
    }

    /// Where a path stands in the text. A path that is not there gives the position of the nearest part of it that is.
    #[must_use]
    pub fn locate(&self, path: &DocPath) -> Position {
        self.root().locate(path)
    }
}

#[cfg(test)]
mod tests;
