//! YAML 1.2 with positions, over the events of `saphyr-parser`.
//!
//! Aliases and merge keys (`<<`) are put in place here, so nothing above knows them. Each use of an alias counts as
//! many values as it stands for: that, and the limit on nesting, is what keeps a short text from filling the memory.

use std::collections::HashMap;

use indexmap::map::Entry as Slot;
use saphyr_parser::{Event, Marker, Parser as Events, ScalarStyle, ScanError, Tag};

use crate::Finding;
use crate::limits::{DEPTH_MAX, NODES_MAX};
use crate::node::{DocPath, Entry, Map, Node, Position, Value};

/// What becomes of tags that are none of YAML's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tags {
    /// They are mistakes.
    #[default]
    Refused,
    /// They are short forms of CloudFormation's functions.
    ShortForms,
}

/// Reads a YAML text.
pub(crate) fn parse(text: &str, tags: Tags) -> Result<Node, Vec<Finding>> {
    let mut builder = Builder { tags, ..Builder::default() };
    for event in Events::new_from_str(text) {
        let (event, span) = event.map_err(|error| vec![scan_error(&error)])?;
        builder.event(event, position(&span.start)).map_err(|finding| vec![*finding])?;
    }
    if !builder.findings.is_empty() {
        return Err(builder.findings);
    }
    builder.done.ok_or_else(|| {
        vec![Finding::error(&DocPath::root(), Position::START, "the document is empty".to_owned())]
    })
}

/// A name whose value is to come.
struct Key {
    text: String,
    at: Position,
    /// Whether it stands for the members of its value: only without quotation marks.
    is_merge: bool,
}

/// A map or list that is being read.
enum Frame {
    List {
        at: Position,
        anchor: usize,
        items: Vec<Node>,
        function: Option<String>,
    },
    Map {
        at: Position,
        anchor: usize,
        map: Map,
        key: Option<Key>,
        merged: Vec<Node>,
        function: Option<String>,
    },
}

/// What an anchor stands for.
struct Anchored {
    node: Node,
    nodes: usize,
    depth: usize,
}

#[derive(Default)]
struct Builder {
    tags: Tags,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Anchored>,
    nodes: usize,
    documents: usize,
    done: Option<Node>,
    findings: Vec<Finding>,
}

type Built<T> = Result<T, Box<Finding>>;

