//! What the things of an API have in common: finding, listing and deleting one by its id, and new ids.

use serde::de::DeserializeOwned;

use super::V2;
use super::keys::{self, Kind};
use crate::page::Page;
use crate::tx::Tx;
use crate::{ApiError, ids};

impl V2<'_> {
    /// One thing of an API, or AWS's answer that there is none.
    pub(super) fn find<T: DeserializeOwned>(
        &self,
        tx: &Tx,
        api: &str,
        kind: Kind,
        id: &str,
    ) -> Result<T, ApiError> {
        self.api(tx, api)?;
        find(tx, api, kind, id)
    }

    /// A page of the things of one kind.
    pub(super) fn list<T: DeserializeOwned>(
        &self,
        api: &str,
        kind: Kind,
        next_token: Option<&str>,
        max_results: Option<&str>,
    ) -> Result<Page<T>, ApiError> {
        let items = self.0.read(|tx| {
            self.api(tx, api)?;
            tx.scan::<T>(&keys::all(api, kind))
        })?;
        super::page_of(items, next_token, max_results)
    }
}

/// One thing of an API that is there.
pub(super) fn find<T: DeserializeOwned>(tx: &Tx, api: &str, kind: Kind, id: &str) -> Result<T, ApiError> {
    tx.get(&keys::one(api, kind, id))?.ok_or_else(|| absent(kind, id))
}

/// AWS's answer to something that is not there.
pub(super) fn absent(kind: Kind, id: &str) -> ApiError {
    ApiError::NotFound(match kind {
        Kind::Stage => "Invalid stage identifier specified".to_owned(),
        kind => format!("Invalid {} identifier specified {id}", kind.name()),
    })
}

/// An id that nothing of this kind has.
pub(super) fn unused(tx: &Tx, api: &str, kind: Kind) -> Result<String, ApiError> {
    loop {
        let id = match kind {
            Kind::Route | Kind::Integration => ids::route()?,
            _ => ids::short()?,
        };
        if !tx.exists(&keys::one(api, kind, &id))? {
            return Ok(id);
        }
    }
}
