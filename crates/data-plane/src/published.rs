//! What is being served: the plans of all stages of all APIs, swapped as one.
//!
//! The publisher builds a new [`Published`] and stores it; a worker notices with one atomic load per request and
//! keeps its own counted reference, so that requests on different cores never write to the same cache line. What is served
//! no longer is handed to a thread that frees it: thousands of methods take longer than a request may wait.

use std::cell::RefCell;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::{Arc, mpsc};

use arc_swap::{ArcSwap, Cache};
use stagedoor_shapes::apigateway::SecurityPolicy;

use crate::domains::Domains;
use crate::fast_map::FastMap;
use crate::plan::Plan;

/// The plans being served.
#[derive(Debug, Default)]
pub struct Published {
    /// REST APIs by id.
    pub apis: FastMap<String, PublishedApi>,
    /// Custom domain names.
    pub domains: Arc<Domains>,
}

/// One API and its stages.
#[derive(Clone, Debug, Default)]
pub struct PublishedApi {
    /// Whether the default endpoint answers at all (`disableExecuteApiEndpoint` is not set). As a setting of the API
    /// it takes effect for every stage.
    pub endpoint_disabled: bool,
    /// What clients of the default endpoint have to agree to; also a setting of the API.
    pub security_policy: Option<SecurityPolicy>,
    /// Whether the default endpoint answers only connections that were made for its very name.
    pub strict: bool,
    /// Whether it is an HTTP API, whose `$default` stage is served at the root.
    pub is_http: bool,
    /// Plans by stage name.
    pub stages: FastMap<String, Arc<Plan>>,
}

/// The current [`Published`], shared by the publisher and all workers.
pub type Current = Arc<ArcSwap<Published>>;

/// A [`Current`] that serves nothing yet.
#[must_use]
pub fn nothing_published() -> Current {
    Arc::new(ArcSwap::from_pointee(Published::default()))
}

/// Where workers send what they do not serve any more. Whoever receives it frees it; without a receiver, workers do.
pub type Retired = mpsc::Sender<Arc<Published>>;

/// A worker's own view of [`Current`].
pub struct View {
    current: RefCell<Cache<Current, Arc<Published>>>,
    retired: Retired,
    held: RefCell<Rc<Held>>,
}

/// One [`Published`], held by a worker for its requests.
pub struct Held {
    published: Arc<Published>,
    retired: Retired,
}

impl Deref for Held {
    type Target = Published;

    fn deref(&self) -> &Published {
        &self.published
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Without a receiver it comes back as an error and is freed here.
        self.retired.send(std::mem::take(&mut self.published)).ok();
    }
}

impl View {
    /// A view of what is current now and later.
    #[must_use]
    pub fn new(current: Current, retired: Retired) -> Self {
        let held = Held { published: current.load_full(), retired: retired.clone() };
        Self { current: RefCell::new(Cache::new(current)), retired, held: RefCell::new(Rc::new(held)) }
    }

    /// What is being served at this moment. Hold it for the length of one request.
    #[must_use]
    pub fn load(&self) -> Rc<Held> {
        let mut current = self.current.borrow_mut();
        let now = current.load();
        let mut held = self.held.borrow_mut();
        if !Arc::ptr_eq(now, &held.published) {
            *held = Rc::new(Held { published: Arc::clone(now), retired: self.retired.clone() });
        }
        Rc::clone(&held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_follows_what_is_published_and_old_requests_keep_theirs() {
        let current = nothing_published();
        let (retired, freed) = mpsc::channel();
        let view = View::new(Arc::clone(&current), retired);
        let before = view.load();
        assert!(Rc::ptr_eq(&before, &view.load()));

        let apis = FastMap::from_iter([("a".to_owned(), PublishedApi::default())]);
        current.store(Arc::new(Published { apis, ..Published::default() }));
        assert_eq!(view.load().apis.len(), 1);
        assert!(before.apis.is_empty());
        assert!(freed.try_recv().is_err(), "a request holds it");
        drop(before);
        assert!(freed.try_recv().is_ok_and(|old| old.apis.is_empty()));
    }
}