impl Builder {
    fn event(&mut self, event: Event<'_>, at: Position) -> Built<()> {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return self.fail(at, "a second document starts here; a file holds one".to_owned());
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                if let Some(function) = self.function(tag.as_deref()) {
                    let argument = Node { at, value: Value::String(text.into_owned()) };
                    return self.put(called(Some(function), argument), anchor, None);
                }
                let value = self.scalar(&text, style, tag.as_deref(), at)?;
                let plain = style == ScalarStyle::Plain;
                self.put(Node { at, value }, anchor, plain.then_some(text.as_ref()))?;
            }
            Event::SequenceStart(anchor, tag) => {
                let function = self.function(tag.as_deref());
                if function.is_none() {
                    self.collection_tag(tag.as_deref(), "seq", at)?;
                }
                self.deeper(at, 0)?;
                self.stack.push(Frame::List { at, anchor, items: Vec::new(), function });
            }
            Event::MappingStart(anchor, tag) => {
                let function = self.function(tag.as_deref());
                if function.is_none() {
                    self.collection_tag(tag.as_deref(), "map", at)?;
                }
                self.deeper(at, 0)?;
                let map = Map::new();
                self.stack.push(Frame::Map { at, anchor, map, key: None, merged: Vec::new(), function });
            }
            Event::SequenceEnd | Event::MappingEnd => match self.stack.pop() {
                Some(Frame::List { at, anchor, items, function }) => {
                    let list = Node { at, value: Value::List(items) };
                    self.put(called(function, list), anchor, None)?;
                }
                Some(Frame::Map { at, anchor, map, merged, function, .. }) => {
                    let map = Node { at, value: Value::Map(self.merge(map, merged)?) };
                    self.put(called(function, map), anchor, None)?;
                }
                None => return self.fail(at, "something ends here that has not begun".to_owned()),
            },
            Event::Alias(anchor) => {
                let Some(anchored) = self.anchors.get(&anchor) else {
                    return self.fail(at, "this alias stands inside what it is an alias of".to_owned());
                };
                let (mut node, nodes, depth) = (anchored.node.clone(), anchored.nodes, anchored.depth);
                // A mistake in it is best shown where it is used.
                node.at = at;
                self.count(at, nodes)?;
                self.deeper(at, depth)?;
                self.put(node, 0, None)?;
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    /// Puts a finished value where it belongs: as a key, a member, an item or the whole document.
    fn put(&mut self, node: Node, anchor: usize, plain: Option<&str>) -> Built<()> {
        self.count(node.at, 1)?;
        if anchor > 0 {
            let (nodes, depth) = measure(&node);
            self.count(node.at, nodes)?;
            self.anchors.insert(anchor, Anchored { node: node.clone(), nodes, depth });
        }
        let path = self.path();
        match self.stack.last_mut() {
            None => self.done = Some(node),
            Some(Frame::List { items, .. }) => items.push(node),
            Some(Frame::Map { key: key @ None, .. }) => {
                // A plain key is taken as it is spelt: `200` is a status code and `on` a name.
                let text = plain.map(str::to_owned).or_else(|| node.text());
                let Some(text) = text else {
                    let message = format!("a key has to be a string, not {}", node.type_name());
                    return Err(Box::new(Finding::error(&path, node.at, message)));
                };
                *key = Some(Key { text, at: node.at, is_merge: plain == Some("<<") });
            }
            Some(Frame::Map { key, map, merged, .. }) => {
                let Some(Key { text: name, at: key_at, is_merge }) = key.take() else { return Ok(()) };
                if is_merge {
                    merged.push(node);
                    return Ok(());
                }
                match map.entry(name) {
                    Slot::Vacant(slot) => {
                        slot.insert(Entry { key_at, node });
                    }
                    Slot::Occupied(slot) => {
                        let message = format!(
                            "{:?} is there twice, first on line {}",
                            slot.key(),
                            slot.get().key_at.line
                        );
                        self.findings.push(Finding::error(&path, key_at, message));
                    }
                }
            }
        }
        Ok(())
    }

    /// Adds the members of `<<` that the map does not have itself.
    fn merge(&mut self, mut map: Map, merged: Vec<Node>) -> Built<Map> {
        for node in merged {
            let at = node.at;
            let sources = match node.value {
                Value::List(items) => items,
                value => vec![Node { at, value }],
            };
            for source in sources {
                let Value::Map(members) = source.value else {
                    return self.fail(at, "'<<' takes an object or a list of objects".to_owned());
                };
                for (name, entry) in members {
                    map.entry(name).or_insert(entry);
                }
            }
        }
        Ok(map)
    }

    fn scalar(&self, text: &str, style: ScalarStyle, tag: Option<&Tag>, at: Position) -> Built<Value> {
        let Some(tag) = tag else {
            let plain = style == ScalarStyle::Plain;
            return Ok(if plain { resolve(text) } else { Value::String(text.to_owned()) });
        };
        let value = if tag.handle == "tag:yaml.org,2002:" {
            match (tag.suffix.as_str(), resolve(text)) {
                ("str", _) => Some(Value::String(text.to_owned())),
                ("int" | "float", value @ Value::Number(_))
                | ("bool", value @ Value::Bool(_))
                | ("null", value @ Value::Null) => Some(value),
                _ => None,
            }
        } else {
            // A lone `!` asks for a string.
            (tag.handle.is_empty() && tag.suffix == "!").then(|| Value::String(text.to_owned()))
        };
        value.map_or_else(|| self.bad_tag(tag, at), Ok)
    }

    /// The function that a short form stands for.
    fn function(&self, tag: Option<&Tag>) -> Option<String> {
        let tag = tag.filter(|tag| self.tags == Tags::ShortForms && tag.handle == "!")?;
        let plain = !tag.suffix.is_empty() && tag.suffix.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let long = match tag.suffix.as_str() {
            name @ ("Ref" | "Condition") => name.to_owned(),
            name => format!("Fn::{name}"),
        };
        plain.then_some(long)
    }

    fn collection_tag(&self, tag: Option<&Tag>, wanted: &str, at: Position) -> Built<()> {
        match tag {
            Some(tag) if tag.handle != "tag:yaml.org,2002:" || tag.suffix != wanted => self.bad_tag(tag, at),
            _ => Ok(()),
        }
    }

    fn bad_tag<T>(&self, tag: &Tag, at: Position) -> Built<T> {
        let name = if tag.handle == "tag:yaml.org,2002:" { "!!" } else { tag.handle.as_str() };
        self.fail(at, format!("the tag {name}{} cannot be used here; write the value itself", tag.suffix))
    }

    fn count(&mut self, at: Position, nodes: usize) -> Built<()> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > NODES_MAX {
            return self.fail(at, format!("the document stands for more than {NODES_MAX} values"));
        }
        Ok(())
    }

