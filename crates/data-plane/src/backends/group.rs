//! What is known of the targets of one VPC link, and the choice among them.
//!
//! A target is passed over while checks say that it is unhealthy and while it is ejected for having failed requests.
//! If that leaves none, all are used, as a network load balancer does it. A target that is let in again after an
//! ejection is out at its next failure.
//!
//! Everything is in atomic words of their own: two requests that see slightly different counts do no harm.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::tls::ClientTls;
use crate::upstream::Target;

/// An ejection lasts longer each time in a row, up to this many times the first one.
const EJECTIONS_MAX: u32 = 10;

/// How a target is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Each in turn.
    #[default]
    RoundRobin,
    /// The one with the fewest requests under way.
    LeastConnections,
}

/// How a link's targets are used.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How one is chosen.
    pub policy: Policy,
    /// To how many more targets a request goes that failed at one.
    pub retries: usize,
    /// Requests under way at one target at once; more go elsewhere or fail.
    pub max_requests: usize,
    /// Failures in a row that eject a target.
    pub eject_after: u32,
    /// How long the first ejection lasts.
    pub eject_for: Duration,
    /// The active checks, if there are any.
    pub check: Option<super::health::Check>,
    /// The certificate that targets are shown.
    pub client: Option<Arc<ClientTls>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            policy: Policy::RoundRobin,
            retries: 2,
            max_requests: usize::MAX,
            eject_after: 3,
            eject_for: Duration::from_secs(10),
            check: None,
            client: None,
        }
    }
}

/// The targets of one link.
#[derive(Debug)]
pub struct Group {
    name: Box<str>,
    settings: Settings,
    targets: Vec<State>,
    next: AtomicUsize,
    began: Instant,
}

#[derive(Debug)]
struct State {
    target: Target,
    /// What active checks say.
    healthy: AtomicBool,
    /// Failed requests in a row.
    failures: AtomicU32,
    /// Ejections in a row.
    ejections: AtomicU32,
    /// Until when it is ejected, in milliseconds since the group began; 0 if it is not.
    ejected_until: AtomicU64,
    under_way: AtomicUsize,
}

impl Group {
    /// A group whose targets are taken to be well.
    #[must_use]
    pub fn new(name: &str, targets: Vec<Target>, settings: Settings) -> Arc<Self> {
        let state = |target| State {
            target,
            healthy: AtomicBool::new(true),
            failures: AtomicU32::new(0),
            ejections: AtomicU32::new(0),
            ejected_until: AtomicU64::new(0),
            under_way: AtomicUsize::new(0),
        };
        let targets = targets.into_iter().map(state).collect();
        Arc::new(Self {
            name: name.into(),
            settings,
            targets,
            next: AtomicUsize::new(0),
            began: Instant::now(),
        })
    }

    /// What the configuration calls the link.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How the targets are used.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The targets, in order.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        self.targets.iter().map(|state| &state.target)
    }

    /// What a check of a target has found.
    pub fn set_healthy(&self, index: usize, healthy: bool) {
        if let Some(state) = self.targets.get(index) {
            state.healthy.store(healthy, Relaxed);
        }
    }

    /// Chooses a target for a request.
    #[must_use]
    pub fn begin(self: &Arc<Self>, tried: &[usize]) -> Option<Call> {
        let first = self.next.fetch_add(1, Relaxed);
        let fits = |state: &State| self.is_well(state);
        let index = self.choose(first, tried, fits).or_else(|| self.choose(first, tried, |_| true))?;
        self.targets.get(index)?.under_way.fetch_add(1, Relaxed);
        Some(Call { group: Arc::clone(self), index })
    }

    fn choose(&self, first: usize, tried: &[usize], fits: impl Fn(&State) -> bool) -> Option<usize> {
        let count = self.targets.len();
        let mut least: Option<(usize, usize)> = None;
        for offset in 0..count {
            let index = first.wrapping_add(offset) % count;
            let Some(state) = self.targets.get(index) else { continue };
            let under_way = state.under_way.load(Relaxed);
            if under_way >= self.settings.max_requests || tried.contains(&index) || !fits(state) {
                continue;
            }
            if self.settings.policy == Policy::RoundRobin {
                return Some(index);
            }
            if least.is_none_or(|(_, fewest)| under_way < fewest) {
                least = Some((index, under_way));
            }
        }
        least.map(|(index, _)| index)
    }

    fn is_well(&self, state: &State) -> bool {
        let until = state.ejected_until.load(Relaxed);
        state.healthy.load(Relaxed) && (until == 0 || until <= self.milliseconds())
    }

    fn milliseconds(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn failed(&self, state: &State) {
        let failures = state.failures.fetch_add(1, Relaxed).saturating_add(1);
        if failures < self.settings.eject_after {
            return;
        }
        // Whoever comes back is out at the next failure.
        state.failures.store(self.settings.eject_after.saturating_sub(1), Relaxed);
        let until = state.ejected_until.load(Relaxed);
        if until > self.milliseconds() {
            return;
        }
        let times = state.ejections.load(Relaxed).saturating_add(1).min(EJECTIONS_MAX);
        state.ejections.store(times, Relaxed);
        let lasts = u64::try_from(self.settings.eject_for.as_millis()).unwrap_or(u64::MAX);
        let until = self.milliseconds().saturating_add(lasts.saturating_mul(times.into())).max(1);
        state.ejected_until.store(until, Relaxed);
        let Target { host, port } = &state.target;
        tracing::warn!("VPC link {}: {host}:{port} is ejected after {failures} failures in a row", self.name);
    }

    fn succeeded(state: &State) {
        // Reading is cheaper than writing for all who read at the same time.
        if state.failures.load(Relaxed) != 0 {
            state.failures.store(0, Relaxed);
        }
        if state.ejections.load(Relaxed) != 0 {
            state.ejections.store(0, Relaxed);
        }
        if state.ejected_until.load(Relaxed) != 0 {
            state.ejected_until.store(0, Relaxed);
        }
    }
}

