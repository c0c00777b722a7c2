//! From values to a definition.
//!
//! Reading goes on after a mistake, so that one run reports all of them. What is read wrongly is left out of the
//! definition; an error keeps the definition from being handed out at all.

mod extensions;
mod integration;
mod methods;
mod security;

use crate::definition::{ApiDefinition, Dialect, Model};
use crate::names::{self, PREFIX, Spot};
use crate::node::{Node, Value};
use crate::place::Place;
use crate::references::{self, Target};
use crate::{Finding, Kind};

/// Reads a whole document.
pub(crate) fn read(node: &Node) -> (ApiDefinition, Vec<Finding>) {
    let root = Place::root(node);
    let mut reader = Reader {
        root: root.clone(),
        dialect: Dialect::Swagger2,
        findings: Vec::new(),
        path: String::new(),
        method: String::new(),
        values: 0,
    };
    let definition = reader.document(&root).unwrap_or_default();
    // By position, so that the list reads like the text.
    reader.findings.sort_by_key(|finding| finding.position);
    reader.findings.dedup();
    (definition, reader.findings)
}

/// What reading a document needs to know and notes.
pub(crate) struct Reader<'a> {
    pub(crate) root: Place<'a>,
    dialect: Dialect,
    findings: Vec<Finding>,
    /// The path that is being read, and the method of it, as messages of AWS's name them: `/pets` and `GET /pets`.
    pub(crate) path: String,
    pub(crate) method: String,
    /// Values of schemas made so far, references put in place.
    pub(crate) values: usize,
}

impl<'a> Reader<'a> {
    fn document(&mut self, root: &Place<'a>) -> Option<ApiDefinition> {
        if root.map().is_none() {
            self.fail(
                root,
                format!("an OpenAPI document is an object, and this is {}", root.node.type_name()),
            );
            return None;
        }
        self.dialect = self.find_dialect(root)?;
        let known = match self.dialect {
            Dialect::Swagger2 => names::SWAGGER_ROOT,
            Dialect::OpenApi3 => names::OPENAPI_ROOT,
        };
        self.check_members(root, "the document", known, Some(Spot::Root));
        self.unexpected(root, known, "");
        if let Some(components) = root.get("components") {
            self.check_members(&components, "components", names::COMPONENTS, Some(Spot::Components));
            self.unexpected(&components, names::COMPONENTS, "components.");
        }
        self.check_extension_names(root.node, &mut Vec::new());

        let mut definition = ApiDefinition { dialect: self.dialect, ..ApiDefinition::default() };
        self.info(root, &mut definition);
        self.models(root, &mut definition);
        self.security_schemes(root, &mut definition);
        self.root_extensions(root, &mut definition);
        self.servers(root, &mut definition);
        self.paths(root, &mut definition);
        Some(definition)
    }

    fn find_dialect(&mut self, root: &Place<'a>) -> Option<Dialect> {
        if let Some(version) = root.get("openapi") {
            let text = version.text().unwrap_or_default();
            if text.starts_with("3.0") {
                return Some(Dialect::OpenApi3);
            }
            self.fail(
                &version,
                format!("OpenAPI '{text}' is not read; API Gateway takes 3.0 and Swagger 2.0"),
            );
        } else if let Some(version) = root.get("swagger") {
            let text = version.text().unwrap_or_default();
            if text == "2.0" || text == "2" {
                return Some(Dialect::Swagger2);
            }
            self.fail(
                &version,
                format!("Swagger '{text}' is not read; API Gateway takes 2.0 and OpenAPI 3.0"),
            );
        } else {
            self.fail(root, "the document says neither 'openapi: 3.0.1' nor 'swagger: \"2.0\"'".to_owned());
        }
        None
    }

    fn info(&mut self, root: &Place<'a>, definition: &mut ApiDefinition) {
        let title = root.get("info").and_then(|info| info.get("title")).and_then(|title| title.text());
        match title {
            Some(title) if !title.trim().is_empty() => definition.title = title,
            _ => {
                let place = root.get("info").unwrap_or_else(|| root.clone());
                self.fail(&place, "'info.title' is missing; it is the API's name".to_owned());
            }
        }
        let text =
            |name: &str| root.get("info").and_then(|info| info.get(name)).and_then(|member| member.text());
        definition.description = text("description");
        definition.version = text("version");
    }

    fn models(&mut self, root: &Place<'a>, definition: &mut ApiDefinition) {
        let Some(models) = self.models_place(root) else { return };
        for (name, place) in models.members() {
            let schema = self.model_schema(&place);
            let description = schema.get("description").and_then(|text| text.as_str()).map(str::to_owned);
            definition.models.insert(name.to_owned(), Model { at: place.path, description, schema });
        }
    }

