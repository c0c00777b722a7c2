//! JSON to the letter of RFC 8259, with Jackson's words for what is none.

use serde_json::{Map, Value};

use super::{DEPTH_MAX, Text, double, integer};

/// How much of the text a message shows, in bytes.
const SHOWN_BYTES_MAX: usize = 500;
/// How much of a word that is no token a message shows, in characters.
const SHOWN_TOKEN_MAX: usize = 256;
/// What may stand where a value is wanted.
const VALUES: &str = "(JSON String, Number, Array, Object or token 'null', 'true' or 'false')";

pub(super) fn read(text: &[u8]) -> Result<Value, String> {
    let start = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
    let valid = match std::str::from_utf8(start) {
        Ok(valid) => valid,
        Err(error) => {
            let at = error.valid_up_to();
            let byte = |at: usize| start.get(at).copied().unwrap_or_default();
            let (place, at) = match byte(at) {
                0xC2..=0xF4 => ("middle", at + 1),
                _ => ("start", at),
            };
            let what = format!("Invalid UTF-8 {place} byte 0x{:x}", byte(at));
            return Err(message(start, at, &what));
        }
    };
    let mut reader = Reader { text: valid, at: 0, depth: 0 };
    let value = reader.value()?;
    reader.spaces();
    match reader.peek() {
        None => Ok(value),
        Some(_) => Err(reader.unexpected("Expected space separating root-level values")),
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn spaces(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn error(&self, what: &str) -> String {
        message(self.text.as_bytes(), self.at, what)
    }

    /// What is wrong with the character at hand, or that the text ends too early.
    fn unexpected(&self, comment: &str) -> String {
        self.unexpected_where("", comment)
    }

    fn unexpected_where(&self, place: &str, comment: &str) -> String {
        match self.rest().chars().next() {
            Some(character) => {
                self.error(&format!("Unexpected character ({}){place}: {comment}", described(character)))
            }
            None => self.error("Unexpected end-of-input"),
        }
    }

    fn value(&mut self) -> Result<Value, String> {
        self.spaces();
        match self.peek() {
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b'"') => self.string().map(Value::String),
            Some(b'-' | b'0'..=b'9') => self.number(),
            None => Err(self.error("Unexpected end-of-input")),
            Some(_) => self.token(),
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Value, String>) -> Result<Value, String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            let depth = self.depth;
            return Err(self.error(&format!(
                "Document nesting depth ({depth}) exceeds the maximum allowed ({DEPTH_MAX})"
            )));
        }
        self.at += 1;
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn object(&mut self) -> Result<Value, String> {
        let mut entries = Map::new();
        self.spaces();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Object(entries));
        }
        loop {
            self.spaces();
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("was expecting double-quote to start field name"));
            }
            let name = self.string()?;
            self.spaces();
            if self.peek() != Some(b':') {
                return Err(self.unexpected("was expecting a colon to separate field name and value"));
            }
            self.at += 1;
            let value = self.value()?;
            entries.insert(name, value);
            self.spaces();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Value::Object(entries));
                }
                None => return Err(self.error("Unexpected end-of-input: expected close marker for Object")),
                Some(_) => return Err(self.unexpected("was expecting comma to separate Object entries")),
            }
        }
    }

    fn array(&mut self) -> Result<Value, String> {
        let mut items = Vec::new();
        self.spaces();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.value()?);
            self.spaces();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Value::Array(items));
                }
                None => return Err(self.error("Unexpected end-of-input: expected close marker for Array")),
                Some(_) => return Err(self.unexpected("was expecting comma to separate Array entries")),
            }
        }
    }

    fn string(&mut self) -> Result<String, String> {
        self.at += 1;
        let mut text = Text::default();
        loop {
            let rest = self.rest();
            let end = rest.find(|c: char| c == '"' || c == '\\' || c < ' ').unwrap_or(rest.len());
            text.push(rest.get(..end).unwrap_or_default());
            self.at += end;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text.finish());
                }
                Some(b'\\') => {
                    self.at += 1;
                    self.escape(&mut text)?;
                }
                Some(control) => {
                    return Err(self.error(&format!(
                        "Illegal unquoted character ((CTRL-CHAR, code {control})): has to be escaped using backslash to be \
                         included in string value"
                    )));
                }
                None => return Err(self.error("Unexpected end-of-input in VALUE_STRING")),
            }
        }
    }

    fn escape(&mut self, text: &mut Text) -> Result<(), String> {
        let Some(escaped) = self.rest().chars().next() else {
            return Err(self.error("Unexpected end-of-input in character escape sequence"));
        };
        let meant = match escaped {
            'b' => "\u{8}",
            't' => "\t",
            'n' => "\n",
            'f' => "\u{c}",
            'r' => "\r",
            '"' => "\"",
            '/' => "/",
            '\\' => "\\",
            'u' => {
                self.at += 1;
                let digits =
                    self.rest().get(..4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
                let unit = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok());
                let Some(unit) = unit else {
                    return Err(self.unexpected("expected a hex-digit for character escape sequence"));
                };
                text.push_unit(unit);
                self.at += 4;
                return Ok(());
            }
            other => {
                return Err(self.error(&format!("Unrecognized character escape {}", described(other))));
            }
        };
        text.push(meant);
        self.at += 1;
        Ok(())
    }

    fn digits(&mut self) -> usize {
        let from = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at - from
    }

    fn number(&mut self) -> Result<Value, String> {
        const IN_NUMBER: &str = " in numeric value";
        let from = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let first = self.peek();
        match self.digits() {
            0 => {
                let comment = "expected digit (0-9) to follow minus sign, for valid numeric value";
                return Err(self.unexpected_where(IN_NUMBER, comment));
            }
            2.. if first == Some(b'0') => {
                return Err(self.error("Invalid numeric value: Leading zeroes not allowed"));
            }
            _ => {}
        }
        let mut is_integer = true;
        if self.peek() == Some(b'.') {
            is_integer = false;
            self.at += 1;
            if self.digits() == 0 {
                return Err(self.unexpected_where(IN_NUMBER, "Decimal point not followed by a digit"));
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            is_integer = false;
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if self.digits() == 0 {
                return Err(self.unexpected_where(IN_NUMBER, "Exponent indicator not followed by a digit"));
            }
        }
        let text = self.text.get(from..self.at).unwrap_or_default();
        let number = if is_integer { integer(text) } else { double(text) };
        number.ok_or_else(|| self.error("Invalid numeric value"))
    }

    fn token(&mut self) -> Result<Value, String> {
        let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        let rest = self.rest();
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let word = rest.get(..end).unwrap_or_default();
        let value = match word {
            "null" => Value::Null,
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            "" => return Err(self.unexpected(&format!("expected a valid value {VALUES}"))),
            _ => {
                let mut shown: String = word.chars().take(SHOWN_TOKEN_MAX).collect();
                // The character behind the word has been read too, unless the word is cut short.
                let mut at = self.at + end;
                if shown.len() < word.len() {
                    at = self.at + shown.len() - 1;
                    shown.push_str("...");
                }
                let what = format!("Unrecognized token '{shown}': was expecting {VALUES}");
                return Err(message(self.text.as_bytes(), at, &what));
            }
        };
        self.at += end;
        Ok(value)
    }
}

/// A character as Jackson names it.
fn described(character: char) -> String {
    let code = u32::from(character);
    match code {
        0..=31 | 127..=159 => format!("(CTRL-CHAR, code {code})"),
        0..=255 => format!("'{character}' (code {code})"),
        _ => format!("'{character}' (code {code} / 0x{code:x})"),
    }
}

/// What is wrong, the beginning of the text, and the place behind the character at hand.
fn message(text: &[u8], at: usize, what: &str) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
    let in_line = before.iter().rev().take_while(|&&byte| byte != b'\n').count();
    let column = in_line + if at < text.len() { 2 } else { 1 };
    let shown = text.get(..SHOWN_BYTES_MAX).unwrap_or(text);
    let cut = match text.len() - shown.len() {
        0 => String::new(),
        bytes => format!("[truncated {bytes} bytes]"),
    };
    let shown = String::from_utf8_lossy(shown);
    format!("{what}\n at [Source: (byte[])\"{shown}\"{cut}; line: {line}, column: {column}]")
}