/// A request under way at a target.
#[derive(Debug)]
pub struct Call {
    group: Arc<Group>,
    index: usize,
}

impl Call {
    /// Which of the group's targets it is at.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// The target failed.
    pub fn failed(&self) {
        if let Some(state) = self.group.targets.get(self.index) {
            self.group.failed(state);
        }
    }

    /// The target answered.
    pub fn succeeded(&self) {
        if let Some(state) = self.group.targets.get(self.index) {
            Group::succeeded(state);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(state) = self.group.targets.get(self.index) {
            state.under_way.fetch_sub(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(settings: Settings) -> Arc<Group> {
        let targets = ["a:1", "b:2", "c:3"].map(|text| text.parse().unwrap());
        Group::new("x", targets.into(), settings)
    }

    fn next(group: &Arc<Group>, tried: &[usize]) -> Option<usize> {
        group.begin(tried).map(|call| call.index())
    }

    #[test]
    fn the_unhealthy_are_passed_over_unless_all_are() {
        let group = group(Settings::default());
        group.set_healthy(1, false);
        assert_eq!([next(&group, &[]), next(&group, &[]), next(&group, &[])], [Some(0), Some(2), Some(2)]);
        assert_eq!(next(&group, &[0, 2]), Some(1));
        group.set_healthy(0, false);
        group.set_healthy(2, false);
        assert_eq!(next(&group, &[]), Some(1));
        assert_eq!(next(&group, &[0, 1, 2]), None);
    }

    #[test]
    fn failures_eject_and_time_lets_in_again() {
        let group = group(Settings { eject_for: Duration::from_millis(30), ..Settings::default() });
        for _ in 0..3 {
            group.begin(&[1, 2]).unwrap().failed();
        }
        let seen: Vec<_> = (0..6).filter_map(|_| next(&group, &[])).collect();
        assert!(!seen.contains(&0), "{seen:?}");
        std::thread::sleep(Duration::from_millis(40));
        assert_eq!(next(&group, &[1, 2]), Some(0));
        assert!((0..3).filter_map(|_| next(&group, &[])).any(|index| index == 0));
        group.begin(&[1, 2]).unwrap().failed();
        assert!((0..6).filter_map(|_| next(&group, &[])).all(|index| index != 0));
        group.begin(&[1, 2]).unwrap().succeeded();
        assert!((0..3).filter_map(|_| next(&group, &[])).any(|index| index == 0));
    }

    #[test]
    fn the_least_busy_is_chosen_and_nobody_has_too_many() {
        let group =
            group(Settings { policy: Policy::LeastConnections, max_requests: 2, ..Settings::default() });
        let mut calls: Vec<_> = (0..6).map(|_| group.begin(&[]).unwrap()).collect();
        assert!(group.begin(&[]).is_none());
        calls.retain(|call| call.index() != 1);
        assert_eq!(next(&group, &[]), Some(1));
        assert_eq!(next(&group, &[]), Some(1));
    }
}
