//! Exemplars, beside the registry: the crate has no place for them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// How long all label names and values of one exemplar may be together, in characters (OpenMetrics 1.0).
const MAX_LENGTH: usize = 128;

/// One observation that a person can look up.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Exemplar {
    pub labels: Vec<(&'static str, String)>,
    pub value: f64,
    /// When it was observed, in milliseconds since the epoch.
    pub at_ms: i64,
}

impl Exemplar {
    /// With as many of `ids` as fit, the first ones first; None if not even one does.
    pub fn fitting(ids: &[(&'static str, &str)], value: f64, at_ms: i64) -> Option<Self> {
        let length = |ids: &[(&str, &str)]| -> usize {
            ids.iter().map(|(name, value)| name.chars().count() + value.chars().count()).sum()
        };
        let kept = (1..=ids.len()).rev().map(|n| &ids[..n]).find(|ids| length(ids) <= MAX_LENGTH)?;
        let labels = kept.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Some(Self { labels, value, at_ms })
    }
}

/// A counter, or one bucket of a histogram.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Series {
    family: String,
    labels: Vec<(String, String)>,
    /// The bits of the bucket's upper bound.
    bucket: Option<u64>,
}

impl Series {
    pub fn counter<'a>(family: &str, labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut labels: Vec<_> = labels.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        labels.sort();
        Self { family: family.to_owned(), labels, bucket: None }
    }

    pub fn bucket<'a>(family: &str, labels: impl IntoIterator<Item = (&'a str, &'a str)>, bound: f64) -> Self {
        Self { bucket: Some(bound.to_bits()), ..Self::counter(family, labels) }
    }
}

/// The latest exemplar of each series: no more of them than there are series.
#[derive(Debug, Default)]
pub(super) struct Exemplars {
    latest: Mutex<HashMap<Series, Exemplar>>,
}

impl Exemplars {
    pub fn note(&self, series: Series, exemplar: Exemplar) {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).insert(series, exemplar);
    }

    pub fn of(&self, series: &Series) -> Option<Exemplar> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).get(series).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_left_out_from_the_end() {
        let check = |request_id: usize, job_id: usize, expected: Option<usize>| {
            let (request_id, job_id) = ("房".repeat(request_id), "é".repeat(job_id));
            let exemplar = Exemplar::fitting(&[("request_id", &request_id), ("job_id", &job_id)], 1.0, 0);
            assert_eq!(exemplar.map(|exemplar| exemplar.labels.len()), expected);
        };
        // The names take 10 and 6 characters.
        check(56, 56, Some(2));
        check(56, 57, Some(1));
        check(118, 1, Some(1));
        check(119, 1, None);
    }

    #[test]
    fn a_series_is_the_same_whatever_the_order_of_its_labels() {
        let one = Series::counter("c", [("a", "1"), ("b", "2")]);
        assert_eq!(one, Series::counter("c", [("b", "2"), ("a", "1")]));
        assert_ne!(one, Series::bucket("c", [("a", "1"), ("b", "2")], 1.0));
    }
}
