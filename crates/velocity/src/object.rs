//! What the embedder supplies: `$input`, `$context` and their kind.

use std::fmt::Debug;
use std::rc::Rc;

use crate::{RenderError, Value};

/// An object a template can read, call and set.
///
/// Objects are shared and live on one thread; one that a template changes keeps its state in a `Cell` or `RefCell`.
/// Whatever a method answers `None` to does not exist, and the reference is printed as it was written.
pub trait Object: Debug {
    /// The property `$object.name`, also `$object["name"]` and `$object.get("name")`.
    fn property(&self, name: &str) -> Option<Value> {
        let _ = name;
        None
    }

    /// Sets `$object.name`. `false`: there is no such property, and the statement does nothing.
    ///
    /// # Errors
    /// What a setter of Java would throw: it ends the rendering.
    fn set_property(&self, name: &str, value: &Value) -> Result<bool, RenderError> {
        let _ = (name, value);
        Ok(false)
    }

    /// Calls `$object.method(arguments)`. `None`: there is no such method for these arguments.
    fn call(&self, method: &str, arguments: &[Value]) -> Option<Result<Value, RenderError>> {
        let _ = (method, arguments);
        None
    }

    /// How the object is printed. `None`: as the reference was written.
    fn text(&self) -> Option<String> {
        None
    }

    /// Whether the object is `null` wherever it is used as a whole, though it has properties.
    fn is_null(&self) -> bool {
        false
    }

    /// What `#foreach` runs over. `None`: nothing.
    fn items(&self) -> Option<Vec<Value>> {
        None
    }
}

impl Value {
    /// A shared object, of which the embedder keeps a handle to read it after the rendering.
    #[must_use]
    pub fn shared(object: &Rc<impl Object + 'static>) -> Self {
        Self::Object(Rc::clone(object) as Rc<dyn Object>)
    }
}
