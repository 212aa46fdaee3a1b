//! The quota guarantee: at most `qps` requests reach the provider in any closed second.
//!
//! There are `qps` slots, and each request occupies one. A slot is free again [`HOLD`] after its request must have
//! arrived: when its reply came, or `transit` after it was written, whichever is earlier. Two
//! requests on one slot so reach the provider more than a second apart, and no closed second holds two of them,
//! whatever jitter, stalls or changes of path do, as long as no request is on its way longer than that.

use std::time::Duration;

/// How long a slot stays taken after its request must have arrived: more than a second, so that a closed second
/// never holds both ends.
pub const HOLD: Duration = Duration::from_millis(1001);

/// What [`Pacing::Send`] allows for on the way: the jitter of any scheduler and network. A request that comes a little
/// late would meet its successor in one second, and a throttle costs the rate far more than this wait.
pub const JITTER: Duration = Duration::from_millis(10);

/// Whose clock the quota is kept by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pacing {
    /// The provider's: never above the quota there.
    Strict,
    /// Ours, at the moment of writing: a little faster, without the guarantee.
    Send,
}

impl Pacing {
    /// How long after it was written a request may still count against the quota.
    pub fn transit(self, max_transit: Duration) -> Duration {
        match self {
            Pacing::Strict => max_transit,
            Pacing::Send => JITTER,
        }
    }
}

/// Whether a request may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admit {
    Go(SlotId),
    /// Not before this moment.
    WaitUntil(Duration),
    /// Not before a request that has not been written yet is written or given up.
    WaitForNews,
}

/// One use of one slot; to be told of what happens to its request. News of an earlier use, such as a reply that took
/// seconds, is ignored once the slot serves another request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotId {
    index: usize,
    serial: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    FreeFrom(Duration),
    /// Given out; its request is not known to be written, so it may arrive at any time.
    Unwritten,
    /// Written; free at this moment at the latest.
    Written(Duration),
}

/// The slots of one provider. Moments are durations since one origin.
#[derive(Debug, Clone)]
pub struct Slots {
    transit: Duration,
    slots: Vec<Slot>,
    /// The serial number of each slot's present use.
    serials: Vec<u64>,
}

impl Slots {
    /// `qps` slots, all free. `transit` is the longest that a request may be on its way.
    pub fn new(qps: u32, transit: Duration) -> Self {
        let count = qps.max(1) as usize;
        Self { transit, slots: vec![Slot::FreeFrom(Duration::ZERO); count], serials: vec![0; count] }
    }

    /// Takes the slot that has been free longest.
    pub fn admit(&mut self, now: Duration) -> Admit {
        let mut first: Option<(usize, Duration)> = None;
        for (index, slot) in self.slots.iter().enumerate() {
            let free = match *slot {
                Slot::FreeFrom(moment) | Slot::Written(moment) => moment,
                Slot::Unwritten => continue,
            };
            if first.is_none_or(|(_, earliest)| free < earliest) {
                first = Some((index, free));
            }
        }
        match first {
            None => Admit::WaitForNews,
            Some((_, free)) if now < free => Admit::WaitUntil(free),
            Some((index, _)) => {
                self.slots[index] = Slot::Unwritten;
                self.serials[index] += 1;
                Admit::Go(SlotId { index, serial: self.serials[index] })
            }
        }
    }

    /// The request's last byte was handed to the kernel at `now` or shortly before.
    pub fn written(&mut self, id: SlotId, now: Duration) {
        let free = now + self.transit + HOLD;
        self.change(id, |_| Slot::Written(free));
    }

    /// The reply came (its head, at least): the request has arrived.
    pub fn answered(&mut self, id: SlotId, now: Duration) {
        self.change(id, |slot| match slot {
            Slot::Written(latest) | Slot::FreeFrom(latest) => Slot::FreeFrom(latest.min(now + HOLD)),
            Slot::Unwritten => Slot::FreeFrom(now + HOLD),
        });
    }

    /// It is over without a reply. Whatever was written keeps its time; what was not will never arrive.
    pub fn gone(&mut self, id: SlotId, now: Duration) {
        self.change(id, |slot| match slot {
            Slot::Written(latest) | Slot::FreeFrom(latest) => Slot::FreeFrom(latest),
            Slot::Unwritten => Slot::FreeFrom(now),
        });
    }

    fn change(&mut self, id: SlotId, to: impl FnOnce(Slot) -> Slot) {
        if self.serials[id.index] == id.serial {
            self.slots[id.index] = to(self.slots[id.index]);
        }
    }
}

#[cfg(test)]
#[path = "quota_tests.rs"]
mod tests;
