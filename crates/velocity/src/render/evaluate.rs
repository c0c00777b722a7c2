//! The values of expressions.

use std::cmp::Ordering;

use super::{Flow, Outcome, Renderer};
use crate::ast::{Expression, Operator};
use crate::error::RenderError;
use crate::operators;
use crate::value::{Key, Map, Value};

impl Renderer<'_> {
    pub(super) fn evaluate(&mut self, expression: &Expression) -> Outcome<Value> {
        Ok(match expression {
            Expression::Bool(flag) => Value::Bool(*flag),
            Expression::Int(number) => Value::Int(*number),
            Expression::Long(number) => Value::Long(*number),
            Expression::Double(number) => Value::Double(*number),
            Expression::Text(text) => Value::String(text.clone()),
            Expression::Word => Value::Null,
            Expression::Reference(reference) => {
                self.step()?;
                self.value_of(reference)?
            }
            compound => {
                self.step()?;
                self.enter()?;
                let value = self.compound(compound)?;
                self.leave();
                value
            }
        })
    }

    fn compound(&mut self, expression: &Expression) -> Outcome<Value> {
        Ok(match expression {
            Expression::Interpolated(body) => {
                let (text, flow) = self.captured(|this| this.block(body))?;
                if flow != Flow::Next {
                    self.pending = Some(flow);
                }
                Value::from(text)
            }
            Expression::List(items) => {
                let items = items.iter().map(|item| self.evaluate(item)).collect::<Outcome<Vec<_>>>()?;
                let nested = items.iter().any(|item| matches!(item, Value::List(_) | Value::Map(_)));
                let list = Value::list(items);
                self.note_container(&list, nested)?;
                list
            }
            Expression::Map(entries) => {
                let (map, mut nested) = (Map::new(), false);
                for (key, value) in entries {
                    let (key, value) = (self.evaluate(key)?, self.evaluate(value)?);
                    nested |= matches!(value, Value::List(_) | Value::Map(_));
                    if let Some(key) = Key::of(&key) {
                        map.insert(key, value);
                    }
                }
                let map = Value::Map(map);
                self.note_container(&map, nested)?;
                map
            }
            Expression::Range(range) => match self.range(&range.0, &range.1)? {
                Some((first, last)) => {
                    if first.abs_diff(last) as usize >= self.limits.items {
                        return Err(RenderError::TooManyItems(self.limits.items));
                    }
                    self.steps += u64::from(first.abs_diff(last)) / 8;
                    Value::list(steps(first, last).map(Value::Int).collect())
                }
                None => Value::Null,
            },
            Expression::Not(_) => Value::Bool(self.condition(expression)?),
            Expression::Binary(Operator::Add, operands) => self.add(&operands.0, &operands.1)?,
            Expression::Binary(operator, operands) => match operator {
                Operator::Subtract | Operator::Multiply | Operator::Divide | Operator::Remainder => {
                    let (left, right) = (self.evaluate(&operands.0)?, self.evaluate(&operands.1)?);
                    operators::arithmetic(*operator, &left, &right)
                }
                _ => Value::Bool(self.condition(expression)?),
            },
            _ => Value::Null,
        })
    }

    /// Both ends of a range, if they are integers.
    pub(super) fn range(&mut self, first: &Expression, last: &Expression) -> Outcome<Option<(i32, i32)>> {
        let ends = (self.evaluate(first)?, self.evaluate(last)?);
        let end = |value: &Value| value.as_i64().and_then(|number| i32::try_from(number).ok());
        Ok(end(&ends.0).zip(end(&ends.1)))
    }

    /// A sum, or a concatenation if either side is a text.
    fn add(&mut self, left: &Expression, right: &Expression) -> Outcome<Value> {
        let (a, b) = (self.evaluate(left)?, self.evaluate(right)?);
        if !matches!(a, Value::String(_)) && !matches!(b, Value::String(_)) {
            return Ok(operators::arithmetic(Operator::Add, &a, &b));
        }
        let mut text = self.operand_text(&a, left)?;
        text.push_str(&self.operand_text(&b, right)?);
        if text.len() > self.limits.output_bytes {
            return Err(RenderError::OutputTooLong(self.limits.output_bytes));
        }
        Ok(Value::from(text))
    }

    /// What stands for an operand in a concatenation; for one without value that is the reference as written.
    fn operand_text(&mut self, value: &Value, expression: &Expression) -> Outcome<String> {
        Ok(match (value, expression) {
            (Value::Null, Expression::Reference(reference)) => self.literal_of(reference).into_string(),
            (Value::Null, _) => "null".to_owned(),
            (value, _) => self.text_of(value)?.to_string(),
        })
    }

    /// Whether a condition holds. Literals other than `true` never do; references do unless they are null or false.
    pub(super) fn condition(&mut self, expression: &Expression) -> Outcome<bool> {
        self.step()?;
        self.enter()?;
        let holds = match expression {
            Expression::Bool(flag) => *flag,
            Expression::Reference(reference) => match self.value_of(reference)? {
                Value::Null => false,
                Value::Bool(flag) => flag,
                _ => true,
            },
            Expression::Not(operand) => !self.condition(operand)?,
            Expression::Binary(Operator::And, operands) => {
                self.condition(&operands.0)? && self.condition(&operands.1)?
            }
            Expression::Binary(Operator::Or, operands) => {
                self.condition(&operands.0)? || self.condition(&operands.1)?
            }
            Expression::Binary(operator, operands) => {
                let (left, right) = (self.evaluate(&operands.0)?, self.evaluate(&operands.1)?);
                let order = || operators::compare(&left, &right);
                match operator {
                    Operator::Equal => self.loosely_equal(&left, &right)?,
                    Operator::NotEqual => !self.loosely_equal(&left, &right)?,
                    Operator::Less => order() == Some(Ordering::Less),
                    Operator::Greater => order() == Some(Ordering::Greater),
                    Operator::LessOrEqual => order().is_some_and(Ordering::is_le),
                    Operator::GreaterOrEqual => order().is_some_and(Ordering::is_ge),
                    _ => false,
                }
            }
            _ => false,
        };
        self.leave();
        Ok(holds)
    }

    /// Velocity's `==`: numbers by value, the same types by content, different types by their text.
    fn loosely_equal(&mut self, left: &Value, right: &Value) -> Outcome<bool> {
        if left.is_null() || right.is_null() {
            let empty = |value: &Value| {
                value.is_null() || (self.context.missing_is_empty && value.as_str() == Some(""))
            };
            return Ok(empty(left) && empty(right));
        }
        if let Some(order) = operators::compare(left, right) {
            return Ok(order == Ordering::Equal);
        }
        if std::mem::discriminant(left) == std::mem::discriminant(right) {
            return Ok(operators::equals(left, right));
        }
        Ok(self.text_of(left)? == self.text_of(right)?)
    }
}

/// The numbers from `first` to `last`, downwards if need be.
pub(super) fn steps(first: i32, last: i32) -> impl Iterator<Item = i32> {
    let count = first.abs_diff(last);
    let down = first > last;
    (0..=count).map(move |offset| {
        if down { first.wrapping_sub_unsigned(offset) } else { first.wrapping_add_unsigned(offset) }
    })
}
