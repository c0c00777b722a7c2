//! A value together with its path: what everything above the text works with.

use crate::node::{DocPath, Map, Node, Position, Value};

/// A value in a document and the path that leads to it.
#[derive(Clone, Debug)]
pub struct Place<'a> {
    /// The value.
    pub node: &'a Node,
    /// Its path.
    pub path: DocPath,
    /// Where its key stands; the value itself for items of lists and the document.
    pub key_at: Position,
}

impl<'a> Place<'a> {
    /// A whole document.
    #[must_use]
    pub const fn of(node: &'a Node) -> Self {
        Self::root(node)
    }

    pub(crate) const fn root(node: &'a Node) -> Self {
        Self { node, path: DocPath::root(), key_at: node.at }
    }

    /// The member of that name, if this is an object that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Self> {
        let entry = self.map()?.get(key)?;
        Some(Self { node: &entry.node, path: self.path.child(key), key_at: entry.key_at })
    }

    /// Its members, in the order of the text; none if it is no object.
    pub fn members(&self) -> impl Iterator<Item = (&'a str, Self)> + use<'a> {
        let path = self.path.clone();
        self.map().into_iter().flatten().map(move |(key, entry)| {
            (key.as_str(), Self { node: &entry.node, path: path.child(key), key_at: entry.key_at })
        })
    }

    /// Its items; none if it is no list.
    pub fn items(&self) -> impl Iterator<Item = Self> + use<'a> {
        let items: &[Node] = if let Value::List(items) = &self.node.value { items } else { &[] };
        let path = self.path.clone();
        items.iter().enumerate().map(move |(index, node)| Self {
            node,
            path: path.child(&index.to_string()),
            key_at: node.at,
        })
    }

    /// The members, if it is an object.
    #[must_use]
    pub const fn map(&self) -> Option<&'a Map> {
        if let Value::Map(map) = &self.node.value { Some(map) } else { None }
    }

    /// Whether it is a list.
    #[must_use]
    pub const fn is_list(&self) -> bool {
        matches!(self.node.value, Value::List(_))
    }

    /// Whether it is `null`, or nothing.
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self.node.value, Value::Null)
    }

    /// Whether it is a string.
    #[must_use]
    pub const fn is_string(&self) -> bool {
        matches!(self.node.value, Value::String(_))
    }

    /// Its text, if it is a scalar.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        self.node.text()
    }

    /// Where a message about it should point: at its key if it is an object or a list, else at the value.
    #[must_use]
    pub const fn at(&self) -> Position {
        match self.node.value {
            Value::Map(_) | Value::List(_) | Value::Null => self.key_at,
            _ => self.node.at,
        }
    }

    /// The place at a path below this one, if there is one.
    #[must_use]
    pub fn find(&self, path: &DocPath) -> Option<Self> {
        let (place, missing) = self.walk(path);
        (!missing).then_some(place)
    }

    /// Where a path below this place stands, or the nearest part of it that is there.
    #[must_use]
    pub fn locate(&self, path: &DocPath) -> Position {
        self.walk(path).0.at()
    }

    /// Goes along a path as far as it leads, and says whether a part of it is missing.
    fn walk(&self, path: &DocPath) -> (Self, bool) {
        let mut place = self.clone();
        for part in path.parts() {
            let next = match part.parse::<usize>() {
                Ok(index) if place.is_list() => place.items().nth(index),
                _ => place.get(part),
            };
            let Some(next) = next else { return (place, true) };
            place = next;
        }
        (place, false)
    }
}