    fn deeper(&self, at: Position, extra: usize) -> Built<()> {
        if self.stack.len() + extra > DEPTH_MAX {
            return self.fail(at, format!("values are nested more than {DEPTH_MAX} levels deep"));
        }
        Ok(())
    }

    /// Where the value that is being read belongs.
    fn path(&self) -> DocPath {
        let part = |frame: &Frame| match frame {
            Frame::List { items, .. } => Some(items.len().to_string()),
            Frame::Map { key, .. } => key.as_ref().map(|key| key.text.clone()),
        };
        self.stack.iter().filter_map(part).collect::<Vec<_>>().into()
    }

    fn fail<T>(&self, at: Position, message: String) -> Built<T> {
        Err(Box::new(Finding::error(&self.path(), at, message)))
    }
}

/// A value, or a function that is called with it.
fn called(function: Option<String>, argument: Node) -> Node {
    let Some(function) = function else { return argument };
    let at = argument.at;
    let entry = Entry { key_at: at, node: argument };
    Node { at, value: Value::Map([(function, entry)].into_iter().collect()) }
}

/// How many values a value holds, itself included, and how deep they are nested below it.
fn measure(node: &Node) -> (usize, usize) {
    let children: Vec<(usize, usize)> = match &node.value {
        Value::List(items) => items.iter().map(measure).collect(),
        Value::Map(map) => map.values().map(|entry| measure(&entry.node)).collect(),
        _ => return (1, 0),
    };
    children.iter().fold((1, 1), |(nodes, depth), child| (nodes + child.0, depth.max(child.1 + 1)))
}

/// A plain scalar's type by the core schema. `yes`, `no`, `on` and `off` are strings: YAML 1.2 says so.
fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => {
            let radix = |prefix: &str, radix| {
                text.strip_prefix(prefix).map(|digits| i64::from_str_radix(digits, radix))
            };
            match radix("0x", 16).or_else(|| radix("0o", 8)) {
                Some(Ok(value)) => Value::Number(value.to_string()),
                None if is_number(text) => Value::Number(text.to_owned()),
                _ => Value::String(text.to_owned()),
            }
        }
    }
}

fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) =
        unsigned.split_once(['e', 'E']).map_or((unsigned, None), |(m, e)| (m, Some(e)));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent_ok = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    !(whole.is_empty() && fraction.is_empty()) && digits(whole) && digits(fraction) && exponent_ok
}

/// The parser counts columns from 0.
fn position(marker: &Marker) -> Position {
    Position { line: marker.line().max(1), column: marker.col() + 1 }
}

