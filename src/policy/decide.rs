//! The only place where a retry is decided.

use std::time::Duration;

/// How often and how soon a job is tried again.
#[derive(Debug, Clone, PartialEq)]
pub struct RetryPolicy {
    pub initial: Duration,
    pub multiplier: f64,
    pub max: Duration,
    /// Attempts that failed and count; the job is exhausted at the last of them.
    pub max_attempts: u32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { initial: Duration::from_millis(500), multiplier: 2.0, max: Duration::from_secs(60), max_attempts: 8 }
    }
}
