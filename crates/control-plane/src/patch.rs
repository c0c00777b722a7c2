//! Patch operations: one table per noun says which paths there are and what may be done to each.
//!
//! The table drives both what an update does and what AWS answers to a path or an operation that is not in it.
//! AWS has three ways of saying so, depending on the age of the noun ([`Style`]).

use std::collections::BTreeMap;

use stagedoor_shapes::apigateway::{Op, PatchOperation};

use crate::ApiError;
use crate::control_plane::bad_request;

/// How AWS refuses a path or an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// `Invalid patch path  '/x' specified for op 'replace'. Must be one of: [...]`
    Listing,
    /// `Invalid patch path /x`, and `Invalid patch operation specified. Must be one of: [replace]` for a path that is
    /// there.
    Terse,
    /// `Invalid patch path /x` for either.
    PathOnly,
}

/// The paths of a noun, in AWS's order. `{}` stands for one segment of any content; each path has a field that the
/// update matches on.
pub(crate) struct Table<F: 'static> {
    pub(crate) style: Style,
    pub(crate) rows: &'static [(&'static str, &'static [Op], F)],
}

/// What may be done to a plain member.
pub(crate) const REPLACE: &[Op] = &[Op::Replace];
/// What may be done to an entry of a map.
pub(crate) const ENTRY: &[Op] = &[Op::Add, Op::Replace, Op::Remove];
/// What may be done to a group of members that may be absent as a whole.
pub(crate) const REMOVE: &[Op] = &[Op::Remove];
/// What may be done to a member of such a group.
pub(crate) const ADD_OR_REPLACE: &[Op] = &[Op::Add, Op::Replace];
/// What may be done to an entry of a set.
pub(crate) const MEMBER: &[Op] = &[Op::Add, Op::Remove];

/// A patch operation that is in the table.
#[derive(Debug)]
pub(crate) struct Patch<F> {
    pub(crate) field: F,
    pub(crate) op: Op,
    /// What stood for `{}`, unescaped.
    pub(crate) name: String,
    pub(crate) value: Option<String>,
}

impl<F> Patch<F> {
    /// The value, where an absent one and an empty one mean the same; both are `None` then. A removal has none.
    pub(crate) fn text(&self) -> Option<String> {
        self.value.clone().filter(|value| !value.is_empty() && self.op != Op::Remove)
    }

    /// The value as a truth value. AWS takes anything but `true` for false.
    pub(crate) fn truth(&self) -> bool {
        self.value.as_deref().is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// The value as one of an enumeration's, or the given message.
    pub(crate) fn one_of<T: std::str::FromStr>(&self, message: &str) -> Result<T, ApiError> {
        let value = self.value.as_deref().unwrap_or_default();
        value.parse().map_err(|_| ApiError::BadRequest(message.to_owned()))
    }

    /// Does to a member of a list what is asked for. The path names it, whatever an addition's value says; a
    /// replacement goes to the end. Replacing or removing what is not there is answered with `missing`.
    pub(crate) fn on_list(&self, list: &mut Vec<String>, missing: &str) -> Result<(), ApiError> {
        let before = list.len();
        list.retain(|other| *other != self.name);
        if self.op != Op::Add && list.len() == before {
            return Err(ApiError::NotFound(missing.to_owned()));
        }
        match (self.op, self.text()) {
            (Op::Add, _) => list.push(self.name.clone()),
            (Op::Replace, Some(value)) => {
                list.retain(|other| *other != value);
                list.push(value);
            }
            _ => {}
        }
        Ok(())
    }

    /// Does to an entry of a map what is asked for. Replacing or removing what is not there is answered with
    /// `missing`; a map whose last entry is removed is absent.
    pub(crate) fn on_map<V>(
        &self,
        map: &mut Option<BTreeMap<String, V>>,
        value: V,
        missing: &str,
    ) -> Result<(), ApiError> {
        let entries = map.get_or_insert_default();
        if self.op != Op::Add && !entries.contains_key(&self.name) {
            return Err(ApiError::NotFound(missing.to_owned()));
        }
        if self.op == Op::Remove {
            entries.remove(&self.name);
        } else {
            entries.insert(self.name.clone(), value);
        }
        if entries.is_empty() {
            *map = None;
        }
        Ok(())
    }
}

impl<F: Copy> Table<F> {
    /// Looks every operation up. Nothing is applied if one of them is not in the table.
    pub(crate) fn resolve(&self, operations: Option<&[PatchOperation]>) -> Result<Vec<Patch<F>>, ApiError> {
        operations.unwrap_or_default().iter().map(|operation| self.resolve_one(operation)).collect()
    }

