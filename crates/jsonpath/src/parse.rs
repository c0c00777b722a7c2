//! From a path's text to its tree. Filters are in [`filter`].

mod filter;

use serde_json::Value;

use crate::ast::{Call, Function, Operand, Path, Token};
use crate::error::ParseError;

const TOKENS_MAX: usize = 4096;
const DEPTH_MAX: usize = 32;

pub(crate) fn parse(source: &str) -> Result<Path, ParseError> {
    let trimmed = source.trim();
    let mut parser = Parser { source: trimmed, at: 0, depth: 0 };
    if trimmed.is_empty() {
        return Err(parser.error("A path is not empty"));
    }
    let path = match trimmed.as_bytes().first() {
        Some(b'$' | b'@') => {
            parser.at = 1;
            parser.path(Place::Alone)?
        }
        // Without a root the path begins with a name, as if `$.` stood before it.
        Some(b'[') => parser.path(Place::Alone)?,
        _ => {
            let mut path = Path::default();
            parser.dotted(&mut path, Place::Alone)?;
            parser.rest_of_path(path, Place::Alone)?
        }
    };
    if parser.at < trimmed.len() {
        return Err(parser.error("The path should end"));
    }
    Ok(path)
}

/// Where a path stands, which decides what ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Alone,
    /// In a filter or argument list: white space and operators end it.
    Within,
}

struct Parser<'s> {
    source: &'s str,
    at: usize,
    depth: usize,
}

impl<'s> Parser<'s> {
    /// A path whose root has been read.
    fn path(&mut self, place: Place) -> Result<Path, ParseError> {
        self.rest_of_path(Path::default(), place)
    }

    fn rest_of_path(&mut self, mut path: Path, place: Place) -> Result<Path, ParseError> {
        while path.function.is_none() {
            if path.tokens.len() >= TOKENS_MAX {
                return Err(self.error(format!("A path has at most {TOKENS_MAX} tokens")));
            }
            match self.peek() {
                Some('[') => self.bracket(&mut path)?,
                Some('.') => {
                    self.eat(".");
                    if self.eat(".") {
                        path.tokens.push(Token::Scan);
                    }
                    match self.peek() {
                        Some('[') => self.bracket(&mut path)?,
                        _ => self.dotted(&mut path, place)?,
                    }
                }
                _ => break,
            }
        }
        Ok(path)
    }

    /// What follows a dot: `*`, a name or a function.
    fn dotted(&mut self, path: &mut Path, place: Place) -> Result<(), ParseError> {
        if self.eat("*") {
            path.tokens.push(Token::All);
            return Ok(());
        }
        let start = self.at;
        let ends = |c: char| match place {
            Place::Alone => matches!(c, '.' | '[' | '('),
            Place::Within => c.is_whitespace() || ".[()=!<>~&|,]".contains(c),
        };
        let rest = self.rest();
        let end = rest.find(ends).unwrap_or(rest.len());
        let name = rest.get(..end).unwrap_or_default();
        self.at += end;
        if self.peek() == Some('(') {
            path.function = Some(self.call(name, start)?);
            return Ok(());
        }
        if name.is_empty() {
            return Err(self.error("A name is missing"));
        }
        if name.contains(char::is_whitespace) {
            self.at = start;
            return Err(self.error("A name with white space stands in brackets: ['a name']"));
        }
        path.tokens.push(Token::Names(vec![name.to_owned()]));
        Ok(())
    }

    fn call(&mut self, name: &str, start: usize) -> Result<Call, ParseError> {
        let function = match name {
            "length" | "size" => Function::Length,
            "min" => Function::Min,
            "max" => Function::Max,
            "avg" => Function::Avg,
            "sum" => Function::Sum,
            "stddev" => Function::Stddev,
            "keys" => Function::Keys,
            "concat" => Function::Concat,
            "append" => Function::Append,
            "first" => Function::First,
            "last" => Function::Last,
            "index" => Function::Index,
            _ => {
                self.at = start;
                return Err(self.error(format!("There is no function {name}()")));
            }
        };
        self.eat("(");
        self.skip_space();
        let mut arguments = Vec::new();
        while !self.eat(")") {
            arguments.push(self.nested(Self::operand)?);
            self.skip_space();
            if self.eat(",") {
                self.skip_space();
            } else if self.peek() != Some(')') {
                return Err(self.error("Arguments are separated by commas and end with a )"));
            }
        }
        Ok(Call { function, arguments })
    }

    fn bracket(&mut self, path: &mut Path) -> Result<(), ParseError> {
        self.eat("[");
        self.skip_space();
        let token = match self.peek() {
            Some('*') => {
                self.eat("*");
                Token::All
            }
            Some('\'' | '"') => Token::Names(self.names()?),
            Some('?') => {
                self.eat("?");
                self.skip_space();
                if self.peek() != Some('(') {
                    return Err(self.error("A filter stands in parentheses: [?(…)]"));
                }
                Token::Filter(Box::new(self.nested(Self::filter)?))
            }
            Some(c) if c.is_ascii_digit() || matches!(c, '-' | ':') => self.indexes()?,
            _ => return Err(self.error("Brackets hold an index, a quoted name, * or a filter")),
        };
        self.skip_space();
        if !self.eat("]") {
            return Err(self.error("A ] is missing"));
        }
        path.tokens.push(token);
        Ok(())
    }

