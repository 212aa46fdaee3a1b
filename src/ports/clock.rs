//! Time as a value. Tests that pause tokio's clock pause this one with it.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

/// Tells the wall-clock time, and the time since it was made.
#[derive(Debug, Clone)]
pub struct Clock {
    origin: Instant,
    wall: Wall,
}

#[derive(Debug, Clone)]
enum Wall {
    System,
    From(Timestamp),
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self { origin: Instant::now(), wall: Wall::System }
    }

    /// A wall clock that shows `start` now and goes on with tokio's clock, paused or not.
    pub fn starting_at(start: Timestamp) -> Self {
        Self { origin: Instant::now(), wall: Wall::From(start) }
    }

    pub fn now(&self) -> Timestamp {
        match self.wall {
            #[expect(clippy::disallowed_methods, reason = "the one place where the wall clock is read")]
            Wall::System => Timestamp::now(),
            Wall::From(start) => start + self.elapsed(),
        }
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
