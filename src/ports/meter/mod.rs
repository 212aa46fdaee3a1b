//! The metrics, declared once and fed by verbs. Memory, not I/O, so concrete.
//!
//! Request IDs and job IDs stand in exemplars only: as labels they would make a series each.

mod exemplar;
mod exposition;
mod families;
mod openmetrics;
mod rates;
mod shortage;
mod status;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use prometheus::{Registry, TextEncoder};

pub use self::exposition::Exposition;
pub use self::status::{ProviderHealth, ProviderStatus, Suspended, Waiting};
pub use self::words::{BacklogState, Found, QueueLink};

use self::exemplar::{Exemplar, Exemplars, Series};
use self::families::{ATTEMPT_BUCKETS, ATTEMPT_DURATION, Families, SETTLED, bucket_of};
use self::rates::Rates;
use self::shortage::Shortage;
use crate::model::ids::ProviderName;
use crate::model::job::Lane;
use crate::model::progress::AttemptRecord;
use crate::model::result::{DismissResult, Outcome};
use crate::model::suspension::SuspensionReason;
use crate::model::verdict::VerdictLabel;

/// Stands where a result has no provider that we know, or no lane.
const UNKNOWN: &str = "unknown";

/// What no gauge can hold of a registered provider.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    suspended: Option<Suspended>,
    /// What its queues hold; only the active sender knows.
    ready: Option<Waiting>,
}

/// All metrics of this process; clones share them.
#[derive(Clone)]
pub struct Meter {
    inner: Arc<Inner>,
}

struct Inner {
    registry: Registry,
    families: Families,
    exemplars: Exemplars,
    providers: Mutex<BTreeMap<ProviderName, Known>>,
    sent: Mutex<BTreeMap<ProviderName, Rates>>,
    shortage: Mutex<Shortage>,
}

