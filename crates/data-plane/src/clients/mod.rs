//! API keys and usage plans, as requests look them up: one immutable index, swapped as a whole.
//!
//! Keys and plans belong to no deployment: what changes in them takes effect at once. The index is cut into shards by
//! the hash of a key's value, and a new index shares every shard that has not changed, so that one key among a million
//! costs no more to change than one among ten.

mod build;
mod plan;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use smallvec::SmallVec;
use stagedoor_shared_state::{Bucket, Counters, Usage};

pub use build::ClientsBuilder;
pub use plan::{UsagePlan, quota};

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

/// The keys of a shard with the hashes of their values, in the order of the hashes.
type Shard = [(u64, Arc<ApiKey>)];

/// A place for a plan. It keeps the plan's id while the plan itself is not known yet, or no more.
#[derive(Clone, Debug)]
struct Slot {
    id: Box<str>,
    plan: Option<Arc<UsagePlan>>,
}

/// An API key. Value and id share one text, because there may be many keys.
pub struct ApiKey {
    text: Box<str>,
    value_length: u8,
    enabled: bool,
    plans: SmallVec<[u32; 2]>,
    /// Made when the key is first used.
    members: OnceLock<Box<[OnceLock<Member>]>>,
}

/// A key that may call a stage, and the plan that says so.
#[derive(Clone, Debug)]
pub struct Client {
    /// The key.
    pub key: Arc<ApiKey>,
    /// The plan.
    pub plan: Arc<UsagePlan>,
    /// Which of the key's plans it is.
    index: usize,
}

/// The counters of a key in one of its plans.
pub struct Member {
    /// What it has used.
    pub usage: Arc<dyn Usage>,
    /// How fast it may call.
    pub bucket: Arc<dyn Bucket>,
    /// The same for single methods, by stage and method: those that were called.
    methods: ArcSwap<Vec<NamedBucket>>,
}

type NamedBucket = (Box<str>, Arc<dyn Bucket>);

impl Default for Clients {
    fn default() -> Self {
        let empty: Arc<Shard> = Arc::from([]);
        Self { shards: vec![empty; SHARDS], plans: Vec::new(), hasher: RandomState::new() }
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
        let key = self.key(value).filter(|key| key.enabled)?;
        key.plans.iter().enumerate().find_map(|(index, &slot)| {
            let plan = self.plans.get(slot as usize)?.plan.as_ref()?;
            let client = || Client { key: Arc::clone(key), plan: Arc::clone(plan), index };
            plan.has_stage(api, stage).then(client)
        })
    }

    fn key(&self, value: &str) -> Option<&Arc<ApiKey>> {
        let hash = self.hasher.hash_one(value);
        let shard = self.shards.get(shard_of(hash))?;
        let same = shard.iter().skip(place(shard, hash)).take_while(|(known, _)| *known == hash);
        same.map(|(_, key)| key).find(|key| key.value() == value)
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

fn shard_of(hash: u64) -> usize {
    // The low bits: the high ones sort keys within a shard.
    usize::try_from(hash % SHARDS as u64).unwrap_or(0)
}

/// Where the keys with a hash begin, or would. Hashes are spread evenly, so that the place can be told from the hash
/// itself, but for a few steps: among many keys that touches less memory than halving the shard would.
fn place(shard: &Shard, hash: u64) -> usize {
    let guess = (u128::from(hash) * shard.len() as u128) >> 64;
    let mut at = usize::try_from(guess).unwrap_or(0);
    while at > 0 && shard.get(at - 1).is_some_and(|(known, _)| *known >= hash) {
        at -= 1;
    }
    while shard.get(at).is_some_and(|(known, _)| *known < hash) {
        at += 1;
    }
    at
}

impl ApiKey {
    /// Its value, which clients send.
    #[must_use]
    pub fn value(&self) -> &str {
        self.text.get(..usize::from(self.value_length)).unwrap_or_default()
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        self.text.get(usize::from(self.value_length)..).unwrap_or_default()
    }
}

impl fmt::Debug for ApiKey {
    // Without the value, which is a secret.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ApiKey").field("id", &self.id()).field("enabled", &self.enabled).finish()
    }
}

impl Client {
    /// The counters of the key in this plan.
    pub fn member(&self, counters: &dyn Counters) -> Option<&Member> {
        let members =
            self.key.members.get_or_init(|| self.key.plans.iter().map(|_| OnceLock::new()).collect());
        let member = members.get(self.index)?;
        Some(member.get_or_init(|| Member::new(&self.plan.id, self.key.id(), counters)))
    }
}

impl Member {
    fn new(plan: &str, key: &str, counters: &dyn Counters) -> Self {
        Self {
            usage: counters.usage(plan, key),
            bucket: counters.bucket(&format!("client/{plan}/{key}")),
            methods: ArcSwap::default(),
        }
    }

    /// The bucket for one method of a stage. `method` is `{api}/{stage}{path}/{method}`.
    pub fn method_bucket(&self, client: &Client, method: &str, counters: &dyn Counters) -> Arc<dyn Bucket> {
        if let Some((_, bucket)) = self.methods.load().iter().find(|(known, _)| &**known == method) {
            return Arc::clone(bucket);
        }
        let bucket = counters.bucket(&format!("client/{}/{}/{method}", client.plan.id, client.key.id()));
        self.methods.rcu(|known| {
            let mut methods = Vec::clone(known);
            if !methods.iter().any(|(known, _)| &**known == method) {
                methods.push((method.into(), Arc::clone(&bucket)));
            }
            methods
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
            clients
                .find(value, "a", stage)
                .map(|client| (client.key.id().to_owned(), client.plan.id.to_string()))
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
                Arc::clone(&member.bucket),
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
            assert_eq!(client.key.id(), format!("k{number}"));
        }
    }
}
