//! A machine that has nothing left to open a connection with, rule by rule.

use roomsweep::model::result::Outcome;
use roomsweep::pipeline::books::Repeats;

use super::plan::MS;
use super::stage::{count, ids, on_stage, pass};

#[tokio::test(start_paused = true)]
async fn a_shortage_of_our_own_costs_no_attempt_and_opens_no_breaker() {
    on_stage(async |stage| {
        *stage.wire.short.lock().unwrap() = 100;
        stage.start(Repeats::Sent);
        stage.put(ids("j", 50));
        for _ in 0..60 {
            assert_eq!(stage.suspended().0, None);
            pass(1).await;
        }
        let results = stage.results();
        assert_eq!((*stage.wire.unsent.lock().unwrap(), stage.sent()), (100, 50));
        assert_eq!(count(&results, Outcome::Dismissed), 50);
        assert!(results.iter().all(|result| result.attempts == 1 && result.attempt_log.len() == 1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_finds_nothing_left_rests_between_two_tries() {
    on_stage(async |stage| {
        *stage.wire.short.lock().unwrap() = usize::MAX;
        stage.start(Repeats::Sent);
        stage.put(ids("j", 50));
        pass(62).await;
        let tries = *stage.wire.unsent.lock().unwrap();
        // The quota alone would let 1,200 out.
        assert!((60..=400).contains(&tries), "{tries} tries in a minute");
        let now = stage.clock.elapsed();
        assert!(stage.meter.lasting_shortage(now).is_some(), "whoever asks is told why nothing is sent");

        *stage.wire.short.lock().unwrap() = 0;
        tokio::time::sleep(10 * 1000 * MS).await;
        assert_eq!(count(&stage.results(), Outcome::Dismissed), 50, "none waits longer than was decided");
        assert_eq!(stage.meter.lasting_shortage(stage.clock.elapsed()), None);
    })
    .await;
}
