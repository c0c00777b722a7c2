//! The hand-over from definitions to traffic: follows the store's change feed, compiles what has changed and swaps it
//! in. A stage that does not compile any more keeps serving what it served before.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use stagedoor_control_plane::clients::ClientKey;
use stagedoor_control_plane::deployed::{DeployedApi, DeployedStage, DeployedStageV2};
use stagedoor_control_plane::store::Revision;
use stagedoor_control_plane::{ApiError, ControlPlane};
use stagedoor_data_plane::clients::{Clients, ClientsBuilder, CurrentClients};
use stagedoor_data_plane::fast_map::FastMap;
use stagedoor_data_plane::metrics::CANARY_SUFFIX;
use stagedoor_data_plane::plan::{self, CompileSettings, Plan, PlanError};
use stagedoor_data_plane::published::{Current, Published, PublishedApi};
use stagedoor_data_plane::server_tls::Identity;
use stagedoor_data_plane::tls::ClientTls;
use stagedoor_data_plane::worker::Services;
use stagedoor_shapes::apigateway::Stage;
use stagedoor_shared_state::Counters;
use tokio::sync::{Notify, watch};

use crate::domains::DomainBuilder;

/// The status that connections to a stage that is gone are closed with.
const GOING_AWAY: u16 = 1001;

/// Keeps what is served the same as what is deployed.
pub(crate) struct Publisher {
    control_plane: Arc<ControlPlane>,
    target: Target,
    settings: CompileSettings,
    domains: DomainBuilder,
    /// Told when a file has changed that domains are made of.
    files_changed: Arc<Notify>,
    /// Whether that has been told and not been looked at.
    domains_stale: bool,
    /// Which revision of each stage its plan was compiled from, by API and stage name.
    compiled: HashMap<(String, String), Revision>,
    revision: Revision,
    published: watch::Sender<Revision>,
}

/// Where things are published.
pub(crate) struct Target {
    /// Stages.
    pub(crate) current: Current,
    /// API keys and usage plans, which belong to no deployment.
    pub(crate) clients: CurrentClients,
    /// What has been counted for keys and plans; what is gone is forgotten.
    pub(crate) counters: Arc<dyn Counters>,
    /// What all workers share: those connected to a stage that is gone are told.
    pub(crate) services: Arc<Services>,
}

/// Waits for changes to be served.
#[derive(Clone)]
pub(crate) struct Follow {
    control_plane: Arc<ControlPlane>,
    published: watch::Receiver<Revision>,
}

impl Follow {
    /// Ready once everything that has been committed by now is served.
    pub(crate) async fn caught_up(&mut self) {
        let newest = *self.control_plane.store().watch().borrow();
        // An error means that the publisher has ended, with the process.
        let _ = self.published.wait_for(|published| *published >= newest).await;
    }
}

impl Publisher {
    /// Publishes all that is deployed.
    ///
    /// # Errors
    /// [`ApiError`] if the store cannot be read.
    pub(crate) fn start(
        control_plane: Arc<ControlPlane>,
        target: Target,
        settings: CompileSettings,
        domains: DomainBuilder,
        files_changed: Arc<Notify>,
    ) -> Result<(Self, Follow), ApiError> {
        let (published, follow) = watch::channel(0);
        let follow = Follow { control_plane: Arc::clone(&control_plane), published: follow };
        let mut publisher = Self {
            control_plane,
            target,
            settings,
            domains,
            files_changed,
            domains_stale: true,
            compiled: HashMap::new(),
            revision: 0,
            published,
        };
        publisher.revision = publisher.control_plane.revision()?;
        let all = publisher.control_plane.api_ids()?;
        publisher.publish(&all)?;
        publisher.publish_all_clients()?;
        publisher.published.send_replace(publisher.revision);
        Ok((publisher, follow))
    }

    /// Publishes changes as they are committed, for as long as the store lives.
    pub(crate) async fn follow(mut self) {
        let mut newest = self.control_plane.store().watch();
        loop {
            let blocking = tokio::task::spawn_blocking(move || {
                if let Err(error) = self.catch_up() {
                    tracing::error!(%error, "changes could not be published");
                }
                self
            });
            match blocking.await {
                Ok(publisher) => self = publisher,
                Err(error) => return tracing::error!(%error, "publishing ended"),
            }
            let seen = self.revision;
            let files_changed = Arc::clone(&self.files_changed);
            tokio::select! {
                newer = newest.wait_for(|newest| *newest > seen) => {
                    if newer.is_err() {
                        return;
                    }
                }
                () = files_changed.notified() => self.domains_stale = true,
            }
        }
    }