    /// A model that is itself a reference to a model stays one, so a chain that never ends has to be found here.
    fn model_schema(&mut self, place: &Place<'a>) -> serde_json::Value {
        if references::reference(place).is_some()
            && let Target::Failed(message) = references::follow(&self.root, place)
        {
            self.fail(place, message);
            return serde_json::Value::Null;
        }
        self.schema(place)
    }

    fn models_place(&self, root: &Place<'a>) -> Option<Place<'a>> {
        match self.dialect {
            Dialect::Swagger2 => root.get("definitions"),
            Dialect::OpenApi3 => root.get("components")?.get("schemas"),
        }
    }

    /// How references to models start in this dialect.
    pub(crate) const fn models_prefix(&self) -> &'static str {
        match self.dialect {
            Dialect::Swagger2 => "#/definitions/",
            Dialect::OpenApi3 => "#/components/schemas/",
        }
    }

    pub(crate) fn has_model(&self, name: &str) -> bool {
        self.models_place(&self.root).is_some_and(|models| models.get(name).is_some())
    }

    /// The path that stands before all others: `basePath`, or what the first server says.
    fn servers(&mut self, root: &Place<'a>, definition: &mut ApiDefinition) {
        let base = match self.dialect {
            Dialect::Swagger2 => root.get("basePath").and_then(|base| base.text()),
            Dialect::OpenApi3 => {
                let servers: Vec<_> =
                    root.get("servers").map(|list| list.items().collect()).unwrap_or_default();
                if let [_, second, ..] = servers.as_slice() {
                    let message = "More than one server provided. Ignoring all but the first for defining endpoint \
                                   configuration";
                    self.warn_as_aws(Kind::NotApplied, second, message.to_owned());
                }
                for server in &servers {
                    self.check_spot(server, Spot::Server);
                }
                let extension = format!("{PREFIX}endpoint-configuration");
                if let Some(place) = servers.first().and_then(|server| server.get(&extension)) {
                    definition.endpoint_configuration = self.endpoint_configuration(&place);
                }
                servers.first().and_then(server_path)
            }
        };
        let base = base.unwrap_or_default();
        let base = base.trim_matches('/');
        definition.base_path = if base.is_empty() { String::new() } else { format!("/{base}") };
    }

