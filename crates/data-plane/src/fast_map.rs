//! The map for what is looked up on each request by a name that a definition chose.
//!
//! Its hash is quick and not keyed. What clients send is only looked up in such a map, never put into it, so nobody
//! can make its chains long.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use rustc_hash::FxHasher;

/// A map by a name from a definition.
pub type FastMap<K, V> = HashMap<K, V, BuildHasherDefault<FxHasher>>;
