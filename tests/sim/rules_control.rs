//! Cancelled batches and paused providers, rule by rule.

use roomsweep::model::result::Outcome;
use roomsweep::model::suspension::SuspensionReason;
use roomsweep::pipeline::books::Repeats;
use roomsweep::ports::ledger::Ledger;
use serde_json::json;

use super::plan::{Answer, MS, SECOND};
use super::stage::{Stage, batch, count, ids, on_stage, pass, volc};

#[tokio::test(start_paused = true)]
async fn nothing_of_a_cancelled_batch_is_sent_and_each_of_its_jobs_ends_cancelled() {
    on_stage(async |stage| {
        stage.start(Repeats::Sent);
        stage.put(ids("j", 300));
        pass(8).await;
        let at = stage.clock.elapsed();
        stage.ledger.cancel(&batch(), &stage.act()).await.unwrap();
        pass(6).await;
        assert_eq!(stage.sent_since(at + 2 * SECOND), 0);
        let results = stage.results();
        assert!(stage.sent() > 50, "{}", stage.sent());
        assert_eq!(count(&results, Outcome::Dismissed), stage.sent());
        assert_eq!(count(&results, Outcome::Cancelled), 300 - stage.sent(), "they cost no token");
        assert!(stage.queue.dead().is_empty());
        let kept = stage.ledger.batch(&batch()).await.unwrap().unwrap();
        assert_eq!((kept.over(), kept.size), (300, Some(7)));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_job_that_waits_for_its_time_ends_cancelled_in_the_intake_and_when_it_surfaces() {
    on_stage(async |stage| {
        stage.start(Repeats::Sent);
        let later = (stage.clock.now() + 60 * SECOND).to_string();
        let body = |id: &str| {
            json!({ "provider": "volc", "app_id": "app", "room_id": id, "job_id": id, "batch_id": "b",
                "not_before": later })
            .to_string()
        };
        stage.queue.put(None, body("before").into_bytes(), None);
        pass(1).await;
        stage.ledger.cancel(&batch(), &stage.act()).await.unwrap();
        pass(1).await;
        stage.queue.put(None, body("after").into_bytes(), None);
        pass(1).await;
        let results = stage.results();
        assert_eq!(results.iter().map(|result| result.job_id.as_str()).collect::<Vec<_>>(), ["after"]);
        pass(60).await;
        assert_eq!(count(&stage.results(), Outcome::Cancelled), 1);
        assert_eq!(stage.sent(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_cancel_holds_for_a_request_whose_connection_is_being_opened() {
    on_stage(async |stage| {
        *stage.wire.connect.lock().unwrap() = 5 * SECOND;
        stage.start(Repeats::Sent);
        stage.put(ids("j", 1));
        pass(4).await;
        assert_eq!(stage.meter.providers()[0].in_flight, 1, "it is under way");
        stage.ledger.cancel(&batch(), &stage.act()).await.unwrap();
        pass(10).await;
        assert_eq!(count(&stage.results(), Outcome::Cancelled), 1);
        assert_eq!(stage.meter.rates(&volc(), stage.clock.now() + 5 * SECOND).iter().sum::<u32>(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_pause_holds_for_a_request_whose_connection_is_being_opened() {
    on_stage(async |stage| {
        *stage.wire.connect.lock().unwrap() = 5 * SECOND;
        stage.start(Repeats::Sent);
        stage.put(ids("j", 1));
        pass(4).await;
        stage.ledger.pause(&volc(), &stage.act()).await.unwrap();
        pass(20).await;
        assert_eq!((stage.results().len(), stage.queue.open_jobs()), (0, 1));
        stage.ledger.resume(&volc()).await.unwrap();
        pass(10).await;
        let results = stage.results();
        assert_eq!((results[0].outcome, results[0].attempts), (Outcome::Dismissed, 1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_pause_stops_sending_until_it_is_resumed() {
    on_stage(async |stage| {
        stage.start(Repeats::Sent);
        stage.put(ids("j", 200));
        pass(5).await;
        let act = stage.act();
        let at = stage.clock.elapsed();
        stage.ledger.pause(&volc(), &act).await.unwrap();
        pass(60).await;
        assert_eq!(stage.sent_since(at + 2 * SECOND), 0, "no probe either");
        assert_eq!(stage.suspended(), (Some(SuspensionReason::Paused), Some(act.at)));
        let status = stage.meter.providers().remove(0);
        assert_eq!(status.waiting.unwrap().bulk, 200 - stage.sent() as u64, "the lane was put down");
        stage.ledger.resume(&volc()).await.unwrap();
        pass(12).await;
        assert_eq!((stage.sent(), stage.results().len()), (200, 200));
        assert_eq!(stage.suspended(), (None, None));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_the_breaker_knew_comes_back_after_a_pause() {
    on_stage(async |stage| {
        *stage.wire.answer.lock().unwrap() = Answer::Refused;
        stage.start(Repeats::Sent);
        stage.put(ids("j", 10));
        pass(5).await;
        let refused = stage.suspended();
        assert_eq!(refused.0, Some(SuspensionReason::Credentials));
        stage.ledger.pause(&volc(), &stage.act()).await.unwrap();
        pass(2).await;
        let sent = stage.sent();
        assert_eq!(stage.suspended().0, Some(SuspensionReason::Paused));
        pass(120).await;
        assert_eq!(stage.sent(), sent, "no probe goes out");
        stage.ledger.resume(&volc()).await.unwrap();
        pass(1).await;
        assert_eq!(stage.suspended(), refused);
        *stage.wire.answer.lock().unwrap() = Answer::Dismissed;
        pass(60).await;
        assert_eq!((stage.suspended().0, stage.queue.open_jobs()), (None, 0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_starts_during_a_pause_sends_nothing() {
    on_stage(async |stage| {
        let stage = Stage::with(&stage.ledger, 4 * SECOND);
        stage.ledger.pause(&volc(), &stage.act()).await.unwrap();
        stage.put(ids("j", 10));
        stage.start(Repeats::Sent);
        pass(30).await;
        assert_eq!(stage.sent(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_first_answer_is_waited_for_five_seconds_at_most() {
    on_stage(async |stage| {
        stage.ledger.leave("stopped");
        stage.put(ids("j", 100));
        stage.start(Repeats::Sent);
        tokio::time::sleep(4_900 * MS).await;
        assert_eq!(stage.sent(), 0);
        pass(2).await;
        assert!(stage.sent() > 5);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_pause_stays_while_the_ledger_is_away() {
    on_stage(async |stage| {
        stage.start(Repeats::Sent);
        stage.ledger.pause(&volc(), &stage.act()).await.unwrap();
        pass(3).await;
        stage.put(ids("j", 10));
        stage.ledger.leave("stopped");
        pass(60).await;
        assert_eq!(stage.sent(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn at_a_stop_the_jobs_in_hand_go_back_when_those_on_the_wire_are_done() {
    on_stage(async |stage| {
        *stage.wire.connect.lock().unwrap() = 600 * MS;
        stage.start(Repeats::Sent);
        stage.put(ids("j", 500));
        pass(10).await;
        while stage.in_flight() < 5 {
            tokio::time::sleep(10 * MS).await;
        }
        let (sent, ready) = (stage.sent(), stage.ready().await);
        stage.stop();
        tokio::time::sleep(300 * MS).await;
        assert!(stage.ready().await <= ready && ready + 50 < stage.queue.open_jobs(), "{}", stage.ready().await);
        pass(1).await;
        assert_eq!((stage.ready().await, stage.queue.open_jobs()), (500 - stage.sent(), 500 - stage.results().len()));
        assert!(stage.sent() > sent, "what was on its way to the wire was sent");
    })
    .await;
}
