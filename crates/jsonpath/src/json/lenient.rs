//! JSON and what resembles it, as json-smart reads it in its permissive mode. Its quirks are kept: a number ends where a
//! character beyond ASCII's begins, unknown escapes are left out, and what follows a whole value is not looked at.

use serde_json::{Map, Value};

use super::{DEPTH_MAX, Text, double, integer};

/// What json-smart takes for the end of the text.
const END: u8 = 0x1A;
/// Characters from here on end nothing that has no quotes.
const STOP_MAX: u8 = 126;

/// Where a text without quotes ends.
type Stop = fn(u8) -> bool;

fn nowhere(_: u8) -> bool {
    false
}

fn after_name(byte: u8) -> bool {
    byte == b':'
}

fn after_item(byte: u8) -> bool {
    matches!(byte, b',' | b']')
}

fn after_member(byte: u8) -> bool {
    matches!(byte, b',' | b'}')
}

pub(super) fn read(text: &str) -> Result<Value, String> {
    let mut reader = Reader { text, at: 0, depth: 0 };
    reader.skip_white();
    // Nothing but white space is a text of nothing.
    if reader.peek() == END && !text.is_empty() { Ok(Value::from("")) } else { reader.value(nowhere) }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

impl<'t> Reader<'t> {
    /// The byte at hand; [`END`] behind the last one.
    fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(END)
    }

    fn unexpected<V>(&self) -> Result<V, String> {
        match self.text.get(self.at..).and_then(|rest| rest.chars().next()) {
            None | Some('\u{1A}') => Err(format!("Unexpected End Of File position {}", self.at)),
            Some(character) => Err(format!("Unexpected character ({character}) at position {}", self.at)),
        }
    }

    fn value(&mut self, stop: Stop) -> Result<Value, String> {
        self.skip_white();
        match self.peek() {
            b':' | b'}' | b']' | END => self.unexpected(),
            b'{' => self.nested(Self::object),
            b'[' => self.nested(Self::array),
            b'"' | b'\'' => self.quoted().map(Value::String),
            b'0'..=b'9' | b'-' => self.number(stop),
            _ => Ok(match self.bare(stop) {
                "null" | "NaN" => Value::Null,
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                text => Value::from(text),
            }),
        }
    }

    fn skip_white(&mut self) {
        while matches!(self.peek(), b' ' | b'\r' | b'\n' | b'\t') {
            self.at += 1;
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Value, String>) -> Result<Value, String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(format!("Malicious payload, having non natural depths, at position {}", self.at));
        }
        self.at += 1;
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn array(&mut self) -> Result<Value, String> {
        let mut items = Vec::new();
        loop {
            match self.peek() {
                b' ' | b'\r' | b'\n' | b'\t' | b',' => self.at += 1,
                b']' => {
                    self.at += 1;
                    return Ok(Value::Array(items));
                }
                b':' | b'}' | END => return self.unexpected(),
                _ => items.push(self.value(after_item)?),
            }
        }
    }

    fn object(&mut self) -> Result<Value, String> {
        let mut entries = Map::new();
        loop {
            match self.peek() {
                b' ' | b'\r' | b'\n' | b'\t' | b',' => {
                    self.at += 1;
                    continue;
                }
                b'}' => {
                    self.at += 1;
                    return Ok(Value::Object(entries));
                }
                b':' | b']' | b'[' | b'{' | END => return self.unexpected(),
                _ => {}
            }
            let name = match self.peek() {
                b'"' | b'\'' => self.quoted()?,
                _ => self.bare(after_name).to_owned(),
            };
            self.spaces();
            if self.peek() != b':' {
                return self.unexpected();
            }
            self.at += 1;
            let value = self.value(after_member)?;
            entries.insert(name, value);
            self.spaces();
            match self.peek() {
                b'}' | b',' => {}
                _ => return self.unexpected(),
            }
        }
    }

    /// A text in quotes of either kind.
    fn quoted(&mut self) -> Result<String, String> {
        let quote = self.peek();
        self.at += 1;
        let rest = self.text.get(self.at..).unwrap_or_default();
        let Some(end) = rest.find(char::from(quote)) else {
            self.at = self.text.len();
            return self.unexpected();
        };
        let text = rest.get(..end).unwrap_or_default();
        if !text.contains('\\') {
            self.at += end + 1;
            return Ok(text.to_owned());
        }
        self.escaped(quote)
    }

    /// The rest of a text in quotes that has an escape in it. Control characters are left out.
    fn escaped(&mut self, quote: u8) -> Result<String, String> {
        let mut text = Text::default();
        loop {
            let Some(character) = self.text.get(self.at..).and_then(|rest| rest.chars().next()) else {
                return self.unexpected();
            };
            match character {
                '\u{1A}' => return self.unexpected(),
                '\0'..='\u{1f}' | '\u{7f}' => {}
                '\\' => {
                    self.at += 1;
                    self.escape(&mut text)?;
                    continue;
                }
                other if other == char::from(quote) => {
                    self.at += 1;
                    return Ok(text.finish());
                }
                other => text.push(other.encode_utf8(&mut [0; 4])),
            }
            self.at += character.len_utf8();
        }
    }

    fn escape(&mut self, text: &mut Text) -> Result<(), String> {
        let Some(escaped) = self.text.get(self.at..).and_then(|rest| rest.chars().next()) else {
            return self.unexpected();
        };
        self.at += escaped.len_utf8();
        let meant = match escaped {
            't' => "\t",
            'n' => "\n",
            'r' => "\r",
            'f' => "\u{c}",
            'b' => "\u{8}",
            '\\' => "\\",
            '/' => "/",
            '\'' => "'",
            '"' => "\"",
            'u' | 'x' => {
                let length = if escaped == 'u' { 4 } else { 2 };
                let digits = self.text.get(self.at..self.at + length);
                let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
                let Some(unit) = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok()) else {
                    return self.unexpected();
                };
                text.push_unit(unit);
                self.at += length;
                return Ok(());
            }
            _ => "",
        };
        text.push(meant);
        Ok(())
    }

    fn spaces(&mut self) {
        while self.peek() <= b' ' && self.peek() != END {
            self.at += 1;
        }
    }

    fn digits(&mut self) {
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
    }

    /// A text without quotes, without spaces around it.
    fn bare(&mut self, stop: Stop) -> &'t str {
        let from = self.at;
        self.skip_bare(stop);
        self.trimmed(from)
    }

    fn skip_bare(&mut self, stop: Stop) {
        while self.peek() != END && !(self.peek() < STOP_MAX && stop(self.peek())) {
            self.at += 1;
        }
    }

    /// What has been read since then. Of nothing but spaces the last one is left.
    fn trimmed(&self, from: usize) -> &'t str {
        let text = self.text.get(from..self.at).unwrap_or_default();
        let is_space = |c: char| {
            matches!(c, '\u{1c}'..='\u{1f}')
                || c.is_whitespace() && !matches!(c, '\u{85}' | '\u{a0}' | '\u{2007}' | '\u{202f}')
        };
        match text.trim_matches(is_space) {
            "" => text.char_indices().next_back().and_then(|(at, _)| text.get(at..)).unwrap_or_default(),
            trimmed => trimmed,
        }
    }

    /// A number, or a text that begins like one: `2015-03-31`.
    fn number(&mut self, stop: Stop) -> Result<Value, String> {
        let from = self.at;
        self.at += 1;
        self.digits();
        let mut is_integer = true;
        if self.peek() == b'.' {
            is_integer = false;
            self.at += 1;
            self.digits();
        }
        if matches!(self.peek(), b'e' | b'E') {
            is_integer = false;
            self.at += 1;
            if !matches!(self.peek(), b'+' | b'-' | b'0'..=b'9') {
                self.skip_bare(stop);
                return Ok(Value::from(self.trimmed(from)));
            }
            self.at += 1;
            self.digits();
        }
        self.spaces();
        let next = self.peek();
        if next < STOP_MAX && next != END && !stop(next) {
            self.skip_bare(stop);
            return Ok(Value::from(self.trimmed(from)));
        }
        let text = self.trimmed(from);
        let number = match text {
            "-" => Some(Value::from(0)),
            _ if is_integer => integer(text),
            _ => double(text),
        };
        number.ok_or_else(|| format!("Unexpected token {text} at position {from}"))
    }
}
