//! API keys and usage plans, as requests look them up: one immutable index, swapped as a whole.
//!
//! Keys and plans belong to no deployment: what changes in them takes effect at once. The index is cut into shards by
//! the hash of a key's value, and a new index shares every shard that has not changed, so that one key among a million
//! costs no more to change than one among ten.

mod build;
mod plan;
mod shard;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use stagedoor_shared_state::{Bucket, Counters, Usage};

pub use build::ClientsBuilder;
pub use plan::{UsagePlan, quota};
use shard::{Record, Shard};

/// How many shards there are: a power of two.
const SHARDS: usize = 4096;

/// The current [`Clients`], shared by the publisher and all workers.
pub type CurrentClients = Arc<ArcSwap<Clients>>;

/// All API keys and usage plans.
#[derive(Clone, Debug)]
pub struct Clients {
    shards: Vec<Arc<Shard>>,
    /// Plans by slot, which is how keys refer to them.
    plans: Vec<Slot>,
    hasher: RandomState,
}

/// Where a key is, by the hash of its value.
struct Place {
    shard: usize,
    /// What sorts keys within a shard.
    hash: u32,
}

impl Place {
    fn of(hash: u64) -> Self {
        // The low bits choose the shard, the high ones what is left.
        let shard = usize::try_from(hash % SHARDS as u64).unwrap_or(0);
        Self { shard, hash: u32::try_from(hash >> 32).unwrap_or(0) }
    }
}

/// A place for a plan. It keeps the plan's id while the plan itself is not known yet, or no more.
#[derive(Clone, Debug)]
struct Slot {
    id: Box<str>,
    plan: Option<Arc<UsagePlan>>,
}

/// A key that may call a stage, and the plan that says so.
#[derive(Clone)]
pub struct Client {
    shard: Arc<Shard>,
    /// Where in the shard the key is.
    at: u32,
    /// The plan.
    pub plan: Arc<UsagePlan>,
    /// Which of the key's plans it is.
    index: usize,
}

/// The counters of a key in one of its plans.
pub struct Member {
    /// What it has used, and how fast it may call.
    pub usage: Arc<dyn Usage>,
    /// The same for single methods, by stage and method: those that were called.
    methods: ArcSwapOption<Vec<NamedBucket>>,
}

type NamedBucket = (Box<str>, Arc<dyn Bucket>);

impl Default for Clients {
    fn default() -> Self {
        Self { shards: vec![Arc::default(); SHARDS], plans: Vec::new(), hasher: RandomState::new() }
    }
}

impl Clients {
    /// A [`CurrentClients`] without keys.
    #[must_use]
    pub fn none() -> CurrentClients {
        Arc::new(ArcSwap::from_pointee(Self::default()))
    }

    /// The key with a value, if it may call a stage: it is enabled and in a plan that has the stage.
    #[must_use]
    pub fn find(&self, value: &str, api: &str, stage: &str) -> Option<Client> {
        let Place { shard, hash } = Place::of(self.hasher.hash_one(value));
        let shard = self.shards.get(shard)?;
        let (at, key) = shard.find(hash, value).filter(|(_, key)| key.enabled)?;
        key.plans().enumerate().find_map(|(index, slot)| {
            let plan = self.plans.get(usize::try_from(slot).ok()?)?.plan.as_ref()?;
            let client = || Client { shard: Arc::clone(shard), at, plan: Arc::clone(plan), index };
            plan.has_stage(api, stage).then(client)
        })
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.len()).sum()
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for Client {
    // Without the value, which is a secret.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Client").field("id", &self.id()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Member").finish_non_exhaustive()
    }
}

impl Client {
    fn key(&self) -> Option<Record<'_>> {
        self.shard.at(self.at)
    }

    /// The key's value, which clients send.
    #[must_use]
    pub fn value(&self) -> &str {
        self.key().map_or("", |key| key.value)
    }

    /// The key's id.
    #[must_use]
    pub fn id(&self) -> &str {
        self.key().map_or("", |key| key.id)
    }

    /// The counters of the key in this plan.
    pub fn member(&self, counters: &dyn Counters) -> Option<&Member> {
        let key = self.key()?;
        let member = self.shard.member(&key, self.index)?;
        Some(member.get_or_init(|| Member {
            usage: counters.usage(&self.plan.id, key.id),
            methods: ArcSwapOption::empty(),
        }))
    }
}

