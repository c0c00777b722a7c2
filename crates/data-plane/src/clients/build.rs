//! Builds an index of clients from an earlier one and what has changed since.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::{Arc, OnceLock};

use super::{ApiKey, Clients, Slot, UsagePlan, place, shard_of};

/// An index being put together. Shards that nothing changes are shared with the index it began with.
pub struct ClientsBuilder {
    clients: Clients,
    changed: HashMap<usize, Vec<(u64, Arc<ApiKey>)>>,
    slots: HashMap<Box<str>, u32>,
}

impl std::fmt::Debug for ClientsBuilder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ClientsBuilder").field("changed", &self.changed.len()).finish_non_exhaustive()
    }
}

impl ClientsBuilder {
    /// Begins with an index.
    #[must_use]
    pub fn new(before: &Clients) -> Self {
        let slots = before.plans.iter().zip(0..).map(|(slot, number)| (slot.id.clone(), number)).collect();
        Self { clients: before.clone(), changed: HashMap::new(), slots }
    }

    /// Adds a key or replaces it. Plans that are not known yet may follow.
    pub fn set_key<'p>(
        &mut self,
        id: &str,
        value: &str,
        enabled: bool,
        plans: impl IntoIterator<Item = &'p str>,
    ) {
        let Ok(value_length) = u8::try_from(value.len()) else {
            // Longer than a value can be; nobody could send it.
            return;
        };
        let plans = plans.into_iter().map(|plan| self.slot(plan)).collect();
        let text = [value, id].concat().into_boxed_str();
        let key = Arc::new(ApiKey { text, value_length, enabled, plans, members: OnceLock::new() });
        let (hash, shard) = self.shard(value);
        match position(shard, hash, value) {
            Ok(at) => {
                if let Some((_, known)) = shard.get_mut(at) {
                    *known = key;
                }
            }
            Err(at) => shard.insert(at, (hash, key)),
        }
    }

    /// Removes the key with a value, if it is there.
    pub fn remove_key(&mut self, value: &str) {
        let (hash, shard) = self.shard(value);
        if let Ok(at) = position(shard, hash, value) {
            shard.remove(at);
        }
    }

    /// Adds a plan or replaces it.
    pub fn set_plan(&mut self, plan: &stagedoor_shapes::apigateway::UsagePlan) {
        let plan = UsagePlan::compile(plan);
        let slot = self.slot(&plan.id);
        self.put_plan(slot, Some(Arc::new(plan)));
    }

    /// Removes a plan, if it is there.
    pub fn remove_plan(&mut self, id: &str) {
        if let Some(&slot) = self.slots.get(id) {
            self.put_plan(slot, None);
        }
    }

    fn put_plan(&mut self, slot: u32, plan: Option<Arc<UsagePlan>>) {
        if let Some(slot) = self.clients.plans.get_mut(slot as usize) {
            slot.plan = plan;
        }
    }

    fn slot(&mut self, plan: &str) -> u32 {
        if let Some(&slot) = self.slots.get(plan) {
            return slot;
        }
        let slot = u32::try_from(self.clients.plans.len()).unwrap_or(u32::MAX);
        self.clients.plans.push(Slot { id: plan.into(), plan: None });
        self.slots.insert(plan.into(), slot);
        slot
    }

    fn shard(&mut self, value: &str) -> (u64, &mut Vec<(u64, Arc<ApiKey>)>) {
        let hash = self.clients.hasher.hash_one(value);
        let number = shard_of(hash);
        let shards = &self.clients.shards;
        let own = self
            .changed
            .entry(number)
            .or_insert_with(|| shards.get(number).map(|shard| shard.to_vec()).unwrap_or_default());
        (hash, own)
    }

    /// The index.
    #[must_use]
    pub fn finish(mut self) -> Clients {
        for (number, keys) in self.changed {
            if let Some(shard) = self.clients.shards.get_mut(number) {
                *shard = Arc::from(keys);
            }
        }
        self.clients
    }
}

/// Where a key is, or where it would be.
fn position(shard: &[(u64, Arc<ApiKey>)], hash: u64, value: &str) -> Result<usize, usize> {
    let first = place(shard, hash);
    let same = shard.iter().enumerate().skip(first).take_while(|(_, (known, _))| *known == hash);
    let found = same.map(|(at, (_, key))| (at, key)).find(|(_, key)| key.value() == value);
    found.map(|(at, _)| at).ok_or(first)
}