    fn names(&mut self) -> Result<Vec<String>, ParseError> {
        let mut names = Vec::new();
        loop {
            names.push(self.quoted()?);
            self.skip_space();
            if !self.eat(",") {
                return Ok(names);
            }
            self.skip_space();
        }
    }

    fn indexes(&mut self) -> Result<Token, ParseError> {
        let first = self.integer()?;
        self.skip_space();
        if self.eat(":") {
            self.skip_space();
            let last = self.integer()?;
            self.skip_space();
            // A step is read and has no effect, as in Jayway.
            if self.eat(":") {
                self.skip_space();
                self.integer()?;
            }
            if first.is_none() && last.is_none() {
                return Err(self.error("A slice has a beginning or an end"));
            }
            return Ok(Token::Slice(first, last));
        }
        let mut indexes = vec![first.ok_or_else(|| self.error("An index is a number"))?];
        while self.eat(",") {
            self.skip_space();
            indexes.push(self.integer()?.ok_or_else(|| self.error("An index is a number"))?);
            self.skip_space();
        }
        Ok(Token::Indexes(indexes))
    }

    fn integer(&mut self) -> Result<Option<i64>, ParseError> {
        let rest = self.rest();
        let digits = rest.strip_prefix('-').unwrap_or(rest);
        let length = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        let end = rest.len() - digits.len() + length;
        let text = rest.get(..end).unwrap_or_default();
        if text.is_empty() {
            return Ok(None);
        }
        // Java's index is an int.
        let number = text.parse::<i32>().map_err(|_| self.error("This is not an index"))?;
        self.at += end;
        Ok(Some(i64::from(number)))
    }

    /// A text in quotes; a backslash takes the next character as it is, but for JSON's own escapes.
    fn quoted(&mut self) -> Result<String, ParseError> {
        let Some(quote @ ('\'' | '"')) = self.peek() else {
            return Err(self.error("A quoted text is expected"));
        };
        let rest = self.rest();
        let mut text = String::new();
        let mut characters = rest.char_indices().skip(1);
        while let Some((at, character)) = characters.next() {
            match character {
                c if c == quote => {
                    self.at += at + 1;
                    return Ok(text);
                }
                '\\' => match characters.next() {
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, 't')) => text.push('\t'),
                    Some((_, 'r')) => text.push('\r'),
                    Some((_, 'b')) => text.push('\u{8}'),
                    Some((_, 'f')) => text.push('\u{c}'),
                    Some((_, 'u')) => {
                        let digits: String = characters.by_ref().take(4).map(|(_, c)| c).collect();
                        let code = u32::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 4);
                        let code = code.ok_or_else(|| self.error("A \\u takes four hexadecimal digits"))?;
                        text.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                    }
                    Some((_, escaped)) => text.push(escaped),
                    None => break,
                },
                c => text.push(c),
            }
        }
        Err(self.error("A quote is not closed"))
    }

    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, ParseError>) -> Result<T, ParseError> {
        if self.depth >= DEPTH_MAX {
            return Err(self.error(format!("More than {DEPTH_MAX} levels are nested")));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn rest(&self) -> &'s str {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn eat(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        if found {
            self.at += text.len();
        }
        found
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    /// A JSON array or object, which is read by the JSON parser.
    fn json(&mut self) -> Result<Value, ParseError> {
        let rest = self.rest();
        let mut stream = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        match stream.next() {
            Some(Ok(value)) => {
                self.at += stream.byte_offset();
                Ok(value)
            }
            _ => self.lenient_array(),
        }
    }

    /// An array whose texts stand in single quotes, which is no JSON but usual in filters.
    fn lenient_array(&mut self) -> Result<Value, ParseError> {
        if !self.eat("[") {
            return Err(self.error("This is not JSON"));
        }
        let mut items = Vec::new();
        self.skip_space();
        while !self.eat("]") {
            items.push(match self.nested(Self::operand)? {
                Operand::Value(value) => value,
                _ => return Err(self.error("A list holds values")),
            });
            self.skip_space();
            if self.eat(",") {
                self.skip_space();
            } else if self.peek() != Some(']') {
                return Err(self.error("A list's items are separated by commas and end with a ]"));
            }
        }
        Ok(Value::Array(items))
    }

    fn error(&self, message: impl Into<String>) -> ParseError {
        let column = self.source.get(..self.at).unwrap_or_default().chars().count() + 1;
        ParseError { path: self.source.to_owned(), column, message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(source: &str, column: usize) {
        assert_eq!(parse(source).err().map(|error| error.column), Some(column), "{source}");
    }

    #[test]
    fn errors_name_their_place() {
        check("$.", 3);
        check("$..", 4);
        check("$.a.", 5);
        check("$['a", 3);
        check("$[", 3);
        check("$[?]", 4);
        check("$[?(@.a == )]", 12);
        check("$.a b", 3);
        check("$x", 2);
        check("$.none()", 3);
        check("$[99999999999]", 3);
    }

    proptest! {
        #[test]
        fn never_panics(source in r#"[$@.\[\]()?*'"a-c0-9:,!=<>&|~/ \\-]{0,40}"#) {
            if let Ok(path) = parse(&source) {
                let path = crate::Path { path };
                let _ = path.read(&serde_json::json!({"a": [1, {"b": "c"}], "b": {"a": null}}));
            }
        }

        #[test]
        fn never_panics_on_any_text(source in "\\$?.{0,40}") {
            let _ = parse(&source);
        }
    }
}
