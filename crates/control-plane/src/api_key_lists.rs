//! How many API keys there are, and the order in which lists show them: the newest first.
//!
//! Both would cost a walk over all keys if they were not kept. The order stands in the store; the number is counted once
//! and then follows what this process does.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::control_plane::ControlPlane;
use crate::store::Snapshot;
use crate::tx::Tx;
use crate::{ApiError, keys, quotas};

/// The number of keys, or [`UNKNOWN`].
#[derive(Debug)]
pub(crate) struct KeyCount(AtomicUsize);

const UNKNOWN: usize = usize::MAX;
const BATCH: usize = 1000;

impl Default for KeyCount {
    fn default() -> Self {
        Self(AtomicUsize::new(UNKNOWN))
    }
}

impl KeyCount {
    /// Has the keys counted again when their number is asked for.
    pub(crate) fn forget(&self) {
        self.0.store(UNKNOWN, Ordering::Relaxed);
    }

    pub(crate) fn one_more(&self) {
        self.change(|there| there.saturating_add(1).min(UNKNOWN - 1));
    }

    pub(crate) fn one_less(&self) {
        self.change(|there| there.saturating_sub(1));
    }

    fn change(&self, new: impl Fn(usize) -> usize) {
        let change = |there| (there != UNKNOWN).then(|| new(there));
        // An unknown number stays unknown.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
    }

    fn of(&self, view: &dyn Snapshot) -> Result<usize, ApiError> {
        let known = self.0.load(Ordering::Relaxed);
        if known != UNKNOWN {
            return Ok(known);
        }
        let (mut there, mut after) = (0, None);
        loop {
            let batch = view.scan(keys::API_KEY_ORDER, after.as_deref(), BATCH)?;
            let Some((last, _)) = batch.last() else { break };
            there += batch.len();
            after = Some(last.clone());
        }
        self.0.store(there, Ordering::Relaxed);
        Ok(there)
    }
}

impl ControlPlane {
    /// Refuses more keys than an account may have.
    ///
    /// # Errors
    /// [`ApiError::LimitExceeded`].
    pub(crate) fn check_room_for_keys(&self, tx: &Tx, more: usize) -> Result<(), ApiError> {
        let there = self.key_count.of(tx.view())?;
        quotas::check(there.saturating_add(more), self.settings.quotas.api_keys, "API Keys", "account")
    }
}
