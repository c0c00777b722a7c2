//! The methods of `List`.

use super::{Called, Host, exception};
use crate::error::RenderError;
use crate::operators::equals;
use crate::value::{List, Value};

pub(super) fn call(host: &mut Host, list: &List, name: &str, arguments: &[Value]) -> Called {
    let bool = |flag| Ok(Some(Value::Bool(flag)));
    if !matches!(name, "size" | "isEmpty" | "get" | "set" | "add") {
        host.work(list.len() * 8);
    }
    match (name, arguments) {
        ("size", []) => Ok(Some(int(list.len()))),
        ("isEmpty", []) => bool(list.is_empty()),
        ("get", [Value::Int(index)]) => {
            match usize::try_from(*index).ok().and_then(|index| list.get(index)) {
                Some(value) => Ok(Some(value)),
                None => Err(outside(list, name, *index)),
            }
        }
        ("set", [Value::Int(index), value]) => {
            let place = usize::try_from(*index).ok();
            let before = list.change(|items| {
                place
                    .and_then(|place| items.get_mut(place))
                    .map(|item| std::mem::replace(item, value.clone()))
            });
            before.map(Some).ok_or_else(|| outside(list, name, *index))
        }
        ("add", [value]) => {
            list.change(|items| items.push(value.clone()));
            bool(true)
        }
        ("add", [Value::Int(index), value]) => {
            let Some(place) = usize::try_from(*index).ok().filter(|place| *place <= list.len()) else {
                return Err(outside(list, name, *index));
            };
            list.change(|items| items.insert(place, value.clone()));
            Ok(Some(super::void()))
        }
        ("addAll", [Value::List(other)]) => {
            let more = other.items();
            host.work(more.len() * 8);
            let changed = !more.is_empty();
            list.change(|items| items.extend(more));
            bool(changed)
        }
        ("addAll", [Value::Int(index), Value::List(other)]) => {
            let Some(place) = usize::try_from(*index).ok().filter(|place| *place <= list.len()) else {
                return Err(outside(list, name, *index));
            };
            let more = other.items();
            let changed = !more.is_empty();
            drop(list.change(|items| items.splice(place..place, more).collect::<Vec<_>>()));
            bool(changed)
        }
        ("remove", [Value::Int(index)]) => {
            let Some(place) = usize::try_from(*index).ok().filter(|place| *place < list.len()) else {
                return Err(outside(list, name, *index));
            };
            Ok(Some(list.change(|items| items.remove(place))))
        }
        ("remove", [value]) => match position(list, value, false) {
            Some(place) => {
                drop(list.change(|items| items.remove(place)));
                bool(true)
            }
            None => bool(false),
        },
        ("removeAll" | "retainAll", [Value::List(other)]) => {
            let others = other.items();
            let before = list.len();
            host.work(before * others.len());
            let kept = list.items().into_iter();
            let wanted = name == "retainAll";
            let kept = kept.filter(|item| others.iter().any(|other| equals(item, other)) == wanted).collect();
            drop(list.change(|items| std::mem::replace(items, kept)));
            bool(list.len() != before)
        }
        ("contains", [value]) => bool(position(list, value, false).is_some()),
        ("containsAll", [Value::List(other)]) => {
            let others = other.items();
            host.work(list.len() * others.len());
            bool(others.iter().all(|value| position(list, value, false).is_some()))
        }
        ("indexOf", [value]) => Ok(Some(position(list, value, false).map_or(Value::Int(-1), int))),
        ("lastIndexOf", [value]) => Ok(Some(position(list, value, true).map_or(Value::Int(-1), int))),
        ("subList", [Value::Int(from), Value::Int(to)]) => {
            let range = usize::try_from(*from).ok().zip(usize::try_from(*to).ok());
            let part =
                range.and_then(|(from, to)| list.with(|items| items.get(from..to).map(<[Value]>::to_vec)));
            match part {
                Some(part) => Ok(Some(Value::list(part))),
                None => Err(exception("List", name, format!("from {from} to {to} of {}", list.len()))),
            }
        }
        ("clear", []) => {
            drop(list.change(std::mem::take));
            Ok(Some(super::void()))
        }
        ("iterator" | "listIterator" | "toArray" | "clone", []) => Ok(Some(Value::list(list.items()))),
        ("toJSONString", []) if list.is_json() => {
            Ok(Some(Value::from(host.text(&Value::List(list.clone()))?)))
        }
        _ => Ok(None),
    }
}

fn int(number: usize) -> Value {
    Value::integer(i64::try_from(number).unwrap_or(i64::MAX))
}

fn position(list: &List, value: &Value, last: bool) -> Option<usize> {
    list.with(|items| {
        let mut items = items.iter();
        if last {
            items.rposition(|item| equals(item, value))
        } else {
            items.position(|item| equals(item, value))
        }
    })
}

fn outside(list: &List, method: &str, index: i32) -> RenderError {
    exception("List", method, format!("Index {index} out of bounds for length {}", list.len()))
}
