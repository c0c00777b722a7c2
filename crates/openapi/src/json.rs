//! JSON with positions. Strict as RFC 8259, except that a duplicate key is an error.

use indexmap::map::Entry as Slot;

use crate::Finding;
use crate::limits::{DEPTH_MAX, NODES_MAX};
use crate::node::{DocPath, Entry, Map, Node, Position, Value};

/// Reads a JSON text.
pub(crate) fn parse(text: &str) -> Result<Node, Vec<Finding>> {
    let mut parser =
        Parser { rest: text.chars(), at: Position::START, path: Vec::new(), nodes: 0, findings: Vec::new() };
    let node = parser.document().map_err(|finding| vec![*finding])?;
    if parser.findings.is_empty() { Ok(node) } else { Err(parser.findings) }
}

struct Parser<'a> {
    rest: std::str::Chars<'a>,
    at: Position,
    path: Vec<String>,
    nodes: usize,
    /// Duplicate keys: the parser goes on, so that all of them are reported at once.
    findings: Vec<Finding>,
}

type Parsed<T> = Result<T, Box<Finding>>;

impl Parser<'_> {
    fn document(&mut self) -> Parsed<Node> {
        self.blank();
        let node = self.value()?;
        self.blank();
        match self.peek() {
            None => Ok(node),
            Some(found) => self.fail(format!("{found:?} after the end of the document")),
        }
    }

    fn value(&mut self) -> Parsed<Node> {
        self.nodes += 1;
        if self.path.len() > DEPTH_MAX {
            return self.fail(format!("values are nested more than {DEPTH_MAX} levels deep"));
        }
        if self.nodes > NODES_MAX {
            return self.fail(format!("the document has more than {NODES_MAX} values"));
        }
        let at = self.at;
        let value = match self.peek() {
            Some('{') => self.map()?,
            Some('[') => self.list()?,
            Some('"') => Value::String(self.string()?),
            Some('-' | '0'..='9') => self.number()?,
            Some('a'..='z') => self.word()?,
            Some(found) => return self.fail(format!("a value is expected here, not {found:?}")),
            None => return self.fail("the document ends where a value is expected".to_owned()),
        };
        Ok(Node { at, value })
    }

    fn map(&mut self) -> Parsed<Value> {
        let mut map = Map::new();
        self.bump();
        self.blank();
        if self.take('}') {
            return Ok(Value::Map(map));
        }
        loop {
            let key_at = self.at;
            if self.peek() != Some('"') {
                return self.fail("a member's name in double quotes is expected here".to_owned());
            }
            let key = self.string()?;
            self.blank();
            self.expect(':')?;
            self.blank();
            self.path.push(key.clone());
            let node = self.value()?;
            match map.entry(key) {
                Slot::Vacant(slot) => {
                    slot.insert(Entry { key_at, node });
                }
                Slot::Occupied(slot) => {
                    let message =
                        format!("{:?} is there twice, first on line {}", slot.key(), slot.get().key_at.line);
                    self.findings.push(Finding::error(&DocPath::from(self.path.clone()), key_at, message));
                }
            }
            self.path.pop();
            self.blank();
            if self.take('}') {
                return Ok(Value::Map(map));
            }
            self.expect(',')?;
            self.blank();
        }
    }

    fn list(&mut self) -> Parsed<Value> {
        let mut items = Vec::new();
        self.bump();
        self.blank();
        if self.take(']') {
            return Ok(Value::List(items));
        }
        loop {
            self.path.push(items.len().to_string());
            items.push(self.value()?);
            self.path.pop();
            self.blank();
            if self.take(']') {
                return Ok(Value::List(items));
            }
            self.expect(',')?;
            self.blank();
        }
    }

    fn string(&mut self) -> Parsed<String> {
        self.bump();
        let mut text = String::new();
        loop {
            match self.peek() {
                None => return self.fail("the document ends inside a string".to_owned()),
                Some('"') => {
                    self.bump();
                    return Ok(text);
                }
                Some('\\') => {
                    self.bump();
                    text.push(self.escape()?);
                }
                Some(control) if control < ' ' => {
                    return self.fail(format!("{control:?} must be escaped in a string"));
                }
                Some(plain) => {
                    text.push(plain);
                    self.bump();
                }
            }
        }
    }

    fn escape(&mut self) -> Parsed<char> {
        let escaped = match self.peek() {
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some(same @ ('"' | '\\' | '/')) => same,
            Some('u') => {
                self.bump();
                let high = self.hex4()?;
                let code = if (0xd800..0xdc00).contains(&high) && self.take('\\') {
                    self.expect('u')?;
                    let low = self.hex4()?;
                    let low_ok = (0xdc00..0xe000).contains(&low);
                    low_ok.then(|| 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00))
                } else {
                    Some(high)
                };
                return match code.and_then(char::from_u32) {
                    Some(found) => Ok(found),
                    None => self.fail("this escape is no character".to_owned()),
                };
            }
            _ => return self.fail("this escape is not known to JSON".to_owned()),
        };
        self.bump();
        Ok(escaped)
    }

    fn hex4(&mut self) -> Parsed<u32> {
        let mut code = 0;
        for _ in 0..4 {
            let Some(digit) = self.peek().and_then(|found| found.to_digit(16)) else {
                return self.fail("four hexadecimal digits are expected after \\u".to_owned());
            };
            code = code * 16 + digit;
            self.bump();
        }
        Ok(code)
    }

    fn number(&mut self) -> Parsed<Value> {
        let mut text = String::new();
        while let Some(found @ ('-' | '+' | '.' | 'e' | 'E' | '0'..='9')) = self.peek() {
            text.push(found);
            self.bump();
        }
        // The grammar is serde_json's to know.
        if serde_json::from_str::<serde_json::Number>(&text).is_ok() {
            Ok(Value::Number(text))
        } else {
            self.fail(format!("{text:?} is no JSON number"))
        }
    }

    fn word(&mut self) -> Parsed<Value> {
        let mut text = String::new();
        while let Some(found) = self.peek().filter(char::is_ascii_alphanumeric) {
            text.push(found);
            self.bump();
        }
        match text.as_str() {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            "null" => Ok(Value::Null),
            _ => self.fail(format!("{text:?} is no JSON value; a string needs double quotes")),
        }
    }

    fn peek(&self) -> Option<char> {
        self.rest.clone().next()
    }

    fn bump(&mut self) {
        match self.rest.next() {
            Some('\n') => self.at = Position { line: self.at.line + 1, column: 1 },
            Some(_) => self.at.column += 1,
            None => {}
        }
    }

    fn blank(&mut self) {
        while let Some(' ' | '\t' | '\n' | '\r') = self.peek() {
            self.bump();
        }
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.bump();
        }
        found
    }

    fn expect(&mut self, wanted: char) -> Parsed<()> {
        if self.take(wanted) {
            return Ok(());
        }
        match self.peek() {
            Some(found) => self.fail(format!("{wanted:?} is expected here, not {found:?}")),
            None => self.fail(format!("the document ends where {wanted:?} is expected")),
        }
    }

    fn fail<T>(&self, message: String) -> Parsed<T> {
        Err(Box::new(Finding::error(&DocPath::from(self.path.clone()), self.at, message)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, &str>) {
        let found = parse(text).map(|node| node.to_json().to_string());
        let found =
            found.map_err(|findings| findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "));
        assert_eq!(found.as_deref().map_err(String::as_str), expected, "{text}");
    }

    #[test]
    fn values() {
        check(
            r#" {"a": [1, 2.50, -3e2, true, false, null], "b": {"c": "d"}} "#,
            Ok(r#"{"a":[1,2.5,-300.0,true,false,null],"b":{"c":"d"}}"#),
        );
        check(r#""\u00e9\ud83d\ude00\/\n""#, Ok("\"é😀/\\n\""));
    }

    #[test]
    fn mistakes() {
        check("{\"a\": 1,\n \"a\": 2}", Err("a (line 2, column 2): \"a\" is there twice, first on line 1"));
        check(
            "{\"a\": tru}",
            Err("a (line 1, column 10): \"tru\" is no JSON value; a string needs double quotes"),
        );
        check("{\"a\": 1,}", Err("line 1, column 9: a member's name in double quotes is expected here"));
        check("[1 2]", Err("line 1, column 4: ',' is expected here, not '2'"));
        check(r#""\ud83d\u0041""#, Err("line 1, column 14: this escape is no character"));
        check(r#""\ud83d""#, Err("line 1, column 8: this escape is no character"));
        check("[01]", Err("0 (line 1, column 4): \"01\" is no JSON number"));
    }

    #[test]
    fn depth_is_bounded() {
        let text = "[".repeat(1_000_000);
        let findings = parse(&text).unwrap_err();
        assert!(findings[0].message.contains("nested more than"), "{findings:?}");
    }
}
