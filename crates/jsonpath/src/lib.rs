//! JSONPath as Jayway's JsonPath reads it, which API Gateway uses for `$input.path`, `$input.json` and parameter mapping.
//!
//! [`Path::parse`] reads a path once; [`Path::read`] applies it to any number of documents.
//!
//! ```
//! use stagedoor_jsonpath::Path;
//!
//! let document = serde_json::json!({"pets": [{"name": "cat", "price": 5}, {"name": "dog", "price": 9}]});
//! let name = Path::parse("$.pets[0].name")?.read(&document)?;
//! assert_eq!(name.as_deref(), Some(&serde_json::json!("cat")));
//! let cheap = Path::parse("$.pets[?(@.price < 7)].name")?.read(&document)?;
//! assert_eq!(cheap.as_deref(), Some(&serde_json::json!(["cat"])));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A path is *definite* if it can name one place only: it has no `..`, `*`, filter, slice or union of indexes. A
//! definite path gives the value there or nothing; any other gives a list, perhaps empty.
//!
//! # Which Jayway
//!
//! The dialect is that of the 2.x line. `tests/oracle.rs` compares it with version 2.0.0, the one that is packaged;
//! what came later is beyond that test: negative indexes, double-quoted names, functions, and the operators spelled as
//! words. The script `[(@.length-1)]`, which later versions dropped, is refused, and so are `[1,]` and `[1:2:3:4]`, of
//! which the packaged version reads the beginning. Regular expressions take a bounded number of steps.

mod ast;
mod error;
mod filter;
mod function;
pub mod json;
mod parse;
mod pattern;
mod read;

use std::borrow::Cow;

use serde_json::Value;

pub use error::{ParseError, ReadError};

/// A parsed path. It can be shared between threads and read any number of times.
#[derive(Clone, Debug)]
pub struct Path {
    path: ast::Path,
}

impl Path {
    /// Parses a path. One that begins with neither `$` nor `@` is taken as if it began with `$.`.
    ///
    /// # Errors
    /// The column and what is wrong there; paths of more than 4,096 tokens or with filters nested more than 32 deep.
    pub fn parse(source: &str) -> Result<Self, ParseError> {
        parse::parse(source).map(|path| Self { path })
    }

    /// Whether the path names one place only. What others give is always a list.
    #[must_use]
    pub fn is_definite(&self) -> bool {
        self.path.is_definite()
    }

    /// Applies the path. `None`: there is nothing at a definite path.
    ///
    /// A place in the document is borrowed from it; lists and results of functions are made.
    ///
    /// # Errors
    /// A function that cannot be applied, paths that look at more than 1,000,000 places, and regular expressions that take
    /// too many steps.
    pub fn read<'d>(&self, document: &'d Value) -> Result<Option<Cow<'d, Value>>, ReadError> {
        read::read(&self.path, document)
    }
}