fn scan_error(error: &ScanError) -> Finding {
    Finding::error(&DocPath::root(), position(error.marker()), format!("this is no YAML: {}", error.info()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, &str>) {
        let found = parse(text, Tags::Refused).map(|node| node.to_json().to_string());
        let found =
            found.map_err(|findings| findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "));
        assert_eq!(found.as_deref().map_err(String::as_str), expected, "{text}");
    }

    #[test]
    fn scalars() {
        check(
            "[a, 1, 1.50, 0x1F, 0o17, .5, true, ~, yes, '1', 012, 1e3]",
            Ok(r#"["a",1,1.5,31,15,0.5,true,null,"yes","1","012",1000.0]"#),
        );
        check("200: ok\non: x\n", Ok(r#"{"200":"ok","on":"x"}"#));
        check("a: |\n  x\n  y\nb: >-\n  x\n  y\n", Ok(r#"{"a":"x\ny\n","b":"x y"}"#));
        check("[!!str 1, !!int 2, ! 3]", Ok(r#"["1",2,"3"]"#));
    }

    #[test]
    fn aliases_and_merge_keys() {
        check("a: &x {p: 1}\nb: *x\n", Ok(r#"{"a":{"p":1},"b":{"p":1}}"#));
        check("a: &x {p: 1, q: 2}\nb:\n  <<: *x\n  p: 3\n", Ok(r#"{"a":{"p":1,"q":2},"b":{"p":3,"q":2}}"#));
        check("a: &x [*x]\n", Err("a.0 (line 1, column 8): this alias stands inside what it is an alias of"));
        check("\"<<\": 3\n", Ok(r#"{"<<":3}"#));
        check("b:\n  <<: 3\n", Err("b (line 2, column 7): '<<' takes an object or a list of objects"));
    }

    #[test]
    fn mistakes() {
        check(
            "a: 1\nb:\n  c: 1\n  c: 2\n",
            Err("b.c (line 4, column 3): \"c\" is there twice, first on line 3"),
        );
        check(
            "a: !Sub x\n",
            Err("a (line 1, column 4): the tag !Sub cannot be used here; write the value itself"),
        );
        check("a: 1\n---\nb: 2\n", Err("line 2, column 1: a second document starts here; a file holds one"));
        check("", Err("line 1, column 1: the document is empty"));
        check("? [a]\n: 1\n", Err("line 1, column 3: a key has to be a string, not a list"));
    }

    #[test]
    fn short_forms_of_functions() {
        let check = |text: &str, expected: &str| {
            let found = parse(text, Tags::ShortForms).map(|node| node.to_json().to_string());
            assert_eq!(found.unwrap_or_else(|findings| findings[0].to_string()), expected, "{text}");
        };
        check("a: !Ref b\n", r#"{"a":{"Ref":"b"}}"#);
        check("a: !GetAtt b.Arn\n", r#"{"a":{"Fn::GetAtt":"b.Arn"}}"#);
        check("a: !Sub 5\n", r#"{"a":{"Fn::Sub":"5"}}"#);
        check("a: !Join ['/', [b, !Ref c]]\n", r#"{"a":{"Fn::Join":["/",["b",{"Ref":"c"}]]}}"#);
        check("a: !Transform {Name: x}\n", r#"{"a":{"Fn::Transform":{"Name":"x"}}}"#);
        check("a: !<x> b\n", "a (line 1, column 4): the tag x cannot be used here; write the value itself");
    }

    #[test]
    fn a_short_text_cannot_fill_the_memory() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let uses = vec![format!("*a{}", level - 1); 9].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{uses}]\n"));
        }
        assert!(parse(&text, Tags::Refused).unwrap_err()[0].message.contains("more than 500000 values"));
        assert!(
            parse(&"- ".repeat(100_000), Tags::ShortForms).unwrap_err()[0]
                .message
                .contains("nested more than")
        );
    }
}
