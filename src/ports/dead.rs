//! The dead letters, seen from the commands that look after them.

use std::ops::ControlFlow;

use async_trait::async_trait;

use super::broker::BrokerError;
use crate::model::dead::{DeadLetter, Redrive};

/// What is done with a dead letter.
#[derive(Debug, Clone, PartialEq)]
pub enum Fate {
    Keep,
    /// It is gone for good.
    Purge,
    /// It is stored as a new job in its lane, and only then no dead letter any more.
    Redrive(Box<Redrive>),
    /// It stays, and so do all that come after it.
    Stop,
}

/// Who else has dead letters in hand: those are not seen meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    Nobody,
    Somebody,
}

/// How many dead letters can be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    pub letters: u64,
    pub others: Others,
}

/// Decides over dead letters, one after another.
pub trait Sorter: Send {
    fn decide(&mut self, letter: &DeadLetter) -> Fate;

    /// So many more were purged or redriven, and that is durable.
    fn done(&mut self, many: u64);
}

/// Where dead letters lie. Whoever stops half-way leaves those that are not done where they are.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    async fn count(&self) -> Result<Count, BrokerError>;

    /// Shows each dead letter that is there now, once, about in the order of their coming; changes none.
    async fn look(&self, look: &mut Look<'_>) -> Result<(), BrokerError>;

    /// Does with each dead letter that is there now what was decided. After a crash a redriven job may be there twice, in
    /// its lane and as a dead letter.
    async fn sort(&self, sorter: &mut dyn Sorter) -> Result<(), BrokerError>;
}

/// Sees a dead letter; a break ends the looking.
pub type Look<'a> = dyn FnMut(&DeadLetter) -> ControlFlow<()> + Send + 'a;
