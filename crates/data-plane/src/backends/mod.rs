//! Backends behind a VPC link: which of its targets the next request goes to.
//!
//! On AWS a link ends at a load balancer, and that is what this is. What is known of targets (`group`) is shared by all
//! integrations, workers and plans, and learnt from requests and from checks (`health`).

pub mod group;
pub mod health;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use stagedoor_http::{Body, BodyError, BodyStream};

use crate::upstream::Upstream;
use group::{Call, Group};

/// The targets of VPC links, by what the configuration calls a link: its name, its id or the ARN of its target.
pub type VpcLinkTargets = Arc<BTreeMap<String, Arc<Group>>>;

/// The targets of one link, as one integration speaks to them.
#[derive(Debug)]
pub struct Backends {
    /// One for each target of the group, in its order.
    upstreams: Vec<Upstream>,
    group: Arc<Group>,
}

/// A target that a request goes to, for as long as the request takes.
#[derive(Debug)]
pub struct Chosen<'a> {
    /// The way to it.
    pub upstream: &'a Upstream,
    call: Call,
}

impl Backends {
    /// The way to each target, all spoken to as `upstream`: same scheme, `Host` and server name.
    #[must_use]
    pub fn new(upstream: &Upstream, group: &Arc<Group>) -> Self {
        let upstreams = group.targets().map(|target| Upstream {
            target: Some(target.clone()),
            client: group.settings().client.clone().or_else(|| upstream.client.clone()),
            ..upstream.clone()
        });
        Self { upstreams: upstreams.collect(), group: Arc::clone(group) }
    }

    /// The target for the next request, none of those that were tried for it. Nothing if all have as many requests as
    /// they may have.
    #[must_use]
    pub fn choose(&self, tried: &[usize]) -> Option<Chosen<'_>> {
        let call = self.group.begin(tried)?;
        Some(Chosen { upstream: self.upstreams.get(call.index())?, call })
    }

    /// To how many more targets a request goes that failed at one.
    #[must_use]
    pub fn retries(&self) -> usize {
        self.group.settings().retries
    }
}

impl Chosen<'_> {
    /// Which of the targets it is.
    #[must_use]
    pub fn index(&self) -> usize {
        self.call.index()
    }

    /// It failed: no connection, no answer, or none in time.
    pub fn failed(&self) {
        self.call.failed();
    }

    /// It answered. The request counts as one of the target's until the body has ended.
    #[must_use]
    pub fn answered(self, body: Body) -> Body {
        self.call.succeeded();
        match body {
            Body::Stream(_) => Body::Stream(Box::new(Counted { body, _call: self.call })),
            at_hand => at_hand,
        }
    }
}

struct Counted {
    body: Body,
    _call: Call,
}

impl BodyStream for Counted {
    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        self.body.poll_chunk(context)
    }

    fn remaining(&self) -> Option<u64> {
        self.body.remaining()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use group::Settings;

    #[test]
    fn targets_are_spoken_to_as_the_uri_says() {
        let (upstream, _) = Upstream::parse("https://orders.internal/x").unwrap();
        let targets = ["10.0.0.1:1", "10.0.0.2:2"].map(|text| text.parse().unwrap());
        let backends = Backends::new(&upstream, &Group::new("x", targets.into(), Settings::default()));
        let ports: Vec<_> = (0..4).map(|_| backends.choose(&[]).unwrap().upstream.address().1).collect();
        assert_eq!(ports, [1, 2, 1, 2]);
        assert_eq!(&*backends.choose(&[]).unwrap().upstream.authority, "orders.internal");
    }
}