impl Meter {
    pub fn new(version: &str) -> Self {
        let registry = Registry::new();
        let families = Families::declared_in(&registry);
        families.build_info.with_label_values(&[version]).set(1);
        for lane in Lane::ALL.map(Lane::as_str).into_iter().chain([UNKNOWN]) {
            families.settled.with_label_values(&[UNKNOWN, lane, Outcome::Invalid.as_str()]);
        }
        let inner = Inner {
            registry,
            families,
            exemplars: Exemplars::default(),
            providers: Mutex::default(),
            sent: Mutex::default(),
            shortage: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Makes every series of a configured provider exist; may be called again when its quota changes.
    pub fn register(&self, provider: &ProviderName, quota_qps: u32) {
        let families = &self.inner.families;
        let name = provider.as_str();
        families.quota_qps.with_label_values(&[name]).set(f64::from(quota_qps));
        if self.known().contains_key(provider) {
            return;
        }
        self.known().insert(provider.clone(), Known::default());
        families.effective_qps.with_label_values(&[name]).set(f64::from(quota_qps));
        families.in_flight.with_label_values(&[name]);
        families.attempt_duration.with_label_values(&[name]);
        families.token_wait.with_label_values(&[name]);
        for verdict in VerdictLabel::ALL {
            families.attempts.with_label_values(&[name, verdict.as_str()]);
        }
        for found in Found::ALL {
            families.dedupe.with_label_values(&[name, found.as_str()]);
        }
        for reason in SuspensionReason::ALL {
            families.suspended.with_label_values(&[name, reason.as_str()]);
        }
        for lane in Lane::ALL {
            families.lane_waiting.with_label_values(&[name, lane.as_str()]);
            families.job_duration.with_label_values(&[name, lane.as_str()]);
            for outcome in Outcome::ALL {
                families.settled.with_label_values(&[name, lane.as_str(), outcome.as_str()]);
            }
        }
    }

    /// A job ended. A provider that was never registered counts as unknown, so that a producer's typing errors make no
    /// series.
    pub fn settled(&self, result: &DismissResult) {
        let families = &self.inner.families;
        let named = result.provider.as_ref().filter(|provider| self.known().contains_key(*provider));
        let provider = named.map_or(UNKNOWN, ProviderName::as_str);
        let lane = result.lane.map_or(UNKNOWN, Lane::as_str);
        let outcome = result.outcome.as_str();

        families.settled.with_label_values(&[provider, lane, outcome]).inc();
        families
            .job_duration
            .with_label_values(&[provider, lane])
            .observe(seconds_between(result.received_at, result.settled_at));
        let Some(request_id) = &result.request_id else { return };
        let ids = [("request_id", request_id.as_str()), ("job_id", result.job_id.as_str())];
        if let Some(exemplar) = Exemplar::fitting(&ids, 1.0, result.settled_at.as_millisecond()) {
            let labels = [("provider", provider), ("lane", lane), ("outcome", outcome)];
            self.inner.exemplars.note(Series::counter(SETTLED, labels), exemplar);
        }
    }

    /// A dismiss request got its answer, or none.
    pub fn attempt(&self, provider: &ProviderName, record: &AttemptRecord) {
        let families = &self.inner.families;
        self.sent().entry(provider.clone()).or_default().note(record.at);
        self.short().is_over();
        let provider = provider.as_str();
        let seconds = Duration::from_millis(record.duration_ms).as_secs_f64();

        families.attempts.with_label_values(&[provider, record.verdict.as_str()]).inc();
        families.attempt_duration.with_label_values(&[provider]).observe(seconds);
        let Some(request_id) = &record.request_id else { return };
        let ended_ms = record.at.as_millisecond().saturating_add_unsigned(record.duration_ms);
        if let Some(exemplar) = Exemplar::fitting(&[("request_id", request_id.as_str())], seconds, ended_ms) {
            let bound = bucket_of(&ATTEMPT_BUCKETS, seconds);
            self.inner.exemplars.note(Series::bucket(ATTEMPT_DURATION, [("provider", provider)], bound), exemplar);
        }
    }

    /// A request could not be sent at `now`, by the clock's `elapsed`, for want of something on this machine.
    pub fn shortage(&self, now: Duration, reason: &str) {
        self.short().note(now, reason);
    }

    /// What this machine is short of, if nothing could be sent for a while because of that.
    pub fn lasting_shortage(&self, now: Duration) -> Option<String> {
        self.short().lasting(now).map(str::to_owned)
    }

    /// How many lines of the log were dropped since the start.
    pub fn log_lines_dropped(&self, total: u64) {
        let counter = &self.inner.families.log_lines_dropped;
        counter.inc_by(total.saturating_sub(counter.get()));
    }

    /// How many requests were sent to a provider since the start.
    pub fn requests(&self, provider: &ProviderName) -> u64 {
        let counted = |verdict: VerdictLabel| {
            self.inner.families.attempts.with_label_values(&[provider.as_str(), verdict.as_str()]).get()
        };
        VerdictLabel::ALL.into_iter().map(counted).sum()
    }

    /// A job at hand got its token after so long.
    pub fn token_wait(&self, provider: &ProviderName, waited: Duration) {
        self.inner.families.token_wait.with_label_values(&[provider.as_str()]).observe(waited.as_secs_f64());
    }

    pub fn in_flight(&self, provider: &ProviderName, requests: usize) {
        self.inner.families.in_flight.with_label_values(&[provider.as_str()]).set(whole(requests as u64));
    }

    pub fn lane_waiting(&self, provider: &ProviderName, lane: Lane, jobs: usize) {
        let labels = [provider.as_str(), lane.as_str()];
        self.inner.families.lane_waiting.with_label_values(&labels).set(whole(jobs as u64));
    }

    /// Why nothing is sent to a provider, or that it is sent to again.
    pub fn suspended(&self, provider: &ProviderName, suspended: Option<Suspended>) {
        if let Some(known) = self.known().get_mut(provider) {
            known.suspended = suspended;
        }
        let reason = suspended.map(|suspended| suspended.reason);
        for each in SuspensionReason::ALL {
            let labels = [provider.as_str(), each.as_str()];
            self.inner.families.suspended.with_label_values(&labels).set(i64::from(reason == Some(each)));
        }
    }

    pub fn effective_qps(&self, provider: &ProviderName, qps: f64) {
        self.inner.families.effective_qps.with_label_values(&[provider.as_str()]).set(qps);
    }

    /// For the provider's active sender only, like [`Meter::backlog_seconds`].
    pub fn backlog_jobs(&self, provider: &ProviderName, lane: Lane, state: BacklogState, jobs: u64) {
        let labels = [provider.as_str(), lane.as_str(), state.as_str()];
        self.inner.families.backlog_jobs.with_label_values(&labels).set(whole(jobs));
        match (state, self.known().get_mut(provider)) {
            (BacklogState::Ready, Some(known)) => *known.ready.get_or_insert_default().of(lane) = jobs,
            (BacklogState::Ready | BacklogState::InFlight, _) => {}
        }
    }

    /// Seconds as a number: a rate of nothing takes for ever.
    pub fn backlog_seconds(&self, provider: &ProviderName, seconds: f64) {
        self.inner.families.backlog_seconds.with_label_values(&[provider.as_str()]).set(seconds);
    }

    /// Another replica tells the backlog from now on.
    pub fn forget_backlog(&self, provider: &ProviderName) {
        let families = &self.inner.families;
        if let Some(known) = self.known().get_mut(provider) {
            known.ready = None;
        }
        // Removing fails only where nothing was told yet.
        families.backlog_seconds.remove_label_values(&[provider.as_str()]).ok();
        for lane in Lane::ALL {
            for state in BacklogState::ALL {
                let labels = [provider.as_str(), lane.as_str(), state.as_str()];
                families.backlog_jobs.remove_label_values(&labels).ok();
            }
        }
    }

    pub fn deferred_jobs(&self, jobs: u64) {
        self.inner.families.deferred_jobs.set(whole(jobs));
    }

    /// What [`Meter::deferred_jobs`] told last.
    pub fn deferred(&self) -> u64 {
        self.inner.families.deferred_jobs.get().unsigned_abs()
    }

    /// Whether a job was looked up in the ledger before it was sent, and what was found.
    pub fn deduped(&self, provider: &ProviderName, found: Found) {
        self.inner.families.dedupe.with_label_values(&[provider.as_str(), found.as_str()]).inc();
    }

    pub fn queue_connected(&self, link: QueueLink) {
        self.inner.families.queue_connected.set(match link {
            QueueLink::Up => 1,
            QueueLink::Down => 0,
        });
    }

    pub fn queue_link(&self) -> QueueLink {
        if self.inner.families.queue_connected.get() == 1 { QueueLink::Up } else { QueueLink::Down }
    }

    /// The registered providers by name.
    pub fn providers(&self) -> Vec<ProviderStatus> {
        self.known().iter().map(|(name, known)| self.status(name, *known)).collect()
    }

    pub fn render(&self, format: Exposition) -> String {
        let families = self.inner.registry.gather();
        match format {
            Exposition::PrometheusText => {
                TextEncoder::new().encode_to_string(&families).expect("a registry gathers whole families")
            }
            Exposition::OpenMetrics => openmetrics::encode(&families, &self.inner.exemplars),
        }
    }

    fn status(&self, name: &ProviderName, known: Known) -> ProviderStatus {
        let families = &self.inner.families;
        let quota_qps = families.quota_qps.with_label_values(&[name.as_str()]).get();
        let effective_qps = families.effective_qps.with_label_values(&[name.as_str()]).get();
        let waiting = known.ready.map(|mut waiting| {
            for lane in Lane::ALL {
                let held = families.lane_waiting.with_label_values(&[name.as_str(), lane.as_str()]).get();
                *waiting.of(lane) += held.unsigned_abs();
            }
            waiting
        });
        ProviderStatus {
            name: name.clone(),
            health: match known.suspended {
                Some(_) => ProviderHealth::Suspended,
                None if effective_qps < quota_qps => ProviderHealth::Throttled,
                None => ProviderHealth::Ok,
            },
            suspended: known.suspended.map(|suspended| suspended.reason),
            since: known.suspended.map(|suspended| suspended.since),
            next_probe: known.suspended.and_then(|suspended| suspended.next_probe),
            quota_qps,
            effective_qps,
            in_flight: families.in_flight.with_label_values(&[name.as_str()]).get(),
            waiting,
        }
    }

    fn sent(&self) -> MutexGuard<'_, BTreeMap<ProviderName, Rates>> {
        self.inner.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn short(&self) -> MutexGuard<'_, Shortage> {
        self.inner.shortage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<ProviderName, Known>> {
        self.inner.providers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Never negative: wall clocks may be set back.
fn seconds_between(start: Timestamp, end: Timestamp) -> f64 {
    let millis = end.as_millisecond().saturating_sub(start.as_millisecond());
    Duration::from_millis(millis.max(0).unsigned_abs()).as_secs_f64()
}