    /// Follows references, and notes those that lead nowhere.
    pub(crate) fn follow(&mut self, place: &Place<'a>) -> Option<Place<'a>> {
        match references::follow(&self.root, place) {
            Target::Found(found) => Some(found),
            Target::Failed(message) => {
                self.fail(place, message);
                None
            }
        }
    }

    /// Notes members that an object of this kind does not have. Vendors' own members (`x-`) are theirs.
    pub(crate) fn check_members(&mut self, place: &Place<'a>, of: &str, known: &[&str], spot: Option<Spot>) {
        for (name, member) in place.members() {
            if !known.contains(&name) && !name.starts_with("x-") {
                self.findings.push(Finding::warning(
                    Kind::UnknownName,
                    &member.path,
                    member.key_at,
                    names::unknown_member(name, of, known),
                ));
            }
        }
        if let Some(spot) = spot {
            self.check_spot(place, spot);
        }
    }

    /// Gives the members of an OpenAPI 3.0 object that are none of it AWS's words, which its reader has for them. `at` is
    /// how that reader names the object, with a dot behind it.
    pub(crate) fn unexpected(&mut self, place: &Place<'a>, known: &[&str], at: &str) {
        if self.dialect != Dialect::OpenApi3 {
            return;
        }
        for (name, member) in place.members() {
            if known.contains(&name) || name.starts_with("x-") {
                continue;
            }
            let noted = self.findings.iter_mut().rfind(|finding| finding.path == member.path);
            if let Some(finding) = noted {
                finding.aws = Some(format!("Parse issue: attribute {at}{name} is unexpected"));
            }
        }
    }

    /// Notes extensions that belong elsewhere.
    fn check_spot(&mut self, place: &Place<'a>, spot: Spot) {
        for (name, member) in place.members() {
            if let Some(message) = names::misplaced_extension(name, spot) {
                self.findings.push(Finding::warning(Kind::UnknownName, &member.path, member.key_at, message));
            }
        }
    }

    /// Notes extensions of API Gateway that do not exist, wherever they stand. It looks at every value, so it keeps
    /// the way it came instead of making a path for each.
    fn check_extension_names(&mut self, node: &'a Node, way: &mut Vec<String>) {
        match &node.value {
            Value::Map(map) => {
                for (name, entry) in map {
                    way.push(name.clone());
                    if let Some(message) = names::unknown_extension(name) {
                        let path = way.clone().into();
                        let finding = Finding::warning(Kind::UnknownName, &path, entry.key_at, message);
                        self.findings.push(finding);
                    }
                    // Examples may show anything.
                    if !matches!(name.as_str(), "example" | "examples" | "default" | "enum") {
                        self.check_extension_names(&entry.node, way);
                    }
                    way.pop();
                }
            }
            Value::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    way.push(index.to_string());
                    self.check_extension_names(item, way);
                    way.pop();
                }
            }
            _ => {}
        }
    }

    pub(crate) fn fail(&mut self, place: &Place<'a>, message: String) {
        self.findings.push(Finding::error(&place.path, place.at(), message));
    }

    /// Notes what AWS warns of, in its words.
    pub(crate) fn warn_as_aws(&mut self, kind: Kind, place: &Place<'a>, message: String) {
        self.findings.push(Finding::warning(kind, &place.path, place.at(), message).in_aws_words());
    }

    pub(crate) fn warn(&mut self, kind: Kind, place: &Place<'a>, message: String) {
        self.findings.push(Finding::warning(kind, &place.path, place.at(), message));
    }

    /// Makes the errors that were noted since those of an integration that cannot be read. One that stands elsewhere is
    /// named by the method that refers to it, so that the path of every finding starts with that of its API.
    pub(crate) fn blame_integration(&mut self, since: usize, place: &Place<'a>) {
        for finding in self.findings.iter_mut().skip(since) {
            if finding.kind == Kind::Broken {
                finding.kind = Kind::MalformedIntegration;
                if !finding.path.parts().starts_with(place.path.parts()) {
                    finding.path = place.path.clone();
                }
            }
        }
    }

    /// How many findings there are, for [`Self::blame_integration`].
    pub(crate) const fn noted(&self) -> usize {
        self.findings.len()
    }

    /// Notes once that the document is too large when its references are put in place.
    pub(crate) fn too_much(&mut self, place: &Place<'a>) {
        let message = "with its references put in place, this document is too large or nested too deeply";
        if !self.findings.iter().any(|finding| finding.message == message) {
            self.fail(place, message.to_owned());
        }
    }

    /// A member that has to be a scalar, as text.
    pub(crate) fn text(&mut self, place: &Place<'a>, name: &str) -> Option<String> {
        let member = place.get(name).filter(|member| !member.is_null())?;
        let text = member.text();
        if text.is_none() {
            self.fail(
                &member,
                format!("'{name}' has to be a string, and this is {}", member.node.type_name()),
            );
        }
        text
    }

    /// A member that has to be a boolean; `"true"` will do.
    pub(crate) fn boolean(&mut self, place: &Place<'a>, name: &str) -> Option<bool> {
        let member = place.get(name).filter(|member| !member.is_null())?;
        match (&member.node.value, member.text().as_deref()) {
            (Value::Bool(value), _) => Some(*value),
            (_, Some("true")) => Some(true),
            (_, Some("false")) => Some(false),
            _ => {
                self.fail(&member, format!("'{name}' has to be true or false"));
                None
            }
        }
    }

    /// A member that has to be a whole number; a string of digits will do.
    pub(crate) fn integer(&mut self, place: &Place<'a>, name: &str) -> Option<i64> {
        let member = place.get(name).filter(|member| !member.is_null())?;
        let value = member.text().and_then(|text| text.parse().ok());
        if value.is_none() {
            self.fail(&member, format!("'{name}' has to be a whole number"));
        }
        value
    }

    /// A member that has to be a list of strings.
    pub(crate) fn strings(&mut self, place: &Place<'a>, name: &str) -> Option<Vec<String>> {
        let member = place.get(name).filter(|member| !member.is_null())?;
        if !member.is_list() {
            self.fail(&member, format!("'{name}' has to be a list of strings"));
            return None;
        }
        let mut texts = Vec::new();
        for item in member.items() {
            match item.text() {
                Some(text) => texts.push(text),
                None => self.fail(&item, format!("'{name}' has to be a list of strings")),
            }
        }
        Some(texts)
    }

    /// The members of a member that has to be an object.
    pub(crate) fn object(&mut self, place: &Place<'a>, name: &str) -> Vec<(&'a str, Place<'a>)> {
        let Some(member) = place.get(name).filter(|member| !member.is_null()) else { return Vec::new() };
        if member.map().is_none() {
            self.fail(
                &member,
                format!("'{name}' has to be an object, and this is {}", member.node.type_name()),
            );
        }
        member.members().collect()
    }
}

/// The path of a server. A variable named `basePath` is the path even if the address does not use it: AWS reads it so.
fn server_path(server: &Place<'_>) -> Option<String> {
    let default = |name: &str| server.get("variables")?.get(name)?.get("default")?.text();
    if let Some(base) = default("basePath") {
        return Some(base);
    }
    let url = server.get("url")?.text()?;
    let after_scheme = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
    let path = match after_scheme.find('/') {
        Some(start) => after_scheme.get(start..)?,
        None => return None,
    };
    let mut filled = String::new();
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, behind) = after.split_once('}')?;
        filled.push_str(before);
        filled.push_str(default(name).unwrap_or_default().trim_matches('/'));
        rest = behind;
    }
    filled.push_str(rest);
    Some(filled)
}
