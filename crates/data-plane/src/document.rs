//! A body as JSON, parsed when it is first asked for and once, however many ask: models, mappings, templates, and the
//! selection expressions of WebSocket APIs.
//!
//! Models and selection expressions read it to the letter. Mappings and templates read it as Jayway does, to which nearly
//! everything is JSON: a form (`a=1&b=2`) is one text.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use serde_json::Value;
use stagedoor_jsonpath::json;

/// The longest body whose document is kept: the longest message of a WebSocket API, twice. What is longer would take much
/// memory while an integration is waited for.
const KEPT_BYTES_MAX: usize = 256 * 1024;

/// What came of reading a body as JSON. The error says where it is none.
pub type Document = Result<Value, String>;

/// The last body that was read, and what came of it.
#[derive(Debug, Default)]
pub struct LastDocument {
    /// To the letter.
    strict: RefCell<Option<(Bytes, Rc<Document>)>>,
    /// As Jayway does, where that is another thing.
    lenient: RefCell<Option<(Bytes, Rc<Document>)>>,
}

impl LastDocument {
    /// A body as JSON.
    pub fn of(&self, body: &Bytes) -> Rc<Document> {
        known(&self.strict, body).unwrap_or_else(|| {
            let document = Rc::new(parse(body));
            keep(&self.strict, body, &document);
            document
        })
    }

    /// A body as JSON or what resembles it.
    pub fn leniently(&self, body: &Bytes) -> Rc<Document> {
        self.known_leniently(body).unwrap_or_else(|| {
            let document = Rc::new(parse_leniently(body));
            self.learn_leniently(body, &document);
            document
        })
    }

    /// The same, if the body has been read before.
    pub fn known_leniently(&self, body: &Bytes) -> Option<Rc<Document>> {
        let strict = known(&self.strict, body).filter(|document| document.is_ok());
        strict.or_else(|| known(&self.lenient, body))
    }

    /// Takes what came of a body that somebody else has read.
    pub fn learn_leniently(&self, body: &Bytes, document: &Rc<Document>) {
        keep(&self.lenient, body, document);
    }
}

/// Reads a body to the letter.
pub fn parse(body: &[u8]) -> Document {
    json::read(body)
}

/// Reads a body as Jayway does.
pub fn parse_leniently(body: &[u8]) -> Document {
    json::read_leniently(body)
}

fn known(last: &RefCell<Option<(Bytes, Rc<Document>)>>, body: &Bytes) -> Option<Rc<Document>> {
    let last = last.borrow();
    let (read, document) = last.as_ref()?;
    is_same(read, body).then(|| Rc::clone(document))
}

fn keep(last: &RefCell<Option<(Bytes, Rc<Document>)>>, body: &Bytes, document: &Rc<Document>) {
    if body.len() <= KEPT_BYTES_MAX {
        last.replace(Some((body.clone(), Rc::clone(document))));
    }
}

/// Whether these are the same bytes at the same place. What is held on to cannot have become something else.
fn is_same(one: &Bytes, other: &Bytes) -> bool {
    one.as_ptr() == other.as_ptr() && one.len() == other.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_parsed_once_and_another_one_anew() {
        let last = LastDocument::default();
        let body = Bytes::from(r#"{"a":1}"#.to_owned());
        let first = last.of(&body);
        assert_eq!(*first, Ok(serde_json::json!({"a": 1})));
        assert!(Rc::ptr_eq(&first, &last.of(&body.clone())));
        let long = Bytes::from(" ".repeat(KEPT_BYTES_MAX) + "1");
        assert_eq!(*last.of(&long), Ok(serde_json::json!(1)));
        assert!(last.known_leniently(&long).is_none() && last.known_leniently(&body).is_some());
        let part = last.of(&body.slice(..1));
        assert!(part.is_err());
        assert_eq!(*last.of(&Bytes::from_static(b"[2]")), Ok(serde_json::json!([2])));
        assert_eq!(*last.of(&body), Ok(serde_json::json!({"a": 1})));
    }

    #[test]
    fn a_form_is_a_text_to_some_and_no_json_to_others() {
        let last = LastDocument::default();
        let body = Bytes::from_static(b"a=1&b=2");
        for _ in 0..2 {
            assert!(last.of(&body).is_err());
            assert_eq!(*last.leniently(&body), Ok(serde_json::json!("a=1&b=2")));
        }
        let body = Bytes::from_static(b"{}");
        assert!(Rc::ptr_eq(&last.of(&body), &last.leniently(&body)));
    }
}