    fn catch_up(&mut self) -> Result<(), ApiError> {
        let (revision, changed) = self.control_plane.apis_changed_since(self.revision)?;
        self.domains_stale |= self.control_plane.domains_changed_since(self.revision)?;
        let changed = match changed {
            Some(changed) => changed,
            None => {
                let mut all = self.control_plane.api_ids()?;
                all.extend(self.target.current.load().apis.keys().cloned());
                all
            }
        };
        let result = if changed.is_empty() && !self.domains_stale { Ok(()) } else { self.publish(&changed) };
        let result = result.and(self.publish_clients());
        // What cannot be published now could not be a moment later either; a later change to it is tried again.
        self.revision = revision;
        self.published.send_replace(revision);
        result
    }

    /// Publishes the API keys and usage plans that have changed.
    fn publish_clients(&self) -> Result<(), ApiError> {
        let Some(changes) = self.control_plane.clients_changed_since(self.revision)? else {
            return self.publish_all_clients();
        };
        if changes.is_empty() {
            return Ok(());
        }
        let mut builder = ClientsBuilder::new(&self.target.clients.load());
        for (id, plan) in &changes.plans {
            match plan {
                Some(plan) => builder.set_plan(plan),
                None => builder.remove_plan(id),
            }
        }
        for (value, key) in &changes.keys {
            match key {
                Some(key) => add(&mut builder, key),
                None => builder.remove_key(value),
            }
        }
        self.target.clients.store(Arc::new(builder.finish()));
        let gone_plan = |plan: &str| changes.plans.iter().any(|(id, found)| id == plan && found.is_none());
        if !changes.gone.is_empty() || changes.plans.iter().any(|(_, plan)| plan.is_none()) {
            self.target.counters.forget(&|plan, key| !gone_plan(plan) && !changes.gone.contains(key));
        }
        Ok(())
    }

    /// Publishes all API keys and usage plans.
    fn publish_all_clients(&self) -> Result<(), ApiError> {
        let mut builder = ClientsBuilder::new(&Clients::default());
        let plans = self.control_plane.usage_plans()?;
        for plan in &plans {
            builder.set_plan(plan);
        }
        self.control_plane.each_client_key(|key| add(&mut builder, &key))?;
        self.target.clients.store(Arc::new(builder.finish()));
        let plans: HashSet<_> = plans.into_iter().filter_map(|plan| plan.id).collect();
        // A key that has left its plan may come back to what it had used.
        self.target
            .counters
            .forget(&|plan, key| plans.contains(plan) && self.control_plane.has_api_key(key).unwrap_or(true));
        Ok(())
    }

    fn publish(&mut self, apis: &BTreeSet<String>) -> Result<(), ApiError> {
        let before = self.target.current.load_full();
        let domains = if self.domains_stale {
            Arc::new(self.domains.build(self.control_plane.served_domains()?))
        } else {
            Arc::clone(&before.domains)
        };
        self.domains_stale = false;
        let mut now = Published { apis: before.apis.clone(), domains };
        for id in apis {
            match self.control_plane.deployed_api(id)? {
                Some(deployed) => {
                    let api = self.compile(id, deployed, before.apis.get(id));
                    now.apis.insert(id.clone(), api);
                }
                None => {
                    now.apis.remove(id);
                    self.compiled.retain(|(api, _), _| api != id);
                }
            }
        }
        // A worker may hold on to a plan that is not served any more until its next request.
        self.settings.metrics.keep(|labels| {
            let stage = labels.stage.strip_suffix(CANARY_SUFFIX).unwrap_or(&labels.stage);
            now.apis.get(&labels.api_id).is_some_and(|api| api.stages.contains_key(stage))
        });
        let now = Arc::new(now);
        self.target.current.store(Arc::clone(&now));
        let is_served =
            |api: &str, stage: &str| now.apis.get(api).is_some_and(|api| api.stages.contains_key(stage));
        let gone = apis.iter().filter_map(|id| Some((id, before.apis.get(id)?))).any(|(id, api)| {
            api.stages.iter().any(|(stage, plan)| plan.websocket.is_some() && !is_served(id, stage))
        });
        if gone {
            let connections = &self.target.services.websockets.connections;
            connections
                .close_all(GOING_AWAY, "Going away", |handle| !is_served(&handle.api_id, &handle.stage));
        }
        Ok(())
    }

