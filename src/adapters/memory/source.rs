//! Receiving: the jobs of one provider, or the intake's.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use super::broker::{end, gone};
use super::{ROWS, Store, Stored, Taken};
use crate::model::ids::ProviderName;
use crate::model::job::Lane;
use crate::ports::broker::{BrokerError, Delivery, JobSource, See};

pub(super) struct MemorySource {
    pub store: Arc<Store>,
    pub closed: watch::Receiver<bool>,
    /// None for the intake.
    pub provider: Option<ProviderName>,
    pub prefetch: usize,
    pub held: [Vec<Taken>; ROWS.len()],
}

impl MemorySource {
    fn gather(&mut self) {
        let mut room = self.held.each_ref().map(|row| self.prefetch.saturating_sub(row.len()));
        let wants = |job: &Stored| {
            let fits = self.provider.as_ref() == job.lane.as_ref().map(|key| &key.provider);
            let place = &mut room[job.row()];
            let wanted = fits && *place > 0;
            *place -= usize::from(wanted);
            wanted
        };
        for taken in self.store.take(wants) {
            self.held[taken.stored.row()].push(taken);
        }
    }
}

#[async_trait]
impl JobSource for MemorySource {
    async fn ready(&mut self) -> Result<(), BrokerError> {
        let store = self.store.clone();
        loop {
            if *self.closed.borrow() {
                return Err(gone());
            }
            let mut news = std::pin::pin!(store.news.notified());
            news.as_mut().enable();
            self.gather();
            if self.held.iter().any(|row| !row.is_empty()) {
                return Ok(());
            }
            tokio::select! {
                biased;
                error = end(self.closed.clone()) => return Err(error),
                () = news => {}
                () = store.next_due() => {}
            }
        }
    }

    fn best(&mut self) -> Option<Delivery> {
        self.gather();
        let row = self.held.iter_mut().find(|row| !row.is_empty())?;
        Some(row.remove(0).deliver())
    }

    fn spare(&mut self) -> Option<Delivery> {
        self.gather();
        let row = self.held.iter_mut().rfind(|row| !row.is_empty())?;
        Some(row.pop()?.deliver())
    }

    fn look(&mut self, see: &mut See<'_>) {
        self.gather();
        for taken in self.held.iter().flatten() {
            let message = &taken.stored.message;
            if see(&message.body, message.message_id.as_deref()).is_break() {
                return;
            }
        }
    }

    fn held(&self, lane: Lane) -> usize {
        ROWS.iter().zip(&self.held).filter(|((of, _), _)| *of == lane).map(|(_, row)| row.len()).sum()
    }

    async fn release_older_than(&mut self, age: Duration) -> Result<(), BrokerError> {
        for row in &mut self.held {
            row.retain(|taken| taken.since.elapsed() < age);
        }
        Ok(())
    }

    async fn stop(&mut self) -> Result<(), BrokerError> {
        self.prefetch = 0;
        self.release_older_than(Duration::ZERO).await
    }
}
