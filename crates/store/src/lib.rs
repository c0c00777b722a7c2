//! Stores behind the control plane. [`RedbStore`] keeps everything in one file and needs no server.

mod open;
mod peek;
mod redb;

pub use crate::redb::RedbStore;
