//! Reading values of our own extensions: every unknown member is refused.

use std::collections::BTreeMap;
use std::path::Path;

use stagedoor_openapi::Place;

use crate::Problem;

/// Reads values and notes what is wrong with them.
pub(crate) struct Reader<'a> {
    pub(crate) file: &'a Path,
    pub(crate) problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    pub(crate) fn problem(&mut self, place: &Place<'_>, message: impl Into<String>) {
        self.problems.push(Problem::at(self.file, place, message));
    }

    /// Whether a place is an object; it is a problem if it is not.
    pub(crate) fn object(&mut self, place: &Place<'_>, what: &str) -> bool {
        let is = place.map().is_some();
        if !is {
            self.problem(place, format!("{what} must be an object, and this is {}", place.node.type_name()));
        }
        is
    }

    /// Refuses members that are not in a list.
    pub(crate) fn members(&mut self, place: &Place<'_>, what: &str, known: &[&str]) {
        for (name, member) in place.members() {
            if !known.contains(&name) {
                let message = format!("{what} has no member '{name}'; it has {}", known.join(", "));
                let mut problem = Problem::at(self.file, &member, message);
                (problem.line, problem.column) = (member.key_at.line, member.key_at.column);
                self.problems.push(problem);
            }
        }
    }

    /// A scalar member as text.
    pub(crate) fn text(&mut self, place: &Place<'_>, name: &str) -> Option<String> {
        let member = place.get(name)?;
        let text = member.text();
        if text.is_none() {
            self.problem(
                &member,
                format!("'{name}' must be a string, and this is {}", member.node.type_name()),
            );
        }
        text
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&mut self, place: &Place<'_>, name: &str) -> Option<bool> {
        let member = place.get(name)?;
        let value = member.text().and_then(|text| text.parse().ok());
        if value.is_none() {
            self.problem(&member, format!("'{name}' must be true or false"));
        }
        value
    }

    /// An object of scalars.
    pub(crate) fn texts(&mut self, place: &Place<'_>, name: &str) -> BTreeMap<String, String> {
        let mut texts = BTreeMap::new();
        let Some(section) = place.get(name) else { return texts };
        self.object(&section, &format!("'{name}'"));
        for (key, member) in section.members() {
            match member.text() {
                Some(text) => {
                    texts.insert(key.to_owned(), text);
                }
                None => self
                    .problem(&member, format!("this must be a string, and is {}", member.node.type_name())),
            }
        }
        texts
    }
}
