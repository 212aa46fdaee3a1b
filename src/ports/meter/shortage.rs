//! Whether this machine lets us send at all.

use std::time::Duration;

/// A shortage that comes and goes while requests get through is no reason to call this replica unready; those that are on
/// the wire may take as long as an attempt may.
const LASTING: Duration = Duration::from_secs(15);
/// One that nobody met for so long was over.
const FORGOTTEN: Duration = Duration::from_secs(5);

/// Requests that could not be sent for want of something on this machine, since one last could.
#[derive(Debug, Default)]
pub(super) struct Shortage(Option<Known>);

#[derive(Debug)]
struct Known {
    since: Duration,
    last: Duration,
    reason: String,
}

impl Shortage {
    pub(super) fn note(&mut self, now: Duration, reason: &str) {
        let since = self.0.as_ref().filter(|known| now < known.last + FORGOTTEN).map_or(now, |known| known.since);
        self.0 = Some(Known { since, last: now, reason: reason.to_owned() });
    }

    pub(super) fn is_over(&mut self) {
        self.0 = None;
    }

    /// What is short, once nothing could be sent for a while, and as long as it is tried.
    pub(super) fn lasting(&self, now: Duration) -> Option<&str> {
        let known = self.0.as_ref()?;
        let is_lasting = now >= known.since + LASTING && now < known.last + FORGOTTEN;
        is_lasting.then_some(known.reason.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(second: u64) -> Duration {
        Duration::from_secs(second)
    }

    #[test]
    fn a_shortage_shows_when_it_lasts_and_ends_with_a_request_that_is_sent() {
        let mut shortage = Shortage::default();
        for now in 0..20 {
            shortage.note(second(now), "none");
            assert_eq!(shortage.lasting(second(now)).is_some(), now >= 15, "{now}");
        }
        shortage.is_over();
        shortage.note(second(20), "none");
        assert_eq!(shortage.lasting(second(20)), None);
    }

    #[test]
    fn a_shortage_that_nobody_meets_any_more_is_forgotten() {
        let mut shortage = Shortage::default();
        (0..20).for_each(|now| shortage.note(second(now), "none"));
        assert_eq!(shortage.lasting(second(24)), None);
        shortage.note(second(30), "none");
        assert_eq!(shortage.lasting(second(30)), None);
    }
}
