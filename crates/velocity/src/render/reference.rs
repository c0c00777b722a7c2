//! References: what they stand for, how they are printed, and assigning to them.

use std::sync::Arc;

use super::{Flow, Outcome, Renderer};
use crate::ast::{Expression, Reference, Step};
use crate::error::{Position, RenderError};
use crate::methods;
use crate::value::{Key, Value};

impl Renderer<'_> {
    /// Prints a reference's value, or the reference as written if it has none.
    pub(super) fn print(&mut self, reference: &Reference) -> Outcome<Flow> {
        let value = self.value_of(reference)?;
        if !reference.escaped && reference.backslashes == 0 && reference.prefix.is_empty() {
            match &value {
                Value::Null => {
                    let shown = self.literal_of(reference);
                    self.push(&shown)?;
                }
                Value::String(text) => self.push(text)?,
                Value::Block(definition) => return self.print_block(&definition.clone()),
                // Nor is there anything to print of an object without a text, such as `$input` as a whole.
                Value::Object(object) if object.text().is_none() => {
                    let shown = self.literal_of(reference);
                    self.push(&shown)?;
                }
                value => self.push_value(value)?,
            }
            return Ok(Flow::Next);
        }
        let slashes = "\\".repeat(reference.backslashes);
        let present = !value.is_null();
        self.push(&slashes)?;
        if reference.escaped {
            if !present {
                self.push("\\")?;
            }
            self.push(&reference.prefix)?;
            self.push(&reference.literal)?;
            return Ok(Flow::Next);
        }
        if !present {
            // Backslashes before what turns out to be no reference escape nothing: all of them are text.
            self.push(&slashes)?;
            self.push(&reference.prefix)?;
            let shown = self.literal_of(reference);
            self.push(&shown)?;
            return Ok(Flow::Next);
        }
        self.push(&reference.prefix)?;
        match value {
            Value::Block(definition) => self.print_block(&definition),
            value => {
                self.push_value(&value)?;
                Ok(Flow::Next)
            }
        }
    }

    fn print_block(&mut self, definition: &crate::Definition) -> Outcome<Flow> {
        Ok(match self.block(&definition.0)? {
            Flow::Break => Flow::Next,
            flow => flow,
        })
    }

    /// The value of a reference; `null` if any part of it is missing.
    pub(super) fn value_of(&mut self, reference: &Reference) -> Outcome<Value> {
        let Some(mut value) = self.variable(&reference.root)? else { return Ok(Value::Null) };
        for step in &reference.steps {
            if value.is_null() {
                break;
            }
            value = self.advance(&value, step).map_err(|error| placed(error, reference.position))?;
        }
        match &value {
            Value::Object(object) if object.is_null() => Ok(Value::Null),
            _ => Ok(value),
        }
    }

    fn advance(&mut self, value: &Value, step: &Step) -> Outcome<Value> {
        match step {
            Step::Property(name) => Ok(methods::property(value, name).unwrap_or_default()),
            Step::Method(name, arguments) => {
                let arguments = self.arguments(arguments)?;
                self.invoke(value, name, arguments)
            }
            Step::Index(index) => {
                let index = self.evaluate(index)?;
                self.invoke(value, "get", vec![from_the_end(value, index)])
            }
        }
    }

    fn arguments(&mut self, arguments: &[Expression]) -> Outcome<Vec<Value>> {
        arguments.iter().map(|argument| self.evaluate(argument)).collect()
    }

    fn invoke(&mut self, value: &Value, name: &str, arguments: Vec<Value>) -> Outcome<Value> {
        let mut host = methods::Host::new(self.limits);
        let result = methods::call(&mut host, value, name, &arguments);
        self.steps = self.steps.saturating_add(host.cost());
        self.step()?;
        let result = result?.unwrap_or_default();
        if methods::stores(value, name) {
            let nested = arguments.iter().any(|argument| matches!(argument, Value::List(_) | Value::Map(_)));
            self.note_container(value, nested)?;
        }
        Ok(result)
    }

    /// Assigns to a variable, a property or an index. What cannot be assigned to is left as it is.
    pub(super) fn assign(&mut self, target: &Reference, value: Value) -> Outcome<()> {
        let Some((last, steps)) = target.steps.split_last() else {
            self.set_variable(&target.root, value);
            return Ok(());
        };
        let Some(mut holder) = self.variable(&target.root)? else { return Ok(()) };
        for step in steps {
            holder = self.advance(&holder, step).map_err(|error| placed(error, target.position))?;
        }
        let nested = matches!(value, Value::List(_) | Value::Map(_));
        match (&holder, last) {
            (Value::Map(map), Step::Property(name)) => {
                map.insert(Arc::clone(name), value);
            }
            (Value::Object(object), Step::Property(name)) => {
                object.set_property(name, &value)?;
            }
            (_, Step::Index(index)) => {
                let index = from_the_end(&holder, self.evaluate(index)?);
                match (&holder, &index) {
                    (Value::Map(map), index) => {
                        if let Some(key) = Key::of(index) {
                            map.insert(key, value);
                        }
                    }
                    (Value::Object(object), Value::String(name)) => {
                        object.set_property(name, &value)?;
                    }
                    (Value::List(_), Value::Int(_)) => {
                        let mut host = methods::Host::new(self.limits);
                        methods::call(&mut host, &holder, "set", &[index, value])?;
                    }
                    _ => {}
                }
            }
            _ => {}
        }
        self.note_container(&holder, nested)
    }

    /// Checks a container's size after a change, and remembers it if it may now contain itself.
    pub(super) fn note_container(&mut self, container: &Value, nested: bool) -> Outcome<()> {
        let length = match container {
            Value::List(list) => list.len(),
            Value::Map(map) => map.len(),
            _ => return Ok(()),
        };
        if length > self.limits.items {
            return Err(RenderError::TooManyItems(self.limits.items));
        }
        if nested {
            self.context.nested.push(container.clone());
        }
        Ok(())
    }
}

/// A method's failure with the place of its reference.
fn placed(mut error: RenderError, place: Position) -> RenderError {
    if let RenderError::Method { position, .. } = &mut error
        && position.line == 0
    {
        *position = place;
    }
    error
}

/// An index below zero counts from the end.
fn from_the_end(holder: &Value, index: Value) -> Value {
    match (holder, &index) {
        (Value::List(list), Value::Int(number)) if *number < 0 => {
            let length = i32::try_from(list.len()).unwrap_or(i32::MAX);
            Value::Int(length.saturating_add(*number))
        }
        _ => index,
    }
}
