//! Says which queues throw jobs out unsent, and why, without saying it for each job.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::ports::broker::QueueLimit;

/// How often the same is said of the same queue.
const SAY_AGAIN: Duration = Duration::from_secs(60);
/// The names of queues come from messages: of more than so many nothing is said.
const MOST_QUEUES: usize = 64;

/// When something was said last, by queue.
#[derive(Default)]
pub struct Evictions(Mutex<HashMap<String, Duration>>);

impl Evictions {
    /// Names the queue and the limit in the log; `now` is the clock's `elapsed`.
    pub fn tell(&self, queue: &str, limit: QueueLimit, now: Duration) {
        if !self.is_news(queue, now) {
            return;
        }
        let limit = match limit {
            QueueLimit::Time => "message-ttl",
            QueueLimit::Length => "max-length",
        };
        tracing::error!(
            queue,
            "a policy with {limit} applies to this queue and throws jobs out unsent: they go back to their lanes, but \
             those that no worker takes in time are lost; exempt this queue from it"
        );
    }

    fn is_news(&self, queue: &str, now: Duration) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|_, at| now < *at + SAY_AGAIN);
        if told.len() >= MOST_QUEUES || told.contains_key(queue) {
            return false;
        }
        told.insert(queue.to_owned(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_named_once_a_minute_however_many_jobs_it_throws_out() {
        let evictions = Evictions::default();
        let check = |queue: &str, second: u64, expected: bool| {
            assert_eq!(evictions.is_news(queue, Duration::from_secs(second)), expected, "{queue} at {second}");
        };
        check("a", 0, true);
        check("a", 59, false);
        check("b", 59, true);
        check("a", 60, true);
        for queue in 0..100 {
            evictions.is_news(&queue.to_string(), Duration::from_secs(61));
        }
        assert_eq!(evictions.0.lock().unwrap().len(), MOST_QUEUES);
    }
}
