//! Macros and variables.
//!
//! A macro's arguments are passed by name: each use evaluates the argument again, where the macro was called. What a
//! macro sets is set for all.

use std::sync::Arc;

use super::{Flow, Outcome, Renderer};
use crate::ast::{Call, Definition, Expression, Reference};
use crate::error::RenderError;
use crate::value::Value;

/// How deep macros may call each other, as in Velocity.
const CALLS_MAX: usize = 20;

/// A macro call in progress.
pub(super) struct Frame {
    /// The parameters with the index of their argument.
    parameters: Vec<(Arc<str>, Argument)>,
    /// What was assigned to parameters.
    locals: Vec<(Arc<str>, Value)>,
    caller: Option<usize>,
}

enum Argument {
    /// Another name for a variable of the caller's, and how the caller wrote it.
    Variable(Arc<str>, Box<str>),
    /// The argument of this index, to be evaluated where the macro was called.
    Expression(Arc<[Expression]>, usize),
    Body(Definition),
}

impl Renderer<'_> {
    /// Calls a macro, or prints the call if there is no such macro.
    pub(super) fn call(&mut self, call: &Call) -> Outcome<Flow> {
        let Some(made) = self.find_macro(&call.name) else {
            self.push(&call.literal)?;
            return Ok(Flow::Next);
        };
        if self.calls >= CALLS_MAX {
            return Err(RenderError::TooDeep(CALLS_MAX));
        }
        let mut parameters = Vec::with_capacity(made.parameters.len() + 1);
        for ((index, argument), parameter) in call.arguments.iter().enumerate().zip(&made.parameters) {
            parameters.push((Arc::clone(parameter), Argument::of(argument, &call.arguments, index)));
        }
        if let Some(body) = &call.body {
            parameters.push(("bodyContent".into(), Argument::Body(body.clone())));
        }
        let caller = self.frame;
        self.frame = Some(self.frames.len());
        self.frames.push(Frame { parameters, locals: Vec::new(), caller });
        self.calls += 1;
        let flow = self.block(&made.body)?;
        self.calls -= 1;
        self.frames.pop();
        self.frame = caller;
        Ok(if flow == Flow::Break { Flow::Next } else { flow })
    }

    /// A variable as the template sees it here.
    pub(super) fn variable(&mut self, name: &Arc<str>) -> Outcome<Option<Value>> {
        if self.frame.is_none() {
            return Ok(self.context.get(name).cloned());
        }
        let mut name = Arc::clone(name);
        let mut frame = self.frame;
        while let Some(here) = frame.and_then(|index| self.frames.get(index)) {
            if let Some((_, value)) = here.locals.iter().find(|(local, _)| *local == name) {
                return Ok(Some(value.clone()));
            }
            frame = here.caller;
            match here.parameters.iter().find(|(parameter, _)| *parameter == name) {
                Some((_, Argument::Variable(other, _))) => name = Arc::clone(other),
                Some((_, Argument::Body(body))) => return Ok(Some(Value::Block(body.clone()))),
                Some((_, Argument::Expression(arguments, index))) => {
                    let (arguments, index) = (Arc::clone(arguments), *index);
                    let inner = std::mem::replace(&mut self.frame, frame);
                    let value = arguments.get(index).map(|argument| self.evaluate(argument)).transpose();
                    self.frame = inner;
                    return Ok(value?.filter(|value| !value.is_null()));
                }
                None => {}
            }
        }
        Ok(self.context.get(&name).cloned())
    }

    /// Sets a variable. `null` removes it.
    ///
    /// A macro's parameter takes the value for the rest of the call, and so does the variable of the same name; the
    /// caller's argument stays what it is.
    pub(super) fn set_variable(&mut self, name: &Arc<str>, value: Value) {
        let mut frame = self.frame;
        while let Some(here) = frame.and_then(|index| self.frames.get_mut(index)) {
            if here.parameters.iter().any(|(parameter, _)| parameter == name) {
                here.locals.retain(|(local, _)| local != name);
                if value.is_null() {
                    here.parameters.retain(|(parameter, _)| parameter != name);
                } else {
                    here.locals.push((Arc::clone(name), value.clone()));
                }
            }
            frame = here.caller;
        }
        if value.is_null() {
            self.context.remove(name);
        } else {
            self.context.assign(name, value);
        }
    }

    /// What is printed for a reference without value: for a macro's parameter, the argument as the caller wrote it.
    pub(super) fn literal_of(&self, reference: &Reference) -> Box<str> {
        if self.context.missing_is_empty {
            return Box::default();
        }
        // Only one written in the plainest way.
        if self.frame.is_none() || reference.literal.strip_prefix('$') != Some(&*reference.root) {
            return reference.literal.clone();
        }
        let here = self.frame.and_then(|index| self.frames.get(index));
        let argument = here.and_then(|here| here.parameters.iter().find(|(name, _)| *name == reference.root));
        match argument {
            Some((_, Argument::Variable(_, literal))) => literal.clone(),
            _ => reference.literal.clone(),
        }
    }
}

impl Argument {
    fn of(argument: &Expression, arguments: &Arc<[Expression]>, index: usize) -> Self {
        match argument {
            Expression::Reference(Reference { root, steps, literal, .. }) if steps.is_empty() => {
                Self::Variable(Arc::clone(root), literal.clone())
            }
            _ => Self::Expression(Arc::clone(arguments), index),
        }
    }
}