    fn resolve_one(&self, operation: &PatchOperation) -> Result<Patch<F>, ApiError> {
        let Some(op) = operation.op else { return bad_request("Invalid patch operation specified") };
        let path = operation.path.as_deref();
        let row = path.and_then(|path| {
            self.rows.iter().find_map(|(template, ops, field)| Some((*ops, *field, matches(template, path)?)))
        });
        match row {
            Some((ops, field, name)) if ops.contains(&op) => {
                Ok(Patch { field, op, name, value: operation.value.clone() })
            }
            found => bad_request(self.refusal(op, path.unwrap_or("null"), found.map(|(ops, ..)| ops))),
        }
    }

    fn refusal(&self, op: Op, path: &str, ops: Option<&[Op]>) -> String {
        match (self.style, ops) {
            (Style::Listing, _) => {
                let paths = self.rows.iter().filter(|(_, ops, _)| ops.contains(&op)).map(|(path, ..)| *path);
                let paths: Vec<&str> = paths.collect();
                let start = format!("Invalid patch path  '{path}' specified for op '{op}'.");
                if paths.is_empty() {
                    format!("{start} Please choose supported operations")
                } else {
                    format!("{start} Must be one of: [{}]", paths.join(", "))
                }
            }
            (Style::Terse, Some(ops)) => {
                let ops: Vec<&str> = ops.iter().map(|op| op.as_str()).collect();
                format!("Invalid patch operation specified. Must be one of: [{}]", ops.join(", "))
            }
            (Style::Terse, None) | (Style::PathOnly, _) => format!("Invalid patch path {path}"),
        }
    }
}

/// What `{}` stands for if the path fits the template (empty where there is none).
fn matches(template: &str, path: &str) -> Option<String> {
    let mut name = String::new();
    let mut segments = path.split('/');
    for part in template.split('/') {
        let segment = segments.next()?;
        if part.starts_with('{') {
            name = unescape(segment);
        } else if part != segment {
            return None;
        }
    }
    segments.next().is_none().then_some(name)
}

/// JSON Pointer's escapes: `~1` is a slash, `~0` a tilde.
pub(crate) fn unescape(segment: &str) -> String {
    segment.replace("~1", "/").replace("~0", "~")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TABLE: Table<char> = Table {
        style: Style::Listing,
        rows: &[("/name", REPLACE, 'n'), ("/types/{media_type}", ENTRY, 't'), ("/scopes", MEMBER, 's')],
    };

    fn operation(op: Op, path: &str) -> PatchOperation {
        PatchOperation { op: Some(op), path: Some(path.to_owned()), ..PatchOperation::default() }
    }

    fn check(style: Style, op: Op, path: &str, expected: &str) {
        let table = Table { style, rows: TABLE.rows };
        let found = match table.resolve(Some(&[operation(op, path)])) {
            Ok(patches) => patches.iter().map(|patch| format!("{} {}", patch.field, patch.name)).collect(),
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn paths_are_looked_up() {
        check(Style::Listing, Op::Replace, "/name", "n ");
        check(Style::Listing, Op::Add, "/types/image~1png", "t image/png");
        check(Style::Listing, Op::Add, "/types/a~01", "t a~1");
    }

    #[test]
    fn refusals_are_worded_as_aws_words_them() {
        let listing = "Invalid patch path  '/x' specified for op 'replace'. Must be one of: [/name, /types/{media_type}]";
        check(Style::Listing, Op::Replace, "/x", listing);
        let none = "Invalid patch path  '/name' specified for op 'copy'. Please choose supported operations";
        check(Style::Listing, Op::Copy, "/name", none);
        check(Style::Terse, Op::Add, "/name", "Invalid patch operation specified. Must be one of: [replace]");
        check(Style::Terse, Op::Add, "/types/a/b", "Invalid patch path /types/a/b");
        check(Style::Terse, Op::Add, "/types", "Invalid patch path /types");
        check(Style::PathOnly, Op::Add, "/name", "Invalid patch path /name");
        let pathless = PatchOperation { op: Some(Op::Add), ..PatchOperation::default() };
        let table = Table { style: Style::PathOnly, rows: TABLE.rows };
        assert_eq!(table.resolve(Some(&[pathless])).unwrap_err().to_string(), "Invalid patch path null");
    }

    proptest! {
        #[test]
        fn any_name_can_be_escaped(name in ".*") {
            let escaped = name.replace('~', "~0").replace('/', "~1");
            let found = TABLE.resolve(Some(&[operation(Op::Add, &format!("/types/{escaped}"))])).unwrap();
            prop_assert_eq!(&found[0].name, &name);
        }

        #[test]
        fn any_path_is_found_or_refused(path in "[/~01a-z{}]{0,20}", style in 0..3) {
            let style = [Style::Listing, Style::Terse, Style::PathOnly][style as usize];
            let table = Table { style, rows: TABLE.rows };
            if let Err(error) = table.resolve(Some(&[operation(Op::Add, &path)])) {
                prop_assert!(error.to_string().starts_with("Invalid patch "));
            }
        }
    }
}
