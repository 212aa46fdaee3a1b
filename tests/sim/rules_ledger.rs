//! What is recorded, told, forgotten and looked up, rule by rule.

use roomsweep::model::job::Lane;
use roomsweep::model::progress::Progress;
use roomsweep::model::result::{DismissResult, Outcome};
use roomsweep::model::suspension::SuspensionReason;
use roomsweep::pipeline::books::Repeats;
use roomsweep::ports::broker::{LaneKey, Message};
use roomsweep::ports::ledger::Ledger;

use super::ledger::REFUSED;
use super::plan::{Answer, SECOND};
use super::stage::{KEEP, QPS, Stage, batch, count, ended, ids, on_stage, pass, volc};

#[tokio::test(start_paused = true)]
async fn results_wait_while_the_ledger_is_away_and_sending_goes_on_at_its_rate() {
    on_stage(async |stage| {
        stage.start(Repeats::Sent);
        stage.put(ids("j", 1_000));
        pass(10).await;
        stage.ledger.leave("stopped");
        let (before, at) = (stage.sent(), stage.clock.elapsed());
        pass(20).await;
        let rate = (stage.sent() - before) as f64 / (stage.clock.elapsed() - at).as_secs_f64();
        assert!(rate > 18.0, "{rate}");
        assert!(stage.queue.unrecorded() > 300);
        stage.ledger.come_back();
        pass(60).await;
        assert_eq!((stage.queue.unrecorded(), stage.recorded().await.len()), (0, 1_000));
        assert!(stage.queue.dead().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_the_ledger_does_not_take_goes_to_the_dead_letters_and_the_rest_is_kept() {
    on_stage(async |stage| {
        stage.start(Repeats::Sent);
        let at = stage.clock.now();
        let body = |id: &str| serde_json::to_vec(&ended(id, 1, at)).unwrap();
        stage.queue.put_outcome("volc.dismissed", body("good"));
        stage.queue.put_outcome("volc.dismissed", b"garbage".to_vec());
        stage.queue.put_outcome("volc.dismissed", body(REFUSED));
        stage.queue.put_outcome("volc.dismissed", body("better"));
        pass(5).await;
        let mut kept: Vec<String> = stage.recorded().await.iter().map(|one| one.job_id.as_str().to_owned()).collect();
        kept.sort();
        assert_eq!((kept, stage.queue.unrecorded()), (vec!["better".to_owned(), "good".to_owned()], 0));
        let dead: Vec<Vec<u8>> = stage.queue.dead().into_iter().map(|(_, body)| body).collect();
        assert_eq!(dead, [b"garbage".to_vec(), body(REFUSED)]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_jobs_name_is_told_though_the_ledger_was_away_when_they_came() {
    on_stage(async |stage| {
        stage.ledger.leave("stopped");
        stage.start(Repeats::Sent);
        stage.ledger.pause(&volc(), &stage.act()).await.unwrap_err();
        stage.queue.put(None, stage.body("j"), None);
        pass(20).await;
        stage.ledger.come_back();
        pass(20).await;
        let batch = stage.ledger.batch(&batch()).await.unwrap().unwrap();
        assert_eq!((batch.size, batch.parts.len()), (Some(7), 1));
        assert_eq!((batch.parts[0].lane, batch.parts[0].jobs), (Lane::Bulk, None));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_sender_tells_of_itself() {
    on_stage(async |stage| {
        stage.start(Repeats::Sent);
        stage.put(ids("j", 1_000));
        pass(31).await;
        let report = stage.ledger.reports().await.unwrap().remove(0);
        assert_eq!((report.provider, report.worker.as_str(), report.quota_qps), (volc(), "w", 20.0));
        assert!(stage.clock.now().duration_since(report.at).as_secs() <= 1);
        let told: u32 = report.rates.iter().sum();
        assert!(report.rates.len() == 60 && told.abs_diff(stage.sent() as u32) <= 6 * QPS, "{:?}", report.rates);
        assert!((90..=100).contains(report.rates.last().unwrap()), "{:?}", report.rates);
        let left = 1_000 - stage.sent() as u64;
        assert!(report.waiting_bulk.abs_diff(left) < 100, "{} of {left}", report.waiting_bulk);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_older_than_it_is_kept_goes() {
    on_stage(async |stage| {
        stage.start(Repeats::Sent);
        let now = stage.clock.now();
        let old: Vec<DismissResult> = ids("old", 2_500).map(|id| ended(&id, 1, now - KEEP - SECOND)).collect();
        stage.ledger.record(&old).await.unwrap();
        stage.ledger.record(&[ended("young", 1, now - KEEP + 600 * SECOND)]).await.unwrap();
        pass(120).await;
        let left = stage.recorded().await;
        assert_eq!(left.iter().map(|result| result.job_id.as_str()).collect::<Vec<_>>(), ["young"]);
        pass(2 * 3600).await;
        assert!(stage.recorded().await.is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_job_that_has_a_result_is_answered_with_it_and_not_sent() {
    on_stage(async |stage| {
        let at = stage.clock.now();
        let known: Vec<DismissResult> = ids("old", 100).map(|id| ended(&id, 1, at)).collect();
        stage.ledger.record(&known).await.unwrap();
        stage.put(ids("old", 100).zip(ids("new", 100)).flat_map(|(old, new)| [old, new]));
        stage.start(Repeats::Answered);
        pass(20).await;
        assert_eq!((stage.sent(), stage.queue.open_jobs()), (100, 0));
        let results = stage.results();
        assert_eq!(results.iter().filter(|result| result.worker == "earlier").count(), 100);
        assert_eq!((stage.deduped("answered"), stage.deduped("checked"), stage.deduped("unchecked")), (100, 100, 0));
        let questions = stage.slow.questions.lock().unwrap().clone();
        let most = questions.iter().max().unwrap();
        assert!(*most > 50 && questions.len() < 30, "{questions:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_redriven_job_is_sent_although_an_earlier_run_has_a_result() {
    on_stage(async |stage| {
        let at = stage.clock.now();
        stage.ledger.record(&[ended("again", 1, at), ended("done", 2, at)]).await.unwrap();
        for id in ["again", "done"] {
            let message = Message {
                body: stage.body(id).into(),
                message_id: None,
                correlation_id: None,
                reply_to: None,
                traceparent: None,
                progress: Some(Progress { run: 2, ..Progress::received(at) }),
                ended: None,
                unreadable: None,
            };
            stage.queue.put_message(Some(LaneKey { provider: volc(), lane: Lane::Bulk }), message);
        }
        stage.start(Repeats::Answered);
        pass(10).await;
        assert_eq!((stage.sent(), stage.results().len()), (1, 2));
        assert_eq!(stage.wire.sent.lock().unwrap()[0].1, "r-again");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn jobs_are_sent_unchecked_at_the_full_rate_while_the_ledger_is_away() {
    on_stage(async |stage| {
        stage.start(Repeats::Answered);
        stage.put(ids("j", 1_000));
        pass(10).await;
        stage.ledger.leave("stopped");
        let (before, at) = (stage.sent(), stage.clock.elapsed());
        pass(20).await;
        let rate = (stage.sent() - before) as f64 / (stage.clock.elapsed() - at).as_secs_f64();
        assert!(rate > 18.0, "{rate}");
        assert!(stage.deduped("unchecked") > 300, "{}", stage.deduped("unchecked"));
        stage.ledger.come_back();
        pass(10).await;
        let (unchecked, checked) = (stage.deduped("unchecked"), stage.deduped("checked"));
        pass(5).await;
        assert_eq!(stage.deduped("unchecked"), unchecked, "it is trusted again");
        assert!(stage.deduped("checked") > checked);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_is_slow_to_answer_is_not_waited_for() {
    on_stage(async |stage| {
        let stage = Stage::with(&stage.ledger, 3 * SECOND);
        stage.start(Repeats::Answered);
        stage.put(ids("j", 600));
        pass(30).await;
        assert!(stage.sent() > 420, "{}", stage.sent());
        assert!(stage.deduped("unchecked") > 400, "{}", stage.deduped("unchecked"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_probe_is_looked_up_too() {
    on_stage(async |stage| {
        *stage.wire.answer.lock().unwrap() = Answer::Refused;
        let known = ended("known", 1, stage.clock.now());
        stage.ledger.record(&[known]).await.unwrap();
        stage.start(Repeats::Answered);
        stage.put(["first".to_owned()]);
        pass(10).await;
        assert_eq!(stage.suspended().0, Some(SuspensionReason::Credentials));
        let sent = stage.sent();
        stage.put(["known".to_owned()]);
        pass(32).await;
        assert_eq!((stage.deduped("answered"), count(&stage.results(), Outcome::Dismissed)), (1, 1));
        assert!(stage.sent() <= sent + 2, "only the first one is tried again, now and then");
        assert!(stage.wire.sent.lock().unwrap().iter().all(|(_, room)| room != "r-known"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_comes_before_the_ledger_has_the_result_is_answered_too() {
    on_stage(async |stage| {
        stage.ledger.leave("stopped");
        stage.start(Repeats::Answered);
        stage.put(["j".to_owned()]);
        pass(20).await;
        assert_eq!((stage.sent(), stage.deduped("unchecked")), (1, 1));
        stage.put(["j".to_owned()]);
        pass(5).await;
        assert_eq!((stage.sent(), stage.deduped("answered")), (1, 1));
        let results = stage.results();
        assert_eq!((results.len(), &results[0]), (2, &results[1]));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_probe_asks_about_one_job_however_many_are_at_hand() {
    on_stage(async |stage| {
        *stage.wire.answer.lock().unwrap() = Answer::Failed;
        stage.start(Repeats::Answered);
        stage.put(ids("j", 500));
        pass(15).await;
        assert_eq!(stage.suspended().0, Some(SuspensionReason::Outage));
        stage.slow.questions.lock().unwrap().clear();
        let sent = stage.sent();
        pass(60).await;
        let questions = stage.slow.questions.lock().unwrap().clone();
        assert!(stage.sent() >= sent + 3, "{} probes", stage.sent() - sent);
        assert_eq!(questions, vec![1; stage.sent() - sent]);
    })
    .await;
}
