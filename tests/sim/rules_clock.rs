//! Clocks that are set, rule by rule.

use std::time::Duration;

use jiff::SignedDuration;
use roomsweep::model::result::Outcome;
use roomsweep::pipeline::books::Repeats;
use serde_json::json;

use super::plan::{Answer, MS, SECOND};
use super::stage::{Stage, count, ids, on_stage, pass};

/// The ways in which a clock is set while something waits: where it was before, and where it is then, in seconds ahead.
const SETS: [(i64, i64); 6] = [(0, 0), (60, 0), (0, -3600), (0, 3600), (-3600, 3600), (i32::MAX as i64, -86400)];

fn set(stage: &Stage, ahead: i64) {
    stage.wall.set(SignedDuration::from_secs(ahead));
}

fn sent_at(stage: &Stage) -> Vec<Duration> {
    stage.wire.sent.lock().unwrap().iter().map(|(at, _)| *at).collect()
}

#[tokio::test(start_paused = true)]
async fn a_retry_waits_its_backoff_however_clocks_are_set() {
    for (before, meanwhile) in SETS {
        on_stage(async |stage| {
            set(stage, before);
            *stage.wire.answer.lock().unwrap() = Answer::Failed;
            stage.start(Repeats::Sent);
            stage.put(ids("j", 1));
            while stage.sent() < 1 {
                tokio::time::sleep(MS).await;
            }
            // The answer is there, and the job deferred.
            tokio::time::sleep(50 * MS).await;
            set(stage, meanwhile);
            *stage.wire.answer.lock().unwrap() = Answer::Dismissed;
            pass(5).await;
            let waited = sent_at(stage)[1] - sent_at(stage)[0];
            // Its answer takes 10 ms, and then the first backoff of half a second begins.
            assert!((510 * MS..=515 * MS).contains(&waited), "{waited:?}, set {before} and {meanwhile} seconds ahead");
            assert_eq!(count(&stage.results(), Outcome::Dismissed), 1);
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttled_provider_is_held_as_long_as_it_asked_however_clocks_are_set() {
    for (before, meanwhile) in SETS {
        on_stage(async |stage| {
            set(stage, before);
            *stage.wire.answer.lock().unwrap() = Answer::Throttled { retry_after: Some(7) };
            stage.start(Repeats::Sent);
            stage.put(ids("j", 1));
            while stage.sent() < 1 {
                tokio::time::sleep(MS).await;
            }
            tokio::time::sleep(50 * MS).await;
            set(stage, meanwhile);
            *stage.wire.answer.lock().unwrap() = Answer::Dismissed;
            pass(20).await;
            let waited = sent_at(stage)[1] - sent_at(stage)[0];
            assert!(
                (7 * SECOND..8 * SECOND).contains(&waited),
                "{waited:?}, set {before} and {meanwhile} seconds ahead"
            );
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_jobs_own_times_are_told_by_the_wall_clock() {
    on_stage(async |stage| {
        stage.start(Repeats::Sent);
        let at = |seconds: u32| (stage.clock.now() + seconds * SECOND).to_string();
        let job = |id: &str, time: &str, at: String| {
            let job = json!({ "provider": "volc", "app_id": "app", "room_id": id, "job_id": id, time: at });
            stage.queue.put(None, job.to_string().into_bytes(), None);
        };
        let (start, end) = (at(3600), at(3600));
        set(stage, 3590);
        job("early", "not_before", start);
        pass(5).await;
        assert_eq!(stage.sent(), 0);
        pass(10).await;
        assert_eq!(stage.sent(), 1);
        job("late", "expires_at", end);
        pass(5).await;
        assert_eq!((stage.sent(), count(&stage.results(), Outcome::Expired)), (1, 1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_wrong_for_a_while_has_nothing_forgotten() {
    on_stage(async |stage| {
        stage.start(Repeats::Sent);
        stage.put(ids("j", 3));
        pass(10).await;
        set(stage, 10 * 365 * 86400);
        // A minute after the start, and then once an hour.
        pass(120).await;
        set(stage, 0);
        pass(3700).await;
        assert_eq!(stage.recorded().await.len(), 3);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_stays_as_it_was_set_is_believed_in_the_end() {
    on_stage(async |stage| {
        stage.start(Repeats::Sent);
        stage.put(ids("j", 3));
        pass(10).await;
        set(stage, 10 * 365 * 86400);
        pass(3700).await;
        assert_eq!(stage.recorded().await, []);
    })
    .await;
}