    fn compile(&mut self, id: &str, deployed: DeployedApi, before: Option<&PublishedApi>) -> PublishedApi {
        let rest = deployed
            .stages
            .into_iter()
            .map(|(name, (revision, stage))| (name, revision, Served::Rest(Box::new(stage))));
        let others = deployed
            .stages_v2
            .into_iter()
            .map(|(name, (revision, stage))| (name, revision, Served::V2(Box::new(stage))));
        let deployed_stages: Vec<_> = rest.chain(others).collect();
        let is_deployed = |stage: &String| deployed_stages.iter().any(|(name, ..)| name == stage);
        self.compiled.retain(|(api, stage), _| api != id || is_deployed(stage));
        let mut stages = FastMap::default();
        for (name, revision, deployed) in deployed_stages {
            let old = before.and_then(|api| api.stages.get(&name));
            let key = (id.to_owned(), name.clone());
            let plan: Option<Arc<Plan>> = match (self.compiled.get(&key), old) {
                (Some(known), Some(old)) if *known == revision => Some(Arc::clone(old)),
                _ => match deployed.compile(&self.settings) {
                    Ok(plan) => Some(Arc::new(match &deployed {
                        Served::Rest(deployed) => {
                            let mut plan = plan;
                            plan.present(self.client_tls(&deployed.stage));
                            plan.with_cache_of(old.map(|before| &**before), deployed.cache_generation)
                        }
                        Served::V2(_) => plan,
                    })),
                    Err(errors) => {
                        for error in errors {
                            tracing::error!(api = id, stage = name, %error, "cannot be served; what was served before stays");
                        }
                        old.cloned()
                    }
                },
            };
            if let Some(plan) = plan {
                self.compiled.insert(key, revision);
                stages.insert(name, plan);
            }
        }
        PublishedApi {
            endpoint_disabled: deployed.endpoint_disabled,
            security_policy: deployed.security_policy,
            strict: deployed.strict,
            is_http: deployed.is_v2 && !deployed.is_websocket,
            stages,
        }
    }

    /// The certificate that a stage shows its backends.
    fn client_tls(&self, stage: &Stage) -> Option<Arc<ClientTls>> {
        let id = stage.client_certificate_id.as_deref()?;
        let made = self.control_plane.client_identity(id).map_err(|error| error.to_string());
        let made = made.and_then(|found| found.ok_or_else(|| "there is none with this id".to_owned()));
        let made = made
            .and_then(|found| Identity::from_pem(found.certificate.as_bytes(), found.private_key.as_bytes()));
        match made {
            Ok(identity) => Some(Arc::new(ClientTls::new(id.to_owned(), identity))),
            Err(error) => {
                tracing::error!(id, %error, "the client certificate cannot be used: backends are not shown it");
                None
            }
        }
    }
}

/// A stage of an API of either kind.
enum Served {
    Rest(Box<DeployedStage>),
    V2(Box<DeployedStageV2>),
}

impl Served {
    fn compile(&self, settings: &CompileSettings) -> Result<Plan, Vec<PlanError>> {
        match self {
            Self::Rest(deployed) => compile(deployed, settings),
            Self::V2(deployed) => plan::compile_v2(&deployed.snapshot, &deployed.stage, settings),
        }
    }
}

/// A stage with its canary.
fn compile(deployed: &DeployedStage, settings: &CompileSettings) -> Result<Plan, Vec<PlanError>> {
    let plan = plan::compile(&deployed.snapshot, &deployed.stage, settings)?;
    let Some(canary) = &deployed.canary else { return Ok(plan) };
    Ok(plan.with_canary(
        canary.percent_traffic,
        plan::compile_canary(&canary.snapshot, &canary.stage, settings)?,
    ))
}

fn add(builder: &mut ClientsBuilder, key: &ClientKey) {
    builder.set_key(&key.id, &key.value, key.enabled, key.plans.iter().map(String::as_str));
}
