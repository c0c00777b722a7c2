//! The variables a template reads and sets, and the bounds of a rendering.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use crate::value::{List, Map, Value};

/// How much a rendering may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest output, and the longest text on the way to it. 10 MB unless set: API Gateway's largest payload.
    pub output_bytes: usize,
    /// The largest list or map. 1,000,000 unless set.
    pub items: usize,
    /// The most statements, operands and items looked at. 5,000,000 unless set.
    pub steps: u64,
    /// The deepest nesting of blocks, operands and values. 200 unless set; more needs a larger stack.
    pub depth: usize,
    /// The most iterations of one `#foreach`, which ends silently after them. 1,000 unless set, as on AWS.
    pub iterations: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            output_bytes: 10 * 1024 * 1024,
            items: 1_000_000,
            steps: 5_000_000,
            depth: 200,
            iterations: 1000,
        }
    }
}

/// The variables of a rendering.
///
/// A context belongs to one request. Dropping it empties the lists and maps that a template made contain themselves,
/// which would otherwise never be freed.
#[derive(Debug, Default)]
pub struct Context {
    variables: HashMap<Arc<str>, Value, BuildHasherDefault<NameHasher>>,
    limits: Limits,
    pub(crate) missing_is_empty: bool,
    /// Containers that were put a container into: only those can be part of a cycle.
    pub(crate) nested: Vec<Value>,
}

impl Context {
    /// An empty context with the usual limits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty context with other limits.
    #[must_use]
    pub fn with_limits(limits: Limits) -> Self {
        Self { variables: HashMap::default(), limits, missing_is_empty: false, nested: Vec::new() }
    }

    /// The limits.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Makes references without a value print nothing and equal the empty text, as they do on AWS (recorded). Unless
    /// this is called they are printed as written, as in Velocity.
    pub fn print_missing_as_empty(&mut self) {
        self.missing_is_empty = true;
    }

    /// Sets a variable, named without the dollar sign.
    pub fn set(&mut self, name: impl Into<Arc<str>>, value: impl Into<Value>) {
        self.variables.insert(name.into(), value.into());
    }

    /// A variable; `None` if it was never set or was `null`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.variables.get(name)
    }

    /// Forgets a variable.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        self.variables.remove(name)
    }
}

impl Context {
    /// Sets a variable that is likely to be there already.
    pub(crate) fn assign(&mut self, name: &Arc<str>, value: Value) {
        match self.variables.get_mut(name) {
            Some(variable) => *variable = value,
            None => drop(self.variables.insert(Arc::clone(name), value)),
        }
    }
}

/// FNV-1a, which is fast on names. Whoever writes a template chooses them, so collisions harm only themselves.
struct NameHasher(u64);

impl Default for NameHasher {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for NameHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if !self.nested.is_empty() {
            break_cycles(std::mem::take(&mut self.nested));
        }
    }
}

/// Empties every container that is reached again from within itself.
fn break_cycles(roots: Vec<Value>) {
    enum Step {
        Enter(Value),
        Leave(usize),
    }
    let (mut open, mut done) = (HashSet::new(), HashSet::new());
    let mut cyclic = Vec::new();
    let mut waiting: Vec<Step> = roots.into_iter().map(Step::Enter).collect();
    while let Some(step) = waiting.pop() {
        let value = match step {
            Step::Enter(value) => value,
            Step::Leave(address) => {
                open.remove(&address);
                done.insert(address);
                continue;
            }
        };
        let Some(address) = address(&value) else { continue };
        if done.contains(&address) {
            continue;
        }
        if !open.insert(address) {
            cyclic.push(value);
            continue;
        }
        waiting.push(Step::Leave(address));
        let inner = |items: &mut dyn Iterator<Item = &Value>| {
            let containers = items.filter(|item| matches!(item, Value::List(_) | Value::Map(_)));
            containers.cloned().map(Step::Enter).collect::<Vec<_>>()
        };
        waiting.extend(match &value {
            Value::List(list) => list.with(|items| inner(&mut items.iter())),
            Value::Map(map) => map.with(|entries| inner(&mut entries.values())),
            _ => Vec::new(),
        });
    }
    for value in cyclic {
        match value {
            Value::List(list) => drop(list.change(std::mem::take)),
            Value::Map(map) => drop(map.change(std::mem::take)),
            _ => {}
        }
    }
}

fn address(value: &Value) -> Option<usize> {
    match value {
        Value::List(list) => Some(List::address(list)),
        Value::Map(map) => Some(Map::address(map)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_that_contain_themselves_are_freed() {
        let list = List::new(vec![Value::Int(1)]);
        let map = Map::new();
        list.change(|items| items.push(Value::Map(map.clone())));
        map.insert("list", Value::List(list.clone()));
        let mut context = Context::new();
        context.nested.push(Value::List(list.clone()));
        drop(context);
        assert!(list.is_empty() || map.is_empty());
    }

    #[test]
    fn what_is_missing_may_be_empty() {
        let check = |source: &str, expected: &str| {
            let mut context = Context::new();
            context.print_missing_as_empty();
            context.set("map", Value::Map(Map::new()));
            let template = crate::Template::parse(source).unwrap();
            assert_eq!(template.render(&mut context).unwrap(), expected, "{source}");
        };
        check("[$a][${a.b}][$!a][$map.put('x', 1)][$map.x]", "[][][][][1]");
        check(
            "#if($a == '')1#end#if($a == $null)2#end#if($a)3#end#if($a != '')4#end#if($map != '')5#end",
            "125",
        );
    }

    #[test]
    fn lists_nested_deep_are_freed_without_recursion() {
        let mut value = Value::Null;
        for _ in 0..1_000_000 {
            value = Value::list(vec![value]);
        }
        drop(value);
    }
}
