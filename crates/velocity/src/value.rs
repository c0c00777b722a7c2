//! The values a template works with.
//!
//! They follow Java's, because templates are written against Java objects: integers are `Integer` or `Long`, lists and
//! maps are shared by reference, and a map is printed as `{a=1, b=2}`. A container frees what it holds without
//! recursion, so that a template which nests lists a million deep cannot exhaust the stack.

use std::cell::RefCell;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::rc::Rc;
use std::sync::Arc;

use indexmap::{Equivalent, IndexMap};

use crate::Object;
use crate::ast::Definition;

/// A value. Cloning is cheap: text and containers are shared.
#[derive(Clone, Debug, Default)]
pub enum Value {
    /// Java's `null`: a reference to it is printed as it was written.
    #[default]
    Null,
    /// A `Boolean`.
    Bool(bool),
    /// An `Integer`: what literals and small JSON numbers are.
    Int(i32),
    /// A `Long`: what an `Integer` becomes when it overflows.
    Long(i64),
    /// A `Double`.
    Double(f64),
    /// A `String`.
    String(Arc<str>),
    /// A `List`, shared and mutable.
    List(List),
    /// A `LinkedHashMap`, shared and mutable.
    Map(Map),
    /// Something the embedder supplies.
    Object(Rc<dyn Object>),
    /// What `#define` made: it is rendered anew each time it is printed.
    Block(Definition),
}

impl Value {
    /// A `String`.
    #[must_use]
    pub fn string(text: impl Into<Arc<str>>) -> Self {
        Self::String(text.into())
    }

    /// A new `ArrayList` of these items.
    #[must_use]
    pub fn list(items: Vec<Value>) -> Self {
        Self::List(List::new(items))
    }

    /// An object of the embedder's.
    #[must_use]
    pub fn object(object: impl Object + 'static) -> Self {
        Self::Object(Rc::new(object))
    }

    /// Java's narrowest integer type for this number, which is what JSON parsers for Java give.
    #[must_use]
    pub fn integer(number: i64) -> Self {
        i32::try_from(number).map_or(Self::Long(number), Self::Int)
    }

    /// Whether this is `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The text, if this is a `String`.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if this is an `Integer` or `Long`.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(i64::from(*number)),
            Self::Long(number) => Some(*number),
            _ => None,
        }
    }

    /// The number, if this is one of any type.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "Java's Long.doubleValue loses the same bits")]
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Int(number) => Some(f64::from(*number)),
            Self::Long(number) => Some(*number as f64),
            Self::Double(number) => Some(*number),
            _ => None,
        }
    }

    /// The name Java has for the type, for messages and `class.simpleName`.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "Boolean",
            Self::Int(_) => "Integer",
            Self::Long(_) => "Long",
            Self::Double(_) => "Double",
            Self::String(_) => "String",
            Self::List(_) => "List",
            Self::Map(_) => "Map",
            Self::Object(_) => "Object",
            Self::Block(_) => "Reference",
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text.into())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i32> for Value {
    fn from(number: i32) -> Self {
        Self::Int(number)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Long(number)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Double(number)
    }
}

/// A shared list.
#[derive(Clone)]
pub struct List(Rc<ListBody>);

struct ListBody {
    items: RefCell<Vec<Value>>,
    json: bool,
}

impl List {
    /// A list as Java code makes it, printed as `[a, b]`.
    #[must_use]
    pub fn new(items: Vec<Value>) -> Self {
        Self(Rc::new(ListBody { items: RefCell::new(items), json: false }))
    }

    /// A list out of a JSON document. It, and all within, is printed as JSON: `["a","b"]`.
    #[must_use]
    pub fn json(items: Vec<Value>) -> Self {
        Self(Rc::new(ListBody { items: RefCell::new(items), json: true }))
    }

    /// Whether the list is printed as JSON.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.0.json
    }

    /// The number of items.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.items.borrow().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The item at this index, from 0.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Value> {
        self.0.items.borrow().get(index).cloned()
    }

    /// A copy of the items. The values in it are shared.
    #[must_use]
    pub fn items(&self) -> Vec<Value> {
        self.0.items.borrow().clone()
    }

    /// Reads the items in place.
    pub fn with<R>(&self, read: impl FnOnce(&[Value]) -> R) -> R {
        read(&self.0.items.borrow())
    }

    /// Changes the items in place. `change` must not reach this list again through another handle.
    pub fn change<R>(&self, change: impl FnOnce(&mut Vec<Value>) -> R) -> R {
        change(&mut self.0.items.borrow_mut())
    }

    /// Whether both are the same list, not merely equal ones.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn address(&self) -> usize {
        Rc::as_ptr(&self.0).addr()
    }
}

impl fmt::Debug for List {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "List(len {})", self.len())
    }
}

/// A shared map that keeps the order of insertion.
#[derive(Clone, Default)]
pub struct Map(Rc<MapBody>);

/// Names that a watched map remembers, so that looking one up stays cheap.
const WATCHED_MAX: usize = 256;

#[derive(Default)]
struct MapBody {
    entries: RefCell<IndexMap<Key, Value>>,
    /// What was set since the watch began, in the few maps that are watched.
    watch: Option<Box<RefCell<Watch>>>,
}

#[derive(Default)]
struct Watch {
    set: Vec<Key>,
    set_twice: Option<Key>,
}

