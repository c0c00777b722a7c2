//! A body as JSON, parsed when it is first asked for and once, however many ask: models, mappings, templates, and the
//! selection expressions of WebSocket APIs.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use serde_json::Value;

/// The longest body whose document is kept: the longest message of a WebSocket API, twice. What is longer would take much
/// memory while an integration is waited for.
const KEPT_BYTES_MAX: usize = 256 * 1024;

/// What came of reading a body as JSON. The error says where it is none.
pub type Document = Result<Value, String>;

/// The last body that was read, and what came of it.
#[derive(Debug, Default)]
pub struct LastDocument(RefCell<Option<(Bytes, Rc<Document>)>>);

impl LastDocument {
    /// A body as JSON.
    pub fn of(&self, body: &Bytes) -> Rc<Document> {
        self.known(body).unwrap_or_else(|| {
            let document = Rc::new(parse(body));
            self.learn(body, &document);
            document
        })
    }

    /// The same, if the body has been read before.
    pub fn known(&self, body: &Bytes) -> Option<Rc<Document>> {
        let last = self.0.borrow();
        let (read, document) = last.as_ref()?;
        is_same(read, body).then(|| Rc::clone(document))
    }

    /// Takes what came of a body that somebody else has read.
    pub fn learn(&self, body: &Bytes, document: &Rc<Document>) {
        if body.len() <= KEPT_BYTES_MAX {
            self.0.replace(Some((body.clone(), Rc::clone(document))));
        }
    }
}

/// Reads a body.
pub fn parse(body: &[u8]) -> Document {
    serde_json::from_slice(body).map_err(|error| error.to_string())
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
        assert!(last.known(&long).is_none() && last.known(&body).is_some());
        let part = last.of(&body.slice(..1));
        assert!(part.is_err());
        assert_eq!(*last.of(&Bytes::from_static(b"[2]")), Ok(serde_json::json!([2])));
        assert_eq!(*last.of(&body), Ok(serde_json::json!({"a": 1})));
    }
}
