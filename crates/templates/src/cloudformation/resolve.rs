//! What the functions of a template stand for: `Ref`, `Fn::Sub` and their like, with names that are known before anything
//! is made.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use stagedoor_openapi::Place;

use super::{Kind, Resource};
use crate::{Problem, Surroundings, api_id};

/// How deep references may go: a resource whose name refers to itself has no end.
const DEPTH_MAX: u32 = 32;

/// Resolves the values of one template.
pub(super) struct Resolver<'a> {
    file: &'a Path,
    parameters: BTreeMap<&'a str, Value>,
    resources: Vec<Resource<'a>>,
    surroundings: &'a Surroundings<'a>,
    depth: Cell<u32>,
    problems: RefCell<Vec<Problem>>,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(
        file: &'a Path,
        root: &Place<'a>,
        resources: Vec<Resource<'a>>,
        surroundings: &'a Surroundings<'a>,
    ) -> Self {
        let mut resolver = Self {
            file,
            parameters: BTreeMap::new(),
            resources,
            surroundings,
            depth: Cell::new(0),
            problems: RefCell::default(),
        };
        if let Some(section) = root.get("Parameters") {
            for (name, place) in section.members() {
                if let Some(value) = resolver.parameter(&place) {
                    resolver.parameters.insert(name, value);
                }
            }
        }
        resolver
    }

    /// Nobody is there to give a parameter a value, so its default is its value.
    fn parameter(&self, place: &Place<'a>) -> Option<Value> {
        let Some(default) = place.get("Default") else {
            self.problem(place, "a parameter needs a Default here: nothing else gives it a value");
            return None;
        };
        let Some(text) = default.text() else {
            self.problem(&default, "a Default must be a string or a number");
            return None;
        };
        let is_list =
            place.get("Type").and_then(|kind| kind.text()).is_some_and(|kind| kind.contains("List"));
        Some(match is_list {
            true => text.split(',').map(|item| Value::from(item.trim())).collect(),
            false => Value::from(text),
        })
    }

    pub(super) fn problem(&self, place: &Place<'_>, message: impl Into<String>) {
        // A value that is asked for again and again is wrong only once.
        let problem = Problem::at(self.file, place, message);
        let mut problems = self.problems.borrow_mut();
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }

    /// A problem with what stands at a place, to be said later.
    pub(super) fn place_of(&self, place: &Place<'_>) -> Problem {
        Problem::at(self.file, place, "")
    }

    pub(super) const fn file(&self) -> &'a Path {
        self.file
    }

    pub(super) const fn problems(&self) -> &RefCell<Vec<Problem>> {
        &self.problems
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }

    /// The resources of some kinds, in the order of the file.
    pub(super) fn of_kind(&self, wanted: &[Kind]) -> impl Iterator<Item = &Resource<'a>> {
        self.resources.iter().filter(move |resource| wanted.contains(&resource.kind))
    }

    /// A value with its functions put in place; `None` if it has none, which is a problem unless it is `AWS::NoValue`.
    pub(super) fn value(&self, place: &Place<'a>) -> Option<Value> {
        if place.is_list() {
            return Some(place.items().filter_map(|item| self.value(&item)).collect());
        }
        let Some(map) = place.map() else { return Some(place.node.to_json()) };
        if map.len() == 1
            && let Some((name, argument)) = place.members().next()
            && (name == "Ref" || name == "Condition" || name.starts_with("Fn::"))
        {
            if self.depth.get() >= DEPTH_MAX {
                self.problem(place, "this refers to itself, or too deep");
                return None;
            }
            self.depth.set(self.depth.get() + 1);
            let result = self.call(name, &argument);
            self.depth.set(self.depth.get() - 1);
            return result;
        }
        let members =
            place.members().filter_map(|(name, member)| Some((name.to_owned(), self.value(&member)?)));
        Some(Value::Object(members.collect()))
    }

    /// A value as text.
    pub(super) fn text(&self, place: &Place<'a>) -> Option<String> {
        let value = self.value(place)?;
        let text = as_text(&value);
        if text.is_none() {
            self.problem(place, "this must be a string");
        }
        text
    }

    fn call(&self, name: &str, argument: &Place<'a>) -> Option<Value> {
        match name {
            "Ref" => {
                let target = argument.text().unwrap_or_default();
                self.reference(argument, &target)
            }
            "Fn::GetAtt" => {
                let parts: Vec<String> = match argument.text() {
                    Some(text) => text.splitn(2, '.').map(str::to_owned).collect(),
                    None => argument.items().filter_map(|item| self.text(&item)).collect(),
                };
                match parts.as_slice() {
                    [resource, attribute] => self.attribute(argument, resource, attribute).map(Value::from),
                    _ => self.wrong(argument, "Fn::GetAtt takes a resource and an attribute"),
                }
            }
            "Fn::Sub" => self.substitute(argument),
            "Fn::Join" => {
                let [separator, list] = self.pair(argument, "Fn::Join takes a separator and a list")?;
                let parts = self.texts(argument, &list)?;
                Some(Value::from(parts.join(&as_text(&separator)?)))
            }
            "Fn::Split" => {
                let [separator, text] = self.pair(argument, "Fn::Split takes a separator and a string")?;
                let (separator, text) = (as_text(&separator)?, as_text(&text)?);
                if separator.is_empty() {
                    return self.wrong(argument, "Fn::Split needs a separator");
                }
                Some(text.split(&separator).map(Value::from).collect())
            }
            "Fn::Select" => {
                let [index, list] = self.pair(argument, "Fn::Select takes a number and a list")?;
                let index: Option<usize> = as_text(&index).and_then(|text| text.parse().ok());
                let found = index.and_then(|index| list.get(index).cloned());
                found.or_else(|| self.wrong(argument, "Fn::Select finds nothing there"))
            }
            other => self.wrong(
                argument,
                format!("{other} cannot be used here; Ref, Fn::GetAtt, Fn::Join, Fn::Select, Fn::Split and Fn::Sub can"),
            ),
        }
    }

    fn wrong<T>(&self, place: &Place<'_>, message: impl Into<String>) -> Option<T> {
        self.problem(place, message);
        None
    }

    fn pair(&self, argument: &Place<'a>, message: &str) -> Option<[Value; 2]> {
        let items: Vec<_> = argument.items().collect();
        let [one, other] = items.as_slice() else { return self.wrong(argument, message) };
        Some([self.value(one)?, self.value(other)?])
    }

    fn texts(&self, place: &Place<'_>, list: &Value) -> Option<Vec<String>> {
        let items = list.as_array().and_then(|items| items.iter().map(as_text).collect());
        items.or_else(|| self.wrong(place, "this must be a list of strings"))
    }

    /// `${Name}`, `${Name.Attribute}` and `${!literal}` in a text.
    fn substitute(&self, argument: &Place<'a>) -> Option<Value> {
        let items: Vec<_> = argument.items().collect();
        let (template, own) = match (argument.text(), items.as_slice()) {
            (Some(text), _) => (text, None),
            (None, [text, variables]) if text.text().is_some() => (text.text()?, Some(variables.clone())),
            _ => return self.wrong(argument, "Fn::Sub takes a string, or a string and an object"),
        };
        let mut out = String::new();
        let mut rest = template.as_str();
        while let Some((before, after)) = rest.split_once("${") {
            out.push_str(before);
            let Some((name, after)) = after.split_once('}') else {
                return self.wrong(argument, "a ${ in here has no end");
            };
            rest = after;
            if let Some(literal) = name.strip_prefix('!') {
                out.push_str(&format!("${{{literal}}}"));
                continue;
            }
            let name = name.trim();
            let own = own.as_ref().and_then(|own| own.get(name));
            let value = match (own, name.split_once('.')) {
                (Some(own), _) => self.text(&own)?,
                (None, Some((resource, attribute))) => self.attribute(argument, resource, attribute)?,
                (None, None) => as_text(&self.reference(argument, name)?)?,
            };
            out.push_str(&value);
        }
        out.push_str(rest);
        Some(Value::from(out))
    }

    fn reference(&self, place: &Place<'_>, name: &str) -> Option<Value> {
        let text = match name {
            "AWS::AccountId" => self.surroundings.account_id.to_owned(),
            "AWS::Region" => self.surroundings.region.to_owned(),
            "AWS::Partition" => "aws".to_owned(),
            "AWS::URLSuffix" => "amazonaws.com".to_owned(),
            "AWS::StackName" => "stagedoor".to_owned(),
            "AWS::NoValue" => return None,
            _ => {
                if let Some(value) = self.parameters.get(name) {
                    return Some(value.clone());
                }
                match self.find(name) {
                    Some(resource) => self.physical(resource)?,
                    None => {
                        return self.wrong(place, format!("there is no parameter and no resource '{name}'"));
                    }
                }
            }
        };
        Some(Value::from(text))
    }

    fn attribute(&self, place: &Place<'_>, name: &str, attribute: &str) -> Option<String> {
        let Some(resource) = self.find(name) else {
            return self.wrong(place, format!("there is no resource '{name}'"));
        };
        let (account, region) = (self.surroundings.account_id, self.surroundings.region);
        let own = self.physical(resource)?;
        match (resource.kind, attribute) {
            (Kind::Serverless | Kind::Lambda, "Arn") => {
                Some(format!("arn:aws:lambda:{region}:{account}:function:{own}"))
            }
            (Kind::Api, "ApiEndpoint") => Some(format!("wss://{own}.execute-api.{region}.amazonaws.com")),
            (Kind::Api, "ApiId") => Some(own),
            (Kind::LogGroup, "Arn") => Some(format!("arn:aws:logs:{region}:{account}:log-group:{own}")),
            (Kind::Permission, "Arn") => Some(format!("arn:aws:iam::{account}:role/{own}")),
            _ => self.wrong(place, format!("'{name}' has no attribute '{attribute}' here")),
        }
    }

    fn find(&self, name: &str) -> Option<&Resource<'a>> {
        self.resources.iter().find(|resource| resource.name == name)
    }

    /// What `Ref` gives for a resource: its name or its id.
    pub(super) fn physical(&self, resource: &Resource<'a>) -> Option<String> {
        let named = |property: &str| {
            let place = resource.properties.as_ref().and_then(|properties| properties.get(property));
            place.map(|place| self.text(&place))
        };
        match resource.kind {
            Kind::Api => named("Name").map_or_else(
                || Some(api_id::from_title(resource.name)),
                |name| name.map(|name| api_id::from_title(&name)),
            ),
            Kind::Serverless | Kind::Lambda => {
                named("FunctionName").unwrap_or_else(|| Some(resource.name.to_owned()))
            }
            Kind::Stage => named("StageName").unwrap_or_else(|| Some(resource.name.to_owned())),
            Kind::LogGroup => named("LogGroupName").unwrap_or_else(|| Some(resource.name.to_owned())),
            Kind::Permission => Some(resource.name.to_owned()),
            _ => Some(member_id(resource.name)),
        }
    }
}

/// A scalar as text.
pub(super) fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The id of what a template calls by this name: the same each time, and of the form that AWS gives (FNV-1a).
pub(super) fn member_id(name: &str) -> String {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let mut hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    let mut id = String::with_capacity(10);
    for _ in 0..10 {
        let letter = usize::try_from(hash % 36).ok().and_then(|at| LETTERS.get(at));
        id.push(letter.map_or('0', |letter| char::from(*letter)));
        hash /= 36;
    }
    id
}
