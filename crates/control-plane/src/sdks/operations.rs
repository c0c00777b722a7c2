//! The methods of an API as a client sees them.

use std::collections::BTreeSet;

use stagedoor_shapes::apigateway::Method;
use stagedoor_shapes::snapshot::RestApiSnapshot;

use crate::control_plane::required;

/// A method that a client can call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Operation {
    /// `GET` and the like.
    pub(super) verb: String,
    /// Such as `/pets/{petId}`.
    pub(super) path: String,
    /// The words of the path, each with a capital letter: `PetsPetId`; empty for the root.
    pub(super) words: String,
    /// What the method itself is named, if it is.
    pub(super) name: Option<String>,
    /// Whether requests are to be signed.
    pub(super) signed: bool,
    /// Parameters: where each is and whether it has to be there.
    pub(super) parameters: Vec<Parameter>,
}

/// A parameter of a method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parameter {
    pub(super) place: Place,
    pub(super) name: String,
    pub(super) required: bool,
}

/// Where a parameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Path,
    Query,
    Header,
}

/// All methods that have one verb: a method for any verb has no name in a client, and AWS leaves it out as well.
pub(super) fn of(snapshot: &RestApiSnapshot) -> Vec<Operation> {
    let mut found = Vec::new();
    for resource in &snapshot.resources {
        for (verb, method) in resource.resource_methods.iter().flatten().filter(|(verb, _)| *verb != "ANY") {
            found.push(operation(required(&resource.path), verb, method));
        }
    }
    found
}

fn operation(path: &str, verb: &str, method: &Method) -> Operation {
    let mut parameters = Vec::new();
    for part in path.split('/') {
        if let Some(name) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            let name = name.trim_end_matches('+').to_owned();
            parameters.push(Parameter { place: Place::Path, name, required: true });
        }
    }
    for (name, required) in method.request_parameters.iter().flatten() {
        let rest = name.strip_prefix("method.request.").and_then(|rest| rest.split_once('.'));
        let (place, name) = match rest {
            Some(("querystring", name)) => (Place::Query, name),
            Some(("header", name)) => (Place::Header, name),
            _ => continue,
        };
        parameters.push(Parameter { place, name: name.to_owned(), required: *required });
    }
    Operation {
        verb: verb.to_owned(),
        path: path.to_owned(),
        words: words(path),
        name: method.operation_name.clone().filter(|name| !name.is_empty()),
        signed: method.authorization_type.as_deref() == Some("AWS_IAM"),
        parameters,
    }
}

/// The words of a text, each with a capital letter. What is no letter or digit ends a word.
pub(super) fn words(text: &str) -> String {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(capital).collect()
}

pub(super) fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

pub(super) fn small(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(letters).collect()
}

/// A name that is not taken yet: this one, or with a number behind it.
pub(super) fn unused(name: String, taken: &mut BTreeSet<String>) -> String {
    let mut candidate = name.clone();
    let mut number = 2;
    while !taken.insert(candidate.clone()) {
        candidate = format!("{name}{number}");
        number += 1;
    }
    candidate
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(words(text), expected);
    }

    #[test]
    fn words_of_paths() {
        check("/", "");
        check("/{a}/{b}/{op}", "ABOp");
        check("/pets/{petId}", "PetsPetId");
        check("/user-names/x_y.z/{proxy+}", "UserNamesXYZProxy");
    }

    #[test]
    fn names_are_given_once() {
        let mut taken = BTreeSet::new();
        let names: Vec<_> = (0..3).map(|_| unused("a".to_owned(), &mut taken)).collect();
        assert_eq!(names, ["a", "a2", "a3"]);
    }
}
