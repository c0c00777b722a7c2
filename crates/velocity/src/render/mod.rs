//! Rendering: walking the tree with a context.
//!
//! Everything here is bounded (see [`crate::Limits`]), because templates come from whoever may deploy an API and
//! values from whoever may call it.

mod evaluate;
mod foreach;
mod macros;
mod reference;

use std::sync::Arc;

use crate::ast::{Block, Definition, Macro, Node};
use crate::context::{Context, Limits};
use crate::error::RenderError;
use crate::text::{Full, Output};
use crate::value::Value;
use crate::{Template, parse};
use macros::Frame;

pub(crate) fn render(template: &Template, context: &mut Context) -> Result<String, RenderError> {
    let limits = context.limits();
    let capacity = (template.length * 2).min(limits.output_bytes);
    let output = Output::with_capacity(capacity, limits.output_bytes);
    let mut renderer = Renderer {
        context,
        limits,
        macros: &template.macros,
        more_macros: parse::Macros::new(),
        output,
        frames: Vec::new(),
        frame: None,
        loops: Vec::new(),
        steps: 0,
        depth: 0,
        calls: 0,
        pending: None,
    };
    renderer.block(&template.body)?;
    Ok(renderer.output.into_string())
}

/// What happens after a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Next,
    /// Leaves the innermost loop, macro or evaluation.
    Break,
    /// Leaves loops up to the one at this depth.
    BreakLoop(usize),
    Stop,
}

struct Renderer<'a> {
    context: &'a mut Context,
    limits: Limits,
    macros: &'a parse::Macros,
    /// Macros that came with `#evaluate`.
    more_macros: parse::Macros,
    output: Output,
    frames: Vec<Frame>,
    /// The macro call whose arguments are in sight.
    frame: Option<usize>,
    loops: Vec<foreach::LoopState>,
    steps: u64,
    depth: usize,
    calls: usize,
    /// A `#break` or `#stop` within a text in quotes: it takes effect at the statement that the text is part of.
    pending: Option<Flow>,
}

type Outcome<T> = Result<T, RenderError>;

impl Renderer<'_> {
    fn block(&mut self, block: &Block) -> Outcome<Flow> {
        self.enter()?;
        let mut flow = Flow::Next;
        for node in block {
            flow = self.node(node)?;
            if let Some(pending) = self.pending.take() {
                flow = pending;
            }
            if flow != Flow::Next {
                break;
            }
        }
        self.leave();
        Ok(flow)
    }

    fn node(&mut self, node: &Node) -> Outcome<Flow> {
        self.step()?;
        match node {
            Node::Text(text) => self.push(text)?,
            Node::Reference(reference) => return self.print(reference),
            Node::Set { target, value } => {
                let value = self.evaluate(value)?;
                // Velocity does not assign null: the variable keeps what it has.
                if !value.is_null() && self.pending.is_none() {
                    self.assign(target, value)?;
                }
            }
            Node::If { branches, otherwise } => {
                for (condition, body) in branches {
                    if self.condition(condition)? {
                        return self.block(body);
                    }
                }
                if let Some(body) = otherwise {
                    return self.block(body);
                }
            }
            Node::Foreach { variable, source, body } => return self.foreach(variable, source, body),
            Node::Break(None) => return Ok(Flow::Break),
            Node::Break(Some(scope)) => return self.break_scope(scope),
            Node::Stop => return Ok(Flow::Stop),
            Node::Call(call) => return self.call(call),
            Node::Define { name, body } => self.set_variable(name, Value::Block(body.clone())),
            Node::Evaluate(source) => return self.evaluate_directive(source),
        }
        Ok(Flow::Next)
    }

    /// `#evaluate`: a value's text, rendered as a template.
    fn evaluate_directive(&mut self, source: &crate::ast::Expression) -> Outcome<Flow> {
        let value = self.evaluate(source)?;
        if value.is_null() || self.pending.is_some() {
            return Ok(Flow::Next);
        }
        let source = self.text_of(&value)?;
        self.steps = self.steps.saturating_add(source.len() as u64 / 8);
        self.step()?;
        let parsed = parse::parse(&source).map_err(RenderError::Evaluate)?;
        for (name, made) in parsed.macros {
            self.more_macros.entry(name).or_insert(made);
        }
        Ok(match self.block(&parsed.body)? {
            Flow::Break => Flow::Next,
            flow => flow,
        })
    }

    /// Renders a definition into a text of its own.
    fn definition(&mut self, definition: &Definition) -> Outcome<(String, Flow)> {
        self.captured(|this| this.block(&definition.0))
    }

    /// What `inner` prints, apart from the output.
    fn captured(&mut self, inner: impl FnOnce(&mut Self) -> Outcome<Flow>) -> Outcome<(String, Flow)> {
        let outer = std::mem::replace(&mut self.output, Output::new(self.limits.output_bytes));
        let flow = inner(self);
        let text = std::mem::replace(&mut self.output, outer).into_string();
        Ok((text, flow?))
    }

    fn find_macro(&self, name: &str) -> Option<Arc<Macro>> {
        self.macros.get(name).or_else(|| self.more_macros.get(name)).cloned()
    }

    fn push(&mut self, text: &str) -> Outcome<()> {
        self.output.push(text).map_err(|full| self.full(full))
    }

    fn push_value(&mut self, value: &Value) -> Outcome<()> {
        self.output.value(value).map_err(|full| self.full(full))
    }

    /// A value's text; a block is rendered.
    fn text_of(&mut self, value: &Value) -> Outcome<Arc<str>> {
        match value {
            Value::String(text) => Ok(Arc::clone(text)),
            Value::Block(definition) => Ok(self.definition(definition)?.0.into()),
            value => {
                let mut output = Output::new(self.limits.output_bytes);
                output.value(value).map_err(|full| self.full(full))?;
                Ok(output.into_string().into())
            }
        }
    }

    fn full(&self, full: Full) -> RenderError {
        match full {
            Full::Bytes => RenderError::OutputTooLong(self.limits.output_bytes),
            Full::Depth => RenderError::TooDeep(self.limits.depth),
        }
    }

    fn step(&mut self) -> Outcome<()> {
        self.steps += 1;
        if self.steps > self.limits.steps {
            return Err(RenderError::TooManySteps(self.limits.steps));
        }
        Ok(())
    }

    fn enter(&mut self) -> Outcome<()> {
        self.depth += 1;
        if self.depth > self.limits.depth {
            return Err(RenderError::TooDeep(self.limits.depth));
        }
        Ok(())
    }

    // After an error the depth no longer matters: the rendering ends.
    fn leave(&mut self) {
        self.depth -= 1;
    }
}
