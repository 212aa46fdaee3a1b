//! The results that wait for a ledger, in memory.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

use super::broker::end;
use super::{State, Store};
use crate::ports::broker::BrokerError;
use crate::ports::outcomes::{OutcomeSource, Unkept};

/// At most so many are one group.
const GROUP: usize = 500;

pub(super) type Waiting = VecDeque<(String, Bytes)>;

pub(super) struct MemoryOutcomes {
    pub store: Arc<Store>,
    pub closed: watch::Receiver<bool>,
    pub held: Waiting,
}

impl MemoryOutcomes {
    fn gather(&mut self) {
        let mut state = self.store.state();
        while self.held.len() < GROUP {
            let Some(next) = state.outcomes.as_mut().and_then(VecDeque::pop_front) else { return };
            self.held.push_back(next);
        }
    }

    fn give_back(&mut self) {
        let State { outcomes, .. } = &mut *self.store.state();
        let Some(outcomes) = outcomes else { return };
        while let Some(last) = self.held.pop_back() {
            outcomes.push_front(last);
        }
        self.store.news.notify_waiters();
    }
}

#[async_trait]
impl OutcomeSource for MemoryOutcomes {
    async fn next(&mut self) -> Result<Vec<Bytes>, BrokerError> {
        let store = self.store.clone();
        loop {
            let mut news = std::pin::pin!(store.news.notified());
            news.as_mut().enable();
            self.gather();
            if !self.held.is_empty() {
                return Ok(self.held.iter().map(|(_, body)| body.clone()).collect());
            }
            tokio::select! {
                biased;
                error = end(self.closed.clone()) => return Err(error),
                () = news => {}
            }
        }
    }

    async fn kept(&mut self, unkept: &[Unkept]) -> Result<(), BrokerError> {
        let dead = &mut self.store.state().dead;
        for Unkept { place, .. } in unkept {
            if let Some((key, body)) = self.held.get(*place) {
                dead.push((key.clone(), body.to_vec()));
            }
        }
        self.held.clear();
        Ok(())
    }

    async fn stop(&mut self) -> Result<(), BrokerError> {
        self.give_back();
        Ok(())
    }
}

impl Drop for MemoryOutcomes {
    fn drop(&mut self) {
        self.give_back();
    }
}
