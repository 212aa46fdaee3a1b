//! What is told of recording that stands still.

use async_trait::async_trait;

use super::*;
use crate::adapters::memory_ledger::MemoryLedger;
use crate::pipeline::books::Books;
use crate::ports::clock::Clock;
use crate::ports::meter::Meter;

/// One group that no ledger takes, again and again; the dead letters are full.
struct Full;

#[async_trait]
impl OutcomeSource for Full {
    async fn next(&mut self) -> Result<Vec<Bytes>, BrokerError> {
        Ok(vec![Bytes::from_static(b"no result")])
    }

    async fn kept(&mut self, unkept: &[Unkept]) -> Result<(), BrokerError> {
        assert_eq!(unkept.len(), 1);
        Err(BrokerError::Refused("full".into()))
    }

    async fn stop(&mut self) -> Result<(), BrokerError> {
        Ok(())
    }
}

#[tokio::test]
async fn an_outage_lasts_as_long_as_the_dead_letters_do_not_take_what_the_ledger_does_not() {
    let common = Common {
        clock: Clock::system(),
        meter: Meter::new("test"),
        worker: "w".into(),
        providers: [].into(),
        jitter: || 1.0,
        books: Books::default(),
        limbo: Default::default(),
    };
    let mut outage = Outage::Told { since: Duration::ZERO };
    let ended = keep(&mut Full, &MemoryLedger::default(), &common, &mut outage).await;
    assert!(matches!(ended, Err(Trouble::Broker(BrokerError::Refused(_)))));
    assert_eq!(outage, Outage::Told { since: Duration::ZERO }, "so that it is told, and the pauses grow");
}
