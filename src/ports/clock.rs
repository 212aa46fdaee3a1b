//! Time as a value. Tests that pause tokio's clock pause this one with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// Tells the wall-clock time, and the time since it was made.
#[derive(Debug, Clone)]
pub struct Clock {
    origin: Instant,
    /// What the wall clock showed then.
    start: Timestamp,
    wall: Wall,
}

#[derive(Debug, Clone)]
enum Wall {
    System,
    /// The time since the start, and what it was set by.
    Set(WallOffset),
}

/// How far somebody has set a wall clock: ahead, or back. Clones set the same one.
#[derive(Debug, Clone, Default)]
pub struct WallOffset(Arc<AtomicI64>);

impl WallOffset {
    /// Sets the clock by so much, against what it would show if nobody had ever set it.
    pub fn set(&self, by: SignedDuration) {
        let millis = i64::try_from(by.as_millis()).unwrap_or(if by.is_negative() { i64::MIN } else { i64::MAX });
        self.0.store(millis, Ordering::Relaxed);
    }

    /// By how much it is set, to the millisecond.
    pub fn get(&self) -> SignedDuration {
        SignedDuration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self { origin: Instant::now(), start: system_time(), wall: Wall::System }
    }

    /// A wall clock that shows `start` now and goes on with tokio's clock, paused or not.
    pub fn starting_at(start: Timestamp) -> Self {
        Self::set_by(start, WallOffset::default())
    }

    /// Likewise, but for what `offset` says: somebody sets it.
    pub fn set_by(start: Timestamp, offset: WallOffset) -> Self {
        Self { origin: Instant::now(), start, wall: Wall::Set(offset) }
    }

    /// What the wall clock shows: it may be set at any moment.
    pub fn now(&self) -> Timestamp {
        match &self.wall {
            Wall::System => system_time(),
            Wall::Set(offset) => later(self.steady(), offset.get()),
        }
    }

    /// What the wall clock would show if nobody had set it since this one was made: only for comparisons of our own.
    pub fn steady(&self) -> Timestamp {
        later(self.start, SignedDuration::try_from(self.elapsed()).unwrap_or(SignedDuration::MAX))
    }

    /// By how much the wall clock was set since this one was made: ahead, or back.
    pub fn set_since(&self) -> SignedDuration {
        self.now().duration_since(self.steady())
    }

    /// Since the clock was made; never goes back.
    pub fn elapsed(&self) -> Duration {
        self.origin.elapsed()
    }

    /// Sleeps until [`Clock::elapsed`] has reached `moment`.
    pub async fn sleep_until(&self, moment: Duration) {
        tokio::time::sleep_until(self.origin + moment).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place where the wall clock is read")]
fn system_time() -> Timestamp {
    Timestamp::now()
}

/// That moment, or the last one there is.
fn later(moment: Timestamp, by: SignedDuration) -> Timestamp {
    moment.saturating_add(by).expect("a length of time has no units that a moment lacks")
}
