//! The quota guarantee: at most `qps` requests reach the provider in any closed second.
//!
//! There are `qps` slots, and each request occupies one. A slot is free again [`HOLD`] after its request must have
//! arrived: when its reply came, or `transit` after it was written, whichever is earlier. Two
//! requests on one slot so reach the provider more than a second apart, and no closed second holds two of them,
//! whatever jitter, stalls or changes of path do, as long as no request is on its way longer than that.
//!
//! The quota may change at any moment. A slot that is one too many is closed once it is free, and until then nothing is
//! admitted: so every closed second holds at most the quota under which the last of its requests was admitted.

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
    /// Given out; its request is not known to be written, so it may arrive at any time, and be on its way for so long.
    Unwritten(Duration),
    /// Written; free at this moment at the latest.
    Written(Duration),
    /// Above the quota; was free when it was closed.
    Closed,
}

/// The slots of one provider. Moments are durations since one origin.
#[derive(Debug, Clone)]
pub struct Slots {
    transit: Duration,
    slots: Vec<Slot>,
    /// So many slots are to be closed as they come free.
    surplus: usize,
    /// The serial number of each slot's present use.
    serials: Vec<u64>,
}

impl Slots {
    /// `qps` slots, all free. `transit` is the longest that a request may be on its way.
    pub fn new(qps: u32, transit: Duration) -> Self {
        let mut slots = Self { transit, slots: Vec::new(), surplus: 0, serials: Vec::new() };
        slots.reconfigure(qps, transit);
        slots
    }

    /// Changes the quota and the transit. Requests that are under way keep their slots, and count as long as they did.
    pub fn reconfigure(&mut self, qps: u32, transit: Duration) {
        self.transit = transit;
        let wanted = qps.max(1) as usize;
        let mut open = 0;
        for slot in &mut self.slots {
            match slot {
                // It may still be sent under either transit.
                Slot::Unwritten(longest) => *longest = transit.max(*longest),
                Slot::Closed if open < wanted => *slot = Slot::FreeFrom(Duration::ZERO),
                Slot::FreeFrom(_) | Slot::Written(_) => {}
                Slot::Closed => continue,
            }
            open += 1;
        }
        self.surplus = open.saturating_sub(wanted);
        let count = self.slots.len() + wanted.saturating_sub(open);
        self.slots.resize(count, Slot::FreeFrom(Duration::ZERO));
        self.serials.resize(count, 0);
    }

    /// For how long a request that is written now may still count.
    pub fn window(&self) -> Duration {
        self.transit + HOLD
    }

    /// Takes the slot that has been free longest.
    pub fn admit(&mut self, now: Duration) -> Admit {
        loop {
            let Some((index, free)) = self.first_free() else { return Admit::WaitForNews };
            if now < free {
                return Admit::WaitUntil(free);
            }
            self.serials[index] += 1;
            if self.surplus == 0 {
                self.slots[index] = Slot::Unwritten(self.transit);
                return Admit::Go(SlotId { index, serial: self.serials[index] });
            }
            self.slots[index] = Slot::Closed;
            self.surplus -= 1;
        }
    }

    fn first_free(&self) -> Option<(usize, Duration)> {
        let mut first: Option<(usize, Duration)> = None;
        for (index, slot) in self.slots.iter().enumerate() {
            let free = match *slot {
                Slot::FreeFrom(moment) | Slot::Written(moment) => moment,
                Slot::Unwritten(_) | Slot::Closed => continue,
            };
            if first.is_none_or(|(_, earliest)| free < earliest) {
                first = Some((index, free));
            }
        }
        first
    }

    /// The request's last byte was handed to the kernel at `now` or shortly before.
    pub fn written(&mut self, id: SlotId, now: Duration) {
        let transit = self.transit;
        self.change(id, |slot| match slot {
            Slot::Unwritten(longest) => Slot::Written(now + longest + HOLD),
            Slot::FreeFrom(_) | Slot::Written(_) => Slot::Written(now + transit + HOLD),
            Slot::Closed => Slot::Closed,
        });
    }

    /// The reply came (its head, at least): the request has arrived.
    pub fn answered(&mut self, id: SlotId, now: Duration) {
        self.change(id, |slot| match slot {
            Slot::Written(latest) | Slot::FreeFrom(latest) => Slot::FreeFrom(latest.min(now + HOLD)),
            Slot::Unwritten(_) => Slot::FreeFrom(now + HOLD),
            Slot::Closed => Slot::Closed,
        });
    }

    /// It is over without a reply. Whatever was written keeps its time; what was not will never arrive.
    pub fn gone(&mut self, id: SlotId, now: Duration) {
        self.change(id, |slot| match slot {
            Slot::Written(latest) | Slot::FreeFrom(latest) => Slot::FreeFrom(latest),
            Slot::Unwritten(_) => Slot::FreeFrom(now),
            Slot::Closed => Slot::Closed,
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
