//! Figures of what was seen.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::quota::{Admission, Window};
use super::record::{Action, Cloud, Kind};

/// Figures since the start or the last reset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stats {
    pub since: Timestamp,
    /// Since the start.
    pub connections: u64,
    pub requests: u64,
    /// Requests that are counted but can no longer be listed one by one.
    pub requests_forgotten: u64,
    pub rooms: u64,
    /// How often a room was not counted because there were too many; a counted fault then sees it as new every time.
    pub rooms_forgotten: u64,
    pub clouds: BTreeMap<Cloud, CloudStats>,
}

/// One cloud: all its requests, and those of each known action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CloudStats {
    #[serde(flatten)]
    pub all: Figures,
    pub actions: BTreeMap<Action, Figures>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// Requests whose head was read.
    pub arrived: u64,
    /// Accepted dismissals.
    pub accepted: u64,
    /// Signatures, keys, dates, tokens and passwords that were really wrong.
    pub refused_signatures: u64,
    /// By the quota, by a rule, or by a room's name.
    pub throttled: u64,
    /// Arrivals beyond the quota.
    pub over_quota: u64,
    /// Requests that are over and got no answer: by a fault, or because the client left.
    pub unanswered: u64,
    /// Requests that arrived and are not over yet.
    pub open: u64,
    /// Requests that are over, by what the cloud made of them.
    pub replies: BTreeMap<Kind, u64>,
    pub busiest_second: BusiestSecond,
}

/// The most requests in any closed second, by nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct BusiestSecond {
    pub arrived: usize,
    /// Of those within the quota.
    pub admitted: usize,
}

#[derive(Debug, Default)]
pub(super) struct Tally {
    arrived: u64,
    over_quota: u64,
    unanswered: u64,
    arrivals: Window,
    admitted: Window,
    replies: BTreeMap<Kind, u64>,
}

impl Tally {
    pub(super) fn arrive(&mut self, nanos: u64, admission: Admission) {
        self.arrived += 1;
        self.arrivals.note(nanos);
        match admission {
            Admission::Admitted => self.admitted.note(nanos),
            Admission::OverQuota => self.over_quota += 1,
        }
    }

    pub(super) fn close(&mut self, kind: Kind, answered: bool) {
        *self.replies.entry(kind).or_default() += 1;
        self.unanswered += u64::from(!answered);
    }

    fn figures(&self) -> Figures {
        let of = |kind: Kind| self.replies.get(&kind).copied().unwrap_or_default();
        Figures {
            arrived: self.arrived,
            accepted: of(Kind::Accepted),
            refused_signatures: of(Kind::Refused),
            throttled: of(Kind::Throttled),
            over_quota: self.over_quota,
            unanswered: self.unanswered,
            open: self.arrived.saturating_sub(self.replies.values().sum()),
            replies: self.replies.clone(),
            busiest_second: BusiestSecond { arrived: self.arrivals.most(), admitted: self.admitted.most() },
        }
    }
}

pub(super) fn by_cloud(
    clouds: &BTreeMap<Cloud, Tally>,
    actions: &BTreeMap<Action, Tally>,
) -> BTreeMap<Cloud, CloudStats> {
    let of = |cloud: Cloud| {
        let mine = actions.iter().filter(|(action, _)| action.cloud() == cloud);
        CloudStats {
            all: clouds.get(&cloud).map(Tally::figures).unwrap_or_default(),
            actions: mine.map(|(&action, tally)| (action, tally.figures())).collect(),
        }
    };
    [Cloud::Volcengine, Cloud::Huawei, Cloud::Iam].map(|cloud| (cloud, of(cloud))).into()
}