impl Map {
    /// An empty map.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.entries.borrow().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value under this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Value> {
        self.0.entries.borrow().get(&Name(name)).cloned()
    }

    /// The value under this key.
    #[must_use]
    pub fn get_key(&self, key: &Key) -> Option<Value> {
        self.0.entries.borrow().get(key).cloned()
    }

    /// Sets an entry; an existing one keeps its place. Gives what was there before.
    pub fn insert(&self, key: impl Into<Key>, value: Value) -> Option<Value> {
        let key = key.into();
        if let Some(watch) = &self.0.watch {
            watch.borrow_mut().note(&key);
        }
        self.0.entries.borrow_mut().insert(key, value)
    }

    /// An empty map that notices when a template sets an entry twice, see [`Self::set_twice`].
    #[must_use]
    pub fn watched() -> Self {
        Self(Rc::new(MapBody { entries: RefCell::default(), watch: Some(Box::default()) }))
    }

    /// Begins to watch anew. Does nothing to a map that is not watched.
    pub fn watch_anew(&self) {
        if let Some(watch) = &self.0.watch {
            *watch.borrow_mut() = Watch::default();
        }
    }

    /// The first key of a watched map that was set twice since the watch began.
    #[must_use]
    pub fn set_twice(&self) -> Option<Key> {
        self.0.watch.as_ref().and_then(|watch| watch.borrow().set_twice.clone())
    }

    /// Removes an entry; the others keep their order.
    pub fn remove(&self, key: &Key) -> Option<Value> {
        self.0.entries.borrow_mut().shift_remove(key)
    }

    /// Reads the entries in place.
    pub fn with<R>(&self, read: impl FnOnce(&IndexMap<Key, Value>) -> R) -> R {
        read(&self.0.entries.borrow())
    }

    /// Changes the entries in place. `change` must not reach this map again through another handle.
    pub fn change<R>(&self, change: impl FnOnce(&mut IndexMap<Key, Value>) -> R) -> R {
        change(&mut self.0.entries.borrow_mut())
    }

    /// Whether both are the same map, not merely equal ones.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn address(&self) -> usize {
        Rc::as_ptr(&self.0).addr()
    }
}

impl Watch {
    fn note(&mut self, key: &Key) {
        if !self.set.contains(key) {
            // A template that sets this many different names is none of those that are watched for.
            if self.set.len() < WATCHED_MAX {
                self.set.push(key.clone());
            }
        } else if self.set_twice.is_none() {
            self.set_twice = Some(key.clone());
        }
    }
}

impl<K: Into<Key>> FromIterator<(K, Value)> for Map {
    fn from_iter<I: IntoIterator<Item = (K, Value)>>(entries: I) -> Self {
        let entries = entries.into_iter().map(|(key, value)| (key.into(), value)).collect();
        Self(Rc::new(MapBody { entries: RefCell::new(entries), watch: None }))
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Map(len {})", self.len())
    }
}

/// A key of a map: any value that is not a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// `null`, which a `LinkedHashMap` allows.
    Null,
    /// A `Boolean`.
    Bool(bool),
    /// An `Integer`; not equal to the `Long` of the same number.
    Int(i32),
    /// A `Long`.
    Long(i64),
    /// A `Double`, by its bits.
    Double(u64),
    /// A `String`.
    String(Arc<str>),
}

impl Key {
    /// The key this value makes, or `None` for a container or object.
    #[must_use]
    pub fn of(value: &Value) -> Option<Self> {
        Some(match value {
            Value::Null => Self::Null,
            Value::Bool(flag) => Self::Bool(*flag),
            Value::Int(number) => Self::Int(*number),
            Value::Long(number) => Self::Long(*number),
            Value::Double(number) => Self::Double(number.to_bits()),
            Value::String(text) => Self::String(text.clone()),
            Value::List(_) | Value::Map(_) | Value::Object(_) | Value::Block(_) => return None,
        })
    }

    /// The key as a value.
    #[must_use]
    pub fn to_value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(flag) => Value::Bool(*flag),
            Self::Int(number) => Value::Int(*number),
            Self::Long(number) => Value::Long(*number),
            Self::Double(bits) => Value::Double(f64::from_bits(*bits)),
            Self::String(text) => Value::String(text.clone()),
        }
    }
}

impl Hash for Key {
    // A text key hashes as its text alone, so that a map can be searched by `&str` without making a key.
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Null => 0_u8.hash(state),
            Self::Bool(flag) => flag.hash(state),
            Self::Int(number) => number.hash(state),
            Self::Long(number) => number.hash(state),
            Self::Double(bits) => bits.hash(state),
            Self::String(text) => text.hash(state),
        }
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Self::String(text.into())
    }
}

impl From<String> for Key {
    fn from(text: String) -> Self {
        Self::String(text.into())
    }
}

impl From<Arc<str>> for Key {
    fn from(text: Arc<str>) -> Self {
        Self::String(text)
    }
}

#[derive(Hash)]
struct Name<'a>(&'a str);

impl Equivalent<Key> for Name<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        matches!(key, Key::String(text) if **text == *self.0)
    }
}

impl Drop for ListBody {
    fn drop(&mut self) {
        free(std::mem::take(self.items.get_mut()));
    }
}

impl Drop for MapBody {
    fn drop(&mut self) {
        free(std::mem::take(self.entries.get_mut()).into_values().collect());
    }
}

/// Frees values whose containers may be nested to any depth: children of a container that dies here are taken out
/// of it first and wait their turn.
fn free(mut waiting: Vec<Value>) {
    if !waiting.iter().any(|value| matches!(value, Value::List(_) | Value::Map(_))) {
        return;
    }
    while let Some(value) = waiting.pop() {
        match value {
            Value::List(List(body)) => {
                if let Ok(mut body) = Rc::try_unwrap(body) {
                    waiting.append(body.items.get_mut());
                }
            }
            Value::Map(Map(body)) => {
                if let Ok(mut body) = Rc::try_unwrap(body) {
                    waiting.extend(std::mem::take(body.entries.get_mut()).into_values());
                }
            }
            _ => {}
        }
    }
}
