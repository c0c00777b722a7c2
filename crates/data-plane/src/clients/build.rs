//! Builds an index of clients from an earlier one and what has changed since.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use smallvec::SmallVec;

use super::shard::OpenShard;
use super::{Clients, Place, Slot, UsagePlan};

/// An index being put together. Shards that nothing changes are shared with the index it began with.
pub struct ClientsBuilder {
    clients: Clients,
    changed: HashMap<usize, OpenShard>,
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
        let plans: SmallVec<[u32; 4]> = plans.into_iter().map(|plan| self.slot(plan)).collect();
        let (hash, shard) = self.shard(value);
        shard.set(hash, id, value, enabled, &plans);
    }

    /// Removes the key with a value, if it is there.
    pub fn remove_key(&mut self, value: &str) {
        let (hash, shard) = self.shard(value);
        shard.remove(hash, value);
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

    fn shard(&mut self, value: &str) -> (u32, &mut OpenShard) {
        let Place { shard, hash } = Place::of(self.clients.hasher.hash_one(value));
        let shards = &self.clients.shards;
        let open = self.changed.entry(shard).or_insert_with(|| match shards.get(shard) {
            Some(shard) => OpenShard::new(shard),
            None => OpenShard::new(&Arc::default()),
        });
        (hash, open)
    }

    /// The index.
    #[must_use]
    pub fn finish(mut self) -> Clients {
        for (number, open) in self.changed {
            if let Some(shard) = self.clients.shards.get_mut(number) {
                *shard = Arc::new(open.close());
            }
        }
        self.clients
    }
}
