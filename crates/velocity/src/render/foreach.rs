//! `#foreach`, its `$foreach` and `$velocityCount`, and `#break`.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::{Arc, LazyLock};

use super::evaluate::steps;
use super::{Flow, Outcome, Renderer};
use crate::Object;
use crate::ast::{Block, Expression};
use crate::value::{Map, Value};

/// What a loop sets beside its variable.
static NAMES: LazyLock<[Arc<str>; 3]> =
    LazyLock::new(|| ["velocityCount".into(), "velocityHasNext".into(), "foreach".into()]);

/// A loop in progress.
pub(super) struct LoopState {
    state: Rc<Loop>,
}

/// `$foreach`.
#[derive(Debug)]
struct Loop {
    index: Cell<i32>,
    has_next: Cell<bool>,
    parent: Option<Rc<Loop>>,
    depth: usize,
}

impl Object for Loop {
    fn property(&self, name: &str) -> Option<Value> {
        let index = self.index.get();
        Some(match name {
            "index" => Value::Int(index),
            "count" => Value::Int(index.saturating_add(1)),
            "hasNext" => Value::Bool(self.has_next.get()),
            "first" => Value::Bool(index == 0),
            "last" => Value::Bool(!self.has_next.get()),
            "parent" => Value::Object(Rc::clone(self.parent.as_ref()?) as Rc<dyn Object>),
            "topmost" => {
                let mut top = self.parent.as_ref()?;
                while let Some(parent) = &top.parent {
                    top = parent;
                }
                Value::Object(Rc::clone(top) as Rc<dyn Object>)
            }
            _ => return None,
        })
    }

    fn call(&self, method: &str, arguments: &[Value]) -> Option<Result<Value, crate::RenderError>> {
        if !arguments.is_empty() {
            return None;
        }
        let name = match method {
            "getIndex" => "index",
            "getCount" => "count",
            "hasNext" | "getHasNext" => "hasNext",
            "isFirst" | "getFirst" => "first",
            "isLast" | "getLast" => "last",
            "getParent" => "parent",
            "getTopmost" => "topmost",
            _ => return None,
        };
        self.property(name).map(Ok)
    }

    fn text(&self) -> Option<String> {
        Some("{}".to_owned())
    }
}

impl Renderer<'_> {
    pub(super) fn foreach(
        &mut self,
        variable: &Arc<str>,
        source: &Expression,
        body: &Block,
    ) -> Outcome<Flow> {
        if let Expression::Range(range) = source {
            let Some((first, last)) = self.range(&range.0, &range.1)? else { return Ok(Flow::Next) };
            // A range may be endless as lists go; only what will be looked at is made.
            return self.iterate(variable, steps(first, last).map(Value::Int), body);
        }
        let value = self.evaluate(source)?;
        // One item past the limit, so that the last one knows of a next.
        let most = self.limits.iterations.saturating_add(1);
        let items: Vec<Value> = match &value {
            Value::List(list) => list.with(|items| items.iter().take(most).cloned().collect()),
            Value::Map(map) => Map::with(map, |entries| entries.values().take(most).cloned().collect()),
            Value::Object(object) => object.items().unwrap_or_default(),
            _ => return Ok(Flow::Next),
        };
        self.iterate(variable, items.into_iter(), body)
    }

    fn iterate(
        &mut self,
        variable: &Arc<str>,
        items: impl Iterator<Item = Value>,
        body: &Block,
    ) -> Outcome<Flow> {
        let mut items = items.peekable();
        if items.peek().is_none() {
            return Ok(Flow::Next);
        }
        let [count_name, next_name, scope_name] = &*NAMES;
        let names = [count_name, next_name, scope_name, variable];
        let saved = names.map(|name| self.variable(name).map(Option::unwrap_or_default));
        let depth = self.loops.len();
        let parent = self.loops.last().map(|outer| Rc::clone(&outer.state));
        let state = Rc::new(Loop { index: Cell::new(0), has_next: Cell::new(true), parent, depth });
        self.loops.push(LoopState { state: Rc::clone(&state) });
        self.set_variable(scope_name, Value::shared(&state));

        let mut flow = Flow::Next;
        let mut count = 0;
        while let Some(item) = items.next() {
            if usize::try_from(count).is_ok_and(|done| done >= self.limits.iterations) {
                break;
            }
            self.step()?;
            state.index.set(count);
            state.has_next.set(items.peek().is_some());
            count += 1;
            self.set_variable(count_name, Value::Int(count));
            self.set_variable(next_name, Value::Bool(state.has_next.get()));
            self.set_variable(variable, item);
            match self.block(body)? {
                Flow::Next => {}
                Flow::Break => break,
                Flow::BreakLoop(target) if target == depth => break,
                other => {
                    flow = other;
                    break;
                }
            }
        }

        self.loops.pop();
        for (name, value) in names.into_iter().zip(saved) {
            self.set_variable(name, value?);
        }
        Ok(flow)
    }

    /// `#break($foreach.parent)` leaves the loop it names; a scope that is none leaves the innermost one.
    pub(super) fn break_scope(&mut self, scope: &Expression) -> Outcome<Flow> {
        let Value::Object(object) = self.evaluate(scope)? else { return Ok(Flow::Break) };
        let address = Rc::as_ptr(&object).cast::<()>();
        let named = self.loops.iter().find(|outer| Rc::as_ptr(&outer.state).cast::<()>() == address);
        Ok(named.map_or(Flow::Break, |outer| Flow::BreakLoop(outer.state.depth)))
    }
}
