//! Backends behind a VPC link: which of its targets the next request goes to.
//!
//! On AWS a link ends at a load balancer, and that is what this is. Choosing among targets is this file's business
//! alone: whoever wants to know more about them, such as their health, adds it here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::upstream::{Target, Upstream};

/// The targets of VPC links, by what the configuration calls a link: its name, its id or the ARN of its target.
pub type VpcLinkTargets = Arc<BTreeMap<String, Vec<Target>>>;

/// The targets of one link, as one integration speaks to them.
#[derive(Debug)]
pub struct Backends {
    first: Upstream,
    others: Vec<Upstream>,
    next: AtomicUsize,
}

impl Backends {
    /// The way to each of `targets`, all spoken to as `upstream`: same scheme, `Host` and certificate. Nothing without
    /// targets.
    #[must_use]
    pub fn new(upstream: &Upstream, targets: &[Target]) -> Option<Self> {
        let mut upstreams =
            targets.iter().map(|target| Upstream { target: Some(target.clone()), ..upstream.clone() });
        let first = upstreams.next()?;
        Some(Self { first, others: upstreams.collect(), next: AtomicUsize::new(0) })
    }

    /// The target for the next request: each in turn.
    #[must_use]
    pub fn choose(&self) -> &Upstream {
        if self.others.is_empty() {
            return &self.first;
        }
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % (self.others.len() + 1);
        turn.checked_sub(1).and_then(|other| self.others.get(other)).unwrap_or(&self.first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_take_turns() {
        let (upstream, _) = Upstream::parse("https://orders.internal/x").unwrap();
        let targets = ["10.0.0.1:1", "10.0.0.2:2", "10.0.0.3:3"].map(|text| text.parse().unwrap());
        let backends = Backends::new(&upstream, &targets).unwrap();
        let ports: Vec<_> = (0..6).map(|_| backends.choose().address().1).collect();
        assert_eq!(ports, [1, 2, 3, 1, 2, 3]);
        assert_eq!(&*backends.choose().authority, "orders.internal");
        assert!(Backends::new(&upstream, &[]).is_none());
        assert_eq!(Backends::new(&upstream, &targets[..1]).unwrap().choose().address(), ("10.0.0.1", 1));
    }
}