impl Clone for Member {
    fn clone(&self) -> Self {
        Self { usage: Arc::clone(&self.usage), methods: ArcSwapOption::new(self.methods.load_full()) }
    }
}

impl Member {
    /// The bucket for one method of a stage. `method` is `{api}/{stage}{path}/{method}`.
    pub fn method_bucket(&self, client: &Client, method: &str, counters: &dyn Counters) -> Arc<dyn Bucket> {
        let known = self.methods.load();
        if let Some((_, bucket)) =
            known.iter().flat_map(|known| known.iter()).find(|(known, _)| &**known == method)
        {
            return Arc::clone(bucket);
        }
        let bucket = counters.bucket(&format!("client/{}/{}/{method}", client.plan.id, client.id()));
        self.methods.rcu(|known| {
            let mut methods = known.as_deref().cloned().unwrap_or_default();
            if !methods.iter().any(|(known, _)| &**known == method) {
                methods.push((method.into(), Arc::clone(&bucket)));
            }
            Some(Arc::new(methods))
        });
        bucket
    }
}

#[cfg(test)]
mod tests {
    use stagedoor_shared_state::MemoryCounters;

    use super::*;

    fn plan(id: &str, stages: serde_json::Value) -> stagedoor_shapes::apigateway::UsagePlan {
        serde_json::from_value(serde_json::json!({"id": id, "name": "p", "apiStages": stages})).unwrap()
    }

    #[test]
    fn keys_are_found_for_the_stages_of_their_plans() {
        let mut builder = ClientsBuilder::new(&Clients::default());
        builder.set_key("k1", "value-1", true, ["p1", "p2"]);
        builder.set_key("k2", "value-2", false, ["p1"]);
        builder.set_key("k3", "value-3", true, []);
        builder.set_plan(&plan("p1", serde_json::json!([{"apiId": "a", "stage": "dev"}])));
        let clients = builder.finish();
        let found = |clients: &Clients, value: &str, stage: &str| {
            clients.find(value, "a", stage).map(|client| (client.id().to_owned(), client.plan.id.to_string()))
        };
        let expected = Some(("k1".to_owned(), "p1".to_owned()));
        assert_eq!(found(&clients, "value-1", "dev"), expected);
        for (value, stage) in
            [("value-1", "prod"), ("value-2", "dev"), ("value-3", "dev"), ("value-", "dev"), ("", "dev")]
        {
            assert_eq!(found(&clients, value, stage), None, "{value} {stage}");
        }

        let mut builder = ClientsBuilder::new(&clients);
        builder.set_plan(&plan("p2", serde_json::json!([{"apiId": "a", "stage": "prod"}])));
        builder.remove_plan("p1");
        builder.set_key("k2", "value-2", true, ["p2"]);
        let changed = builder.finish();
        assert_eq!(found(&changed, "value-1", "dev"), None);
        assert_eq!(found(&changed, "value-1", "prod"), Some(("k1".to_owned(), "p2".to_owned())));
        assert_eq!(found(&changed, "value-2", "prod"), Some(("k2".to_owned(), "p2".to_owned())));
        // What was read before is as it was.
        assert_eq!(found(&clients, "value-1", "dev"), expected);
        let mut builder = ClientsBuilder::new(&changed);
        builder.remove_key("value-1");
        builder.remove_key("value-unknown");
        let removed = builder.finish();
        assert_eq!((found(&removed, "value-1", "prod"), removed.len()), (None, 2));
    }

