//! From the fields of one row to a job, by the one rule that all jobs obey.

use std::collections::HashSet;

use serde::Serialize;

use super::{Fill, InputError, RowFault, SHOWN, Terms, derived_id};
use crate::model::decode::{FIELDS, decode};
use crate::model::ids::{BatchId, JobId};
use crate::model::job::DismissJob;

/// The JSON object of one row, as it grows.
pub(super) struct Body {
    bytes: Vec<u8>,
    has: [bool; FIELDS.len()],
}

impl Body {
    pub fn new() -> Self {
        Self { bytes: Vec::with_capacity(256), has: [false; FIELDS.len()] }
    }

    pub fn put(&mut self, name: &str, value: &impl Serialize) {
        self.bytes.push(if self.bytes.is_empty() { b'{' } else { b',' });
        if let Some(field) = FIELDS.iter().position(|field| *field == name) {
            self.has[field] = true;
        }
        let written = serde_json::to_writer(&mut self.bytes, name).and_then(|()| {
            self.bytes.push(b':');
            serde_json::to_writer(&mut self.bytes, value)
        });
        written.expect("texts, numbers and maps of texts can be written as JSON");
    }

    fn has(&self, name: &str) -> bool {
        FIELDS.iter().zip(self.has).any(|(field, has)| has && *field == name)
    }
}

/// Gathers jobs while all rows are good, and faults from the first bad one on.
pub(super) struct Rows<'t> {
    terms: Terms<'t>,
    jobs: Vec<DismissJob>,
    faults: Vec<RowFault>,
    bad: usize,
    /// Where a row has no ID: replaced at once.
    placeholder: JobId,
}

impl<'t> Rows<'t> {
    pub fn new(terms: Terms<'t>) -> Self {
        let placeholder = JobId::parse("-").expect("a dash is a job ID");
        Self { terms, jobs: Vec::new(), faults: Vec::new(), bad: 0, placeholder }
    }

    pub fn fill(&self) -> &'t Fill {
        self.terms.fill
    }

    pub fn refuse(&mut self, line: u64, message: String) {
        self.bad += 1;
        self.jobs = Vec::new();
        if self.faults.len() < SHOWN {
            self.faults.push(RowFault { line, message });
        }
    }

    /// A row that is nothing but a room.
    pub fn room(&mut self, line: u64, room: &str) {
        let mut body = Body::new();
        body.put("room_id", &room);
        self.add(line, body);
    }

    pub fn add(&mut self, line: u64, mut body: Body) {
        let named = body.has("job_id");
        self.fill_in(&mut body);
        body.bytes.push(b'}');
        match decode(&body.bytes, &self.placeholder) {
            Ok(mut job) => {
                if let Some(known) = self.terms.known
                    && !known.contains(&job.provider)
                {
                    let known = known.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                    let message = format!("provider: {} is not configured (configured: {known})", job.provider);
                    return self.refuse(line, message);
                }
                if !named {
                    job.job_id = match &job.batch_id {
                        Some(batch) => derived_id(batch, &job.provider, &job.app_id, &job.room_id),
                        None => (self.terms.fresh_id)(),
                    };
                }
                if self.bad == 0 {
                    self.jobs.push(job);
                }
            }
            Err(invalid) => self.refuse(line, invalid.message),
        }
    }

    fn fill_in(&self, body: &mut Body) {
        let Fill { provider, app_id, batch_id, lane, reason, requested_by, not_before, expires_at } = self.terms.fill;
        put_absent(body, "provider", provider);
        put_absent(body, "app_id", app_id);
        put_absent(body, "batch_id", batch_id);
        put_absent(body, "lane", lane);
        put_absent(body, "reason", reason);
        put_absent(body, "requested_by", requested_by);
        put_absent(body, "not_before", not_before);
        put_absent(body, "expires_at", expires_at);
        if body.bytes.is_empty() {
            body.bytes.push(b'{');
        }
    }

    pub fn finish(self, name: &str) -> Result<Vec<DismissJob>, InputError> {
        match self.bad {
            0 => Ok(self.jobs),
            total => Err(InputError::Rows { name: name.to_owned(), faults: self.faults, total }),
        }
    }
}

fn put_absent(body: &mut Body, name: &str, value: &Option<impl Serialize>) {
    if let Some(value) = value
        && !body.has(name)
    {
        body.put(name, value);
    }
}

/// Jobs of one ID count once: that is how their results are counted.
pub(super) fn fill_batch_size(jobs: &mut [DismissJob], batch: &BatchId) {
    let of_batch = |job: &&DismissJob| job.batch_id.as_ref() == Some(batch);
    let size = jobs.iter().filter(of_batch).map(|job| &job.job_id).collect::<HashSet<_>>().len() as u64;
    for job in jobs.iter_mut().filter(|job| job.batch_id.as_ref() == Some(batch)) {
        job.batch_size.get_or_insert(size);
    }
}
