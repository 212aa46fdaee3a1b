//! What a file asks for: its rooms, each once, and by what the same wish is known again.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::app::cli::input::{self, Fill, InputError, Terms};
use crate::app::config::Config;
use crate::model::ids::{JobId, ProviderName};
use crate::model::job::DismissJob;

/// The rooms of a file.
pub struct Plan {
    /// No two for one room.
    pub jobs: Vec<DismissJob>,
    /// How many rows named a room that another one had named before.
    pub repeated: usize,
}

impl Plan {
    /// Reads FILE; all of it is good, or an error names what is not.
    pub fn read(file: &Path, fill: &Fill, known: &[ProviderName]) -> Result<Self, InputError> {
        let mut fresh_id = || JobId::parse(Uuid::now_v7().to_string()).expect("a UUID is a job ID");
        let terms = Terms { fill, known: Some(known), fresh_id: &mut fresh_id };
        Ok(Self::of(input::read_file(file, terms)?))
    }

    fn of(mut jobs: Vec<DismissJob>) -> Self {
        let mut seen = HashSet::with_capacity(jobs.len());
        let first: Vec<bool> = jobs.iter().map(|job| seen.insert((&job.provider, &job.app_id, &job.room_id))).collect();
        drop(seen);
        let rows = jobs.len();
        let mut first = first.into_iter();
        jobs.retain(|_| first.next().unwrap_or_default());
        Self { repeated: rows - jobs.len(), jobs }
    }

    /// The same for the same rooms in the same order with the same lanes and times, whatever their job IDs.
    pub fn digest(&self) -> String {
        let mut hasher = Sha256::new();
        for job in &self.jobs {
            let times = [job.not_before, job.expires_at].map(|time| time.map(|time| time.to_string()));
            let [start, end] = times.map(Option::unwrap_or_default);
            for part in
                [job.provider.as_str(), job.app_id.as_str(), job.room_id.as_str(), job.lane.as_str(), &start, &end]
            {
                // The length keeps ("ab", "c") apart from ("a", "bc").
                hasher.update((part.len() as u64).to_be_bytes());
                hasher.update(part.as_bytes());
            }
        }
        hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// What is asked before `rooms` of them are closed: how many where.
    pub fn question(&self, rooms: u64, config: &Config) -> String {
        let parts: Vec<String> = self
            .by_provider()
            .into_iter()
            .map(|(name, count)| {
                let provider = config.providers.iter().find(|provider| provider.name == *name);
                let at = provider.map(|provider| format!(" ({})", provider.settings.endpoint())).unwrap_or_default();
                format!("{count} at {name}{at}")
            })
            .collect();
        let all = self.jobs.len() as u64;
        let left = if rooms == all { String::new() } else { format!(" left of {all}") };
        format!("This closes {rooms} rooms{left}: {}. Go on?", parts.join(", "))
    }

    /// How many rooms each provider has.
    fn by_provider(&self) -> BTreeMap<&ProviderName, u64> {
        let mut counts = BTreeMap::new();
        for job in &self.jobs {
            *counts.entry(&job.provider).or_default() += 1;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::decode::decode;

    fn plan(rooms: &[(&str, &str)]) -> Plan {
        let job = |(room, more): &(&str, &str)| {
            let body = format!(r#"{{"provider":"v","app_id":"a","room_id":"{room}"{more}}}"#);
            let id = JobId::parse(Uuid::now_v7().to_string()).unwrap();
            decode(body.as_bytes(), &id).unwrap()
        };
        Plan::of(rooms.iter().map(job).collect())
    }

    #[test]
    fn a_room_that_stands_twice_is_taken_once() {
        let plan = plan(&[("r1", ""), ("r2", ""), ("r1", r#","lane":"urgent""#)]);
        let rooms: Vec<_> = plan.jobs.iter().map(|job| job.room_id.as_str()).collect();
        assert_eq!((rooms, plan.repeated), (vec!["r1", "r2"], 1));
    }

    #[test]
    fn the_same_wish_has_the_same_digest_and_another_one_another() {
        let digest = |rooms: &[(&str, &str)]| plan(rooms).digest();
        let one = digest(&[("r1", ""), ("r2", "")]);
        assert_eq!(one, digest(&[("r1", ""), ("r2", ""), ("r2", "")]), "job IDs and repeated rows do not count");
        assert_eq!(one, digest(&[("r1", r#","reason":"why""#), ("r2", "")]));
        for other in [
            &[("r1", "")][..],
            &[("r1", ""), ("r3", "")],
            &[("r1", r#","lane":"urgent""#), ("r2", "")],
            &[("r1", r#","not_before":"2026-01-01T00:00:00Z""#), ("r2", "")],
            &[("r1", r#","expires_at":"2026-01-01T00:00:00Z""#), ("r2", "")],
        ] {
            assert_ne!(one, digest(other), "{other:?}");
        }
    }
}
