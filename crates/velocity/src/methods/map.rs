//! The methods of `Map` and `Map.Entry`.

use super::{Called, Host};
use crate::operators::equals;
use crate::value::{Key, Map, Value};
use crate::{Object, RenderError};

pub(super) fn call(host: &mut Host, map: &Map, name: &str, arguments: &[Value]) -> Called {
    let null = |value: Option<Value>| Ok(Some(value.unwrap_or_default()));
    Ok(match (name, arguments) {
        ("size", []) => Some(Value::integer(i64::try_from(map.len()).unwrap_or(i64::MAX))),
        ("isEmpty", []) => Some(Value::Bool(map.is_empty())),
        ("get", [key]) => return null(Key::of(key).and_then(|key| map.get_key(&key))),
        ("getOrDefault", [key, default]) => {
            return null(Some(
                Key::of(key).and_then(|key| map.get_key(&key)).unwrap_or_else(|| default.clone()),
            ));
        }
        ("put", [key, value]) => return null(checked(key)?.and_then(|key| map.insert(key, value.clone()))),
        ("putIfAbsent", [key, value]) => {
            let Some(key) = checked(key)? else { return Ok(None) };
            let before = map.get_key(&key).filter(|before| !before.is_null());
            if before.is_none() {
                map.insert(key, value.clone());
            }
            return null(before);
        }
        ("replace", [key, value]) => match checked(key)? {
            Some(key) if map.get_key(&key).is_some() => map.insert(key, value.clone()),
            _ => Some(Value::Null),
        },
        ("putAll", [Value::Map(other)]) => {
            let entries = other.with(Clone::clone);
            host.work(entries.len() * 16);
            map.change(|own| own.extend(entries));
            Some(super::void())
        }
        ("remove", [key]) => {
            host.work(map.len() * 8);
            return null(Key::of(key).and_then(|key| map.remove(&key)));
        }
        ("remove", [key, value]) => {
            let key = Key::of(key).filter(|key| map.get_key(key).is_some_and(|own| equals(&own, value)));
            Some(Value::Bool(key.is_some_and(|key| map.remove(&key).is_some())))
        }
        ("containsKey", [key]) => {
            Some(Value::Bool(Key::of(key).is_some_and(|key| map.with(|own| own.contains_key(&key)))))
        }
        ("containsValue", [value]) => {
            host.work(map.len() * 8);
            Some(Value::Bool(map.with(|own| own.values().any(|other| equals(other, value)))))
        }
        ("keySet", []) => {
            host.work(map.len() * 16);
            Some(Value::list(map.with(|own| own.keys().map(Key::to_value).collect())))
        }
        ("values", []) => {
            host.work(map.len() * 16);
            Some(Value::list(map.with(|own| own.values().cloned().collect())))
        }
        ("entrySet", []) => {
            host.work(map.len() * 32);
            let entry = |key: &Key| Value::object(Entry { map: map.clone(), key: key.clone() });
            Some(Value::list(map.with(|own| own.keys().map(entry).collect())))
        }
        ("clear", []) => {
            drop(map.change(std::mem::take));
            Some(super::void())
        }
        _ => None,
    })
}

fn checked(key: &Value) -> Result<Option<Key>, RenderError> {
    match Key::of(key) {
        Some(key) => Ok(Some(key)),
        None => Err(super::exception("Map", "put", format!("a {} cannot be a key", key.type_name()))),
    }
}

/// An entry, which writes through to its map.
#[derive(Debug)]
struct Entry {
    map: Map,
    key: Key,
}

impl Object for Entry {
    fn property(&self, name: &str) -> Option<Value> {
        match name {
            "key" => Some(self.key.to_value()),
            "value" => self.map.get_key(&self.key),
            _ => None,
        }
    }

    fn call(&self, method: &str, arguments: &[Value]) -> Option<Result<Value, RenderError>> {
        match (method, arguments) {
            ("getKey", []) => Some(Ok(self.key.to_value())),
            ("getValue", []) => Some(Ok(self.map.get_key(&self.key).unwrap_or_default())),
            ("setValue", [value]) => {
                Some(Ok(self.map.insert(self.key.clone(), value.clone()).unwrap_or_default()))
            }
            _ => None,
        }
    }

    fn text(&self) -> Option<String> {
        let value = self.map.get_key(&self.key).unwrap_or_default();
        Some(format!("{}={}", self.key.to_value().to_text(), value.to_text()))
    }
}