    #[test]
    fn counters_outlive_a_change_of_their_key() {
        let counters = MemoryCounters::forgetful();
        let limit = stagedoor_shared_state::Limit { rate: 0.001, burst: 1 };
        let stages = serde_json::json!([{"apiId": "a", "stage": "dev"}]);
        let mut clients = Clients::default();
        let mut passed = Vec::new();
        for _ in 0..2 {
            let mut builder = ClientsBuilder::new(&clients);
            builder.set_key("k", "value", true, ["p"]);
            builder.set_plan(&plan("p", stages.clone()));
            clients = builder.finish();
            let client = clients.find("value", "a", "dev").unwrap();
            let member = client.member(&counters).unwrap();
            for bucket in [
                Arc::clone(&member.usage) as Arc<dyn Bucket>,
                member.method_bucket(&client, "a/dev/x/GET", &counters),
                member.method_bucket(&client, "a/dev/x/GET", &counters),
            ] {
                let stagedoor_shared_state::Answer::Now(answer) = bucket.take(limit) else { panic!() };
                passed.push(answer);
            }
        }
        assert_eq!(passed, [true, true, false, false, false, false]);
    }

    #[test]
    fn many_keys_are_each_found() {
        let mut builder = ClientsBuilder::new(&Clients::default());
        builder.set_plan(&plan("p", serde_json::json!([{"apiId": "a", "stage": "dev"}])));
        for number in 0..20_000 {
            builder.set_key(&format!("k{number}"), &format!("value-{number}"), true, ["p"]);
        }
        let clients = builder.finish();
        assert_eq!(clients.len(), 20_000);
        for number in 0..20_000 {
            let client = clients.find(&format!("value-{number}"), "a", "dev").unwrap();
            assert_eq!((client.id(), client.value()), (&*format!("k{number}"), &*format!("value-{number}")));
        }
    }

    proptest::proptest! {
        #[test]
        fn any_changes_leave_what_a_map_would_hold(
            changes in proptest::collection::vec(("[a-c]{1,3}", proptest::option::of(("[0-9]{1,2}", 0..3_usize))), 0..60),
            cuts in proptest::collection::vec(0..60_usize, 0..4),
        ) {
            let (mut clients, mut expected) = (Clients::default(), std::collections::HashMap::new());
            let mut builder = ClientsBuilder::new(&clients);
            builder.set_plan(&plan("p0", serde_json::json!([{"apiId": "a", "stage": "dev"}])));
            for (number, (value, change)) in changes.iter().enumerate() {
                match change {
                    Some((id, plans)) => {
                        let plans: Vec<String> = (0..*plans).map(|plan| format!("p{plan}")).collect();
                        builder.set_key(id, value, true, plans.iter().map(String::as_str));
                        expected.insert(value.clone(), (id.clone(), !plans.is_empty()));
                    }
                    None => {
                        builder.remove_key(value);
                        expected.remove(value);
                    }
                }
                if cuts.contains(&number) {
                    clients = builder.finish();
                    builder = ClientsBuilder::new(&clients);
                }
            }
            let clients = builder.finish();
            assert_eq!(clients.len(), expected.len());
            for (value, _) in &changes {
                let found = clients.find(value, "a", "dev").map(|client| client.id().to_owned());
                let known = expected.get(value).filter(|(_, may)| *may).map(|(id, _)| id.clone());
                assert_eq!(found, known, "{value}");
            }
        }
    }

    #[test]
    fn keys_keep_their_counters_while_others_change() {
        let counters = MemoryCounters::forgetful();
        let mut builder = ClientsBuilder::new(&Clients::default());
        builder.set_plan(&plan("p", serde_json::json!([{"apiId": "a", "stage": "dev"}])));
        for number in 0..10_000 {
            builder.set_key(&format!("k{number}"), &format!("value-{number}"), true, ["p"]);
        }
        let before = builder.finish();
        let member = |clients: &Clients| {
            let client = clients.find("value-7", "a", "dev").unwrap();
            Arc::as_ptr(&client.member(&counters).unwrap().usage).cast::<()>()
        };
        let known = member(&before);
        let mut builder = ClientsBuilder::new(&before);
        for number in (0..10_000).filter(|number| *number != 7) {
            builder.set_key(&format!("k{number}"), &format!("value-{number}"), number % 2 == 0, ["p"]);
        }
        assert_eq!(member(&builder.finish()), known);
    }
}
