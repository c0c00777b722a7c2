//! Velocity templates as API Gateway's mapping templates use them.
//!
//! [`Template::parse`] reads a template once; [`Template::render`] fills it in as often as wanted, against a
//! [`Context`] of variables. The language is Velocity 1.7's, whole but for `#include` and `#parse`, and its objects
//! behave as Java's. `tests/oracle.rs` compares both with Velocity itself, byte for byte.
//!
//! ```
//! use stagedoor_velocity::{Context, Template, Value};
//!
//! let template = Template::parse("#foreach($pet in $pets)$pet.toUpperCase()#if($foreach.hasNext), #end#end")?;
//! let mut context = Context::new();
//! context.set("pets", Value::from_json(&serde_json::json!(["cat", "dog"])));
//! assert_eq!(template.render(&mut context)?, "CAT, DOG");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where this differs from Velocity 1.7
//!
//! Because API Gateway does:
//! - `#include` and `#parse` are refused when the template is parsed: there are no other templates.
//! - A template is at most 300 KB, and a `#foreach` ends silently after 1,000 iterations.
//! - A reference without value prints nothing, if the embedder asks for it: [`Context::print_missing_as_empty`].
//! - A list out of a JSON document is printed as JSON, a map as Java's `{a=1}`. Slashes are not escaped in it; whether
//!   AWS escapes them is not verified.
//! - `$x.class` and `$x.getClass()` have no value: reflection is closed.
//!
//! Because a gateway must bound what a template costs: [`Limits`]. Macros nest 20 deep, as in Velocity.
//!
//! Because hardly anything depends on it:
//! - Integers past 64 bits become doubles where Velocity has big integers.
//! - The array that `split` gives is a list, and printed as one. Lists, maps and objects cannot be keys of a map.
//! - Look-around, back-references and possessive quantifiers of regular expressions take a bounded number of steps, fewer
//!   on longer texts; a search that needs more fails as a method that throws does.
//! - A method called with arguments it cannot take has no value, where Java's reflection may throw.
//! - A few texts that Velocity's tokenizer fails on are rendered: letters or brackets right behind a `#set` that itself
//!   stands right behind a reference, and a line comment at the very end that ends in `#`.

mod ast;
mod aws;
mod context;
mod error;
mod java_regex;
mod json;
mod methods;
mod object;
mod operators;
mod parse;
mod render;
mod text;
mod value;

pub use ast::Definition;
pub use aws::{Util, escape_javascript};
pub use context::{Context, Limits};
pub use error::{ParseError, Position, RenderError};
pub use java_regex::JavaRegex;
pub use json::json_text;
pub use object::Object;
pub use parse::TEMPLATE_BYTES_MAX;
pub use value::{Key, List, Map, Value};

/// A parsed template. It can be shared between threads and rendered any number of times.
#[derive(Debug)]
pub struct Template {
    body: ast::Block,
    macros: parse::Macros,
    length: usize,
}

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// The place and the text of the first thing that is not Velocity, or of an `#include` or `#parse`; a template of
    /// more than 300 KB or with more than 64 levels of nesting.
    pub fn parse(source: &str) -> Result<Self, ParseError> {
        let parse::Parsed { body, macros } = parse::parse(source)?;
        Ok(Self { body, macros, length: source.len() })
    }

    /// Renders the template. Variables it sets stay in the context.
    ///
    /// # Errors
    /// A method that throws in Java, or one of the context's [`Limits`].
    pub fn render(&self, context: &mut Context) -> Result<String, RenderError> {
        render::render(self, context)
    }
}
