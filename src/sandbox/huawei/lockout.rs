//! Bad signatures in a row lock the key: seen at the vendor, undocumented.

use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use crate::sandbox::settings::Lockout;

/// Whether the one key is locked.
#[derive(Debug)]
pub(in crate::sandbox) struct Lock {
    rule: Option<Lockout>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    bad_in_row: u32,
    until: Option<Timestamp>,
}

impl Lock {
    pub(in crate::sandbox) fn new(rule: Option<Lockout>) -> Self {
        Self { rule, state: Mutex::default() }
    }

    pub(super) fn is_locked(&self, now: Timestamp) -> bool {
        self.state().until.is_some_and(|until| now < until)
    }

    pub(super) fn note_good(&self) {
        self.state().bad_in_row = 0;
    }

    pub(super) fn note_bad(&self, now: Timestamp) {
        let Some(rule) = self.rule else { return };
        let mut state = self.state();
        state.bad_in_row += 1;
        if state.bad_in_row >= rule.after {
            *state = State { bad_in_row: 0, until: now.checked_add(rule.lasts).ok() };
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn bad_signatures_in_a_row_lock_the_key_for_a_while() {
        let lock = Lock::new(Some(Lockout { after: 2, lasts: Duration::from_secs(10) }));
        lock.note_bad(at(0));
        lock.note_good();
        lock.note_bad(at(1));
        assert!(!lock.is_locked(at(1)), "not in a row");
        lock.note_bad(at(2));
        assert!(lock.is_locked(at(2)) && lock.is_locked(at(11)));
        assert!(!lock.is_locked(at(12)));
    }

    #[test]
    fn no_rule_never_locks() {
        let lock = Lock::new(None);
        (0..1000).for_each(|second| lock.note_bad(at(second)));
        assert!(!lock.is_locked(at(1000)));
    }
}
