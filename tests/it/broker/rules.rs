//! The rules, for any [`House`].

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use roomsweep::model::decode::decode;
use roomsweep::model::ids::{JobId, ProviderName, RequestId};
use roomsweep::model::job::Lane;
use roomsweep::model::progress::{AttemptRecord, Progress, Return};
use roomsweep::model::result::{DismissResult, Ending, Outcome};
use roomsweep::model::verdict::{Fault, VerdictLabel};
use roomsweep::ports::broker::{Broker, Delivery, JobSource, JobTime, LaneKey, ProviderKnown, Settlement};
use roomsweep::ports::clock::Clock;
use serde_json::Value;
use tokio::time::{Instant, timeout};

use super::House;
use crate::edges_rig::SOON;
use crate::support::eventually;

const PREFETCH: u16 = 16;
const URGENT: Lane = Lane::Urgent;
const BULK: Lane = Lane::Bulk;

fn volcengine() -> ProviderName {
    ProviderName::parse("volcengine").unwrap()
}

fn lane(lane: Lane) -> LaneKey {
    LaneKey { provider: volcengine(), lane }
}

fn now() -> Timestamp {
    Clock::system().now()
}

/// Of a job that has no time of its own.
fn at_any_time() -> JobTime {
    JobTime { not_before: None, now: now() }
}

/// The next job of a source.
pub async fn take(source: &mut dyn JobSource) -> Delivery {
    let next = async {
        loop {
            source.ready().await.expect("a source at work");
            if let Some(delivery) = source.best() {
                return delivery;
            }
        }
    };
    timeout(SOON, next).await.expect("a job")
}

/// Puts jobs into a lane, one after another.
async fn fill(house: &impl House, broker: &Arc<dyn Broker>, lane: &LaneKey, rooms: &[&str]) {
    for room in rooms {
        house.put(broker, lane, room).await;
    }
}

async fn lanes(broker: &Arc<dyn Broker>) -> Box<dyn JobSource> {
    broker.lanes(&volcengine(), PREFETCH).await.unwrap()
}

fn room(delivery: &Delivery) -> String {
    let body: Value = serde_json::from_slice(&delivery.message.body).unwrap();
    body["room_id"].as_str().unwrap().to_owned()
}

/// Waits until so many wait in a lane.
async fn waits(broker: &Arc<dyn Broker>, lane: &LaneKey, many: u64) {
    let what = format!("{many} in {lane}");
    eventually(&what, SOON, || async { (broker.ready(lane).await.unwrap() == many).then_some(()) }).await;
}

fn tried(wait: Duration) -> Progress {
    let mut progress = Progress::received(now());
    progress.note(AttemptRecord {
        at: now(),
        verdict: VerdictLabel::Transient,
        http_status: Some(500),
        request_id: Some(RequestId::parse("q-1").unwrap()),
        error: Some(Fault::new("InternalError", "why")),
        duration_ms: 31,
    });
    progress.waiting(wait)
}

fn settlement(delivery: &Delivery, outcome: Outcome) -> Settlement {
    let id = JobId::parse(delivery.message.message_id.clone().unwrap()).unwrap();
    let job = decode(&delivery.message.body, &id).unwrap();
    let ending = Ending { outcome, error: None };
    let result = DismissResult::of(&job, Progress::received(now()), ending, now(), "contract");
    Settlement { result, provider_known: ProviderKnown::Yes }
}

pub async fn a_forwarded_job_reaches_its_lane_as_it_was_sent(house: &impl House) {
    let broker = house.open().await;
    fill(house, &broker, &lane(BULK), &["a"]).await;
    let mut source = lanes(&broker).await;
    let delivery = take(&mut *source).await;
    assert_eq!((&delivery.origin, &delivery.message.progress), (&Some(lane(BULK)), &None));
    let sent = delivery.message.clone();
    delivery.forward(&lane(URGENT)).await.unwrap();

    let delivery = take(&mut *source).await;
    assert_eq!((&delivery.origin, &delivery.message), (&Some(lane(URGENT)), &sent));
    assert!(source.best().is_none(), "it is there once");
}

pub async fn retries_go_before_new_jobs_and_urgent_before_bulk(house: &impl House) {
    let broker = house.open().await;
    for which in [BULK, URGENT] {
        fill(house, &broker, &lane(which), &[&format!("tried-{which}")]).await;
        let delivery = take(&mut *lanes(&broker).await).await;
        delivery.defer(&lane(which), tried(Duration::ZERO), at_any_time()).await.unwrap();
        fill(house, &broker, &lane(which), &[&format!("new-{which}"), &format!("newer-{which}")]).await;
        // Its turn must not come while the other lane is filled.
        waits(&broker, &lane(which), 3).await;
    }
    let mut source = lanes(&broker).await;
    let all_at_hand = async {
        while source.held(URGENT) + source.held(BULK) < 6 {
            source.ready().await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, all_at_hand).await.expect("all at hand");
    let in_order: Vec<Delivery> = std::iter::from_fn(|| source.best()).collect();
    let order: Vec<String> = in_order.iter().map(room).collect();
    assert_eq!(order, ["tried-urgent", "new-urgent", "newer-urgent", "tried-bulk", "new-bulk", "newer-bulk"]);
}

pub async fn a_job_that_goes_last_comes_back_behind_those_that_wait(house: &impl House) {
    let broker = house.open().await;
    fill(house, &broker, &lane(BULK), &["refused", "a", "b"]).await;
    waits(&broker, &lane(BULK), 3).await;
    let pulled = broker.pull(&volcengine()).await.unwrap().expect("a job");
    assert_eq!(room(&pulled), "refused");
    let mut progress = tried(Duration::ZERO);
    (progress.returns, progress.disproved) = (Return::Last, 1);
    pulled.defer(&lane(BULK), progress.clone(), at_any_time()).await.unwrap();
    waits(&broker, &lane(BULK), 3).await;
    let mut source = lanes(&broker).await;
    let mut order = Vec::new();
    for _ in 0..3 {
        order.push(take(&mut *source).await);
    }
    assert_eq!(order.iter().map(room).collect::<Vec<_>>(), ["a", "b", "refused"]);
    assert_eq!(order[2].message.progress, Some(progress));
}

pub async fn a_deferred_job_comes_back_when_it_is_due_with_its_progress(house: &impl House) {
    let broker = house.open().await;
    fill(house, &broker, &lane(BULK), &["a"]).await;
    let mut source = lanes(&broker).await;
    let (wait, deferred) = (Duration::from_millis(1300), Instant::now());
    let progress = tried(wait);
    take(&mut *source).await.defer(&lane(BULK), progress.clone(), at_any_time()).await.unwrap();
    eventually("one deferred", SOON, || async { (broker.deferred().await.unwrap() == 1).then_some(()) }).await;

    let back = after_its_wait(&mut *source, &progress).await;
    let late = deferred.elapsed().saturating_sub(wait);
    assert!(deferred.elapsed() >= wait && late < Duration::from_millis(1500), "{late:?} late");
    assert_eq!((room(&back), back.message.message_id.as_deref()), ("a".to_owned(), Some("a")));
}

pub async fn a_deferred_job_waits_what_was_decided_however_clocks_are_set(house: &impl House) {
    let (broker, wall) = (house.open().await, house.wall());
    fill(house, &broker, &lane(BULK), &["a"]).await;
    let mut source = lanes(&broker).await;
    // Seconds ahead of the right time: when it is deferred, and while it waits.
    for (then, meanwhile) in [(60, 0), (0, -3600), (0, 3600), (-3600, 3600)] {
        let (wait, deferred) = (Duration::from_millis(1300), Instant::now());
        let progress = tried(wait);
        wall.offset.set(SignedDuration::from_secs(then));
        let time = JobTime { not_before: None, now: wall.clock.now() };
        take(&mut *source).await.defer(&lane(BULK), progress.clone(), time).await.unwrap();
        wall.offset.set(SignedDuration::from_secs(meanwhile));
        let back = after_its_wait(&mut *source, &progress).await;
        assert!(deferred.elapsed() >= wait, "{:?} of {wait:?}", deferred.elapsed());
        back.release().await.unwrap();
    }
}

pub async fn what_is_at_hand_goes_on_waiting(house: &impl House) {
    let broker = house.open().await;
    fill(house, &broker, &lane(BULK), &["a"]).await;
    let mut source = lanes(&broker).await;
    let wait = Duration::from_millis(1700);
    take(&mut *source).await.defer(&lane(BULK), tried(wait), at_any_time()).await.unwrap();
    timeout(SOON, source.ready()).await.expect("a job").unwrap();
    // The right to send may be long in coming.
    tokio::time::sleep(wait).await;
    assert_eq!(source.best().expect("a job").message.progress.expect("what is known of it").wait_ms, 0);
}

/// Takes a job each time it is handed out until nothing is left of its wait. A queue may hand it out before: whoever gets it
/// then defers it again, as the lane does.
async fn after_its_wait(source: &mut dyn JobSource, deferred: &Progress) -> Delivery {
    loop {
        let delivery = take(source).await;
        let known = delivery.message.progress.clone().expect("what is known of it");
        assert_eq!(known.clone().waiting(deferred.wait()), *deferred);
        assert_eq!(delivery.origin.as_ref(), Some(&lane(BULK)));
        if known.wait_ms == 0 {
            return delivery;
        }
        assert!(known.wait_ms < deferred.wait_ms, "nothing of its wait is over");
        delivery.defer(&lane(BULK), known, at_any_time()).await.unwrap();
    }
}

pub async fn a_settled_job_has_its_result_and_is_gone(house: &impl House) {
    let broker = house.open().await;
    fill(house, &broker, &lane(BULK), &["a", "b"]).await;
    let mut source = lanes(&broker).await;
    let mut sent = Vec::new();
    for outcome in [Outcome::Dismissed, Outcome::Rejected] {
        let delivery = take(&mut *source).await;
        sent = delivery.message.body.to_vec();
        let settlement = settlement(&delivery, outcome);
        delivery.settle(&settlement).await.unwrap();
        let (key, body) = house.results(1).await.remove(0);
        assert_eq!(key, format!("volcengine.{outcome}"));
        assert_eq!(serde_json::from_slice::<DismissResult>(&body).unwrap(), settlement.result);
    }
    assert_eq!(house.dead(1).await, [("volcengine.rejected".to_owned(), sent)]);
    broker.close().await;
    waits(&house.open().await, &lane(BULK), 0).await;
}

pub async fn a_released_job_comes_back_untouched(house: &impl House) {
    let broker = house.open().await;
    fill(house, &broker, &lane(BULK), &["a"]).await;
    let mut source = lanes(&broker).await;
    let delivery = take(&mut *source).await;
    let before = delivery.message.clone();
    delivery.release().await.unwrap();
    assert_eq!(take(&mut *source).await.message, before);
}

pub async fn a_stopped_source_gives_back_what_it_holds_and_no_more(house: &impl House) {
    let broker = house.open().await;
    fill(house, &broker, &lane(BULK), &["a", "b", "c"]).await;
    let mut source = lanes(&broker).await;
    let handed_out = take(&mut *source).await;
    waits(&broker, &lane(BULK), 0).await;
    source.stop().await.unwrap();
    waits(&broker, &lane(BULK), 2).await;
    drop(source);

    let settlement = settlement(&handed_out, Outcome::Dismissed);
    handed_out.settle(&settlement).await.unwrap();
    house.results(1).await;
    let mut source = lanes(&broker).await;
    let mut rooms = [room(&take(&mut *source).await), room(&take(&mut *source).await)];
    rooms.sort();
    assert_eq!(rooms, ["b", "c"]);
}

pub async fn a_dropped_delivery_comes_back_when_the_connection_ends(house: &impl House) {
    let broker = house.open().await;
    fill(house, &broker, &lane(URGENT), &["a"]).await;
    let mut source = lanes(&broker).await;
    drop(take(&mut *source).await);
    drop(source);
    broker.close().await;
    let broker = house.open().await;
    assert_eq!(room(&take(&mut *lanes(&broker).await).await), "a");
}

pub async fn what_is_held_too_long_goes_back(house: &impl House) {
    let broker = house.open().await;
    fill(house, &broker, &lane(BULK), &["a"]).await;
    let mut source = broker.lanes(&volcengine(), 1).await.unwrap();
    source.ready().await.unwrap();
    source.release_older_than(Duration::from_secs(600)).await.unwrap();
    assert_eq!(source.held(BULK), 1);
    source.release_older_than(Duration::ZERO).await.unwrap();
    assert_eq!(source.held(BULK), 0);
    assert_eq!(room(&take(&mut *source).await), "a");
}

pub async fn a_probe_takes_the_job_that_is_missed_least_and_no_other(house: &impl House) {
    let broker = house.open().await;
    assert!(broker.pull(&volcengine()).await.unwrap().is_none());
    fill(house, &broker, &lane(BULK), &["a", "b"]).await;
    fill(house, &broker, &lane(URGENT), &["c"]).await;
    let pulled = broker.pull(&volcengine()).await.unwrap().expect("a job");
    assert_eq!((room(&pulled), &pulled.origin), ("a".to_owned(), &Some(lane(BULK))));
    pulled.defer(&lane(BULK), tried(Duration::ZERO), at_any_time()).await.unwrap();
    waits(&broker, &lane(BULK), 2).await;

    // One that is dropped comes back by itself: a probe may be given up.
    let another = broker.pull(&volcengine()).await.unwrap().expect("a job");
    assert_eq!(room(&another), "b", "a job that was tried is not tried again while there is another");
    drop(another);
    waits(&broker, &lane(BULK), 2).await;
}

pub async fn one_leads_at_a_time_and_the_next_one_when_it_leaves(house: &impl House) {
    let (first, second) = (house.open().await, house.open().await);
    let mut lead = first.lead(&volcengine()).await.unwrap().expect("the lead");
    for _ in 0..3 {
        assert!(second.lead(&volcengine()).await.unwrap().is_none());
    }
    let huawei = ProviderName::parse("huawei").unwrap();
    assert!(second.lead(&huawei).await.unwrap().is_some(), "each provider has its own");
    assert!(timeout(Duration::from_millis(300), second.lost()).await.is_err(), "asking in vain costs no connection");
    assert!(timeout(Duration::from_millis(10), lead.lost()).await.is_err());

    first.close().await;
    timeout(SOON, lead.lost()).await.expect("the lead is lost with its connection");
    eventually("the lead passes on", Duration::from_secs(3), || async { second.lead(&volcengine()).await.unwrap() })
        .await;
}

pub async fn what_waits_is_counted_and_what_is_in_hand_is_not(house: &impl House) {
    let broker = house.open().await;
    fill(house, &broker, &lane(BULK), &["a", "b", "c"]).await;
    waits(&broker, &lane(BULK), 3).await;
    waits(&broker, &lane(URGENT), 0).await;
    let pulled = broker.pull(&volcengine()).await.unwrap().expect("a job");
    waits(&broker, &lane(BULK), 2).await;
    pulled.defer(&lane(BULK), tried(Duration::ZERO), at_any_time()).await.unwrap();
    waits(&broker, &lane(BULK), 3).await;

    assert_eq!(broker.deferred().await.unwrap(), 0);
    let far = Duration::from_secs(600);
    for many in 1..=2 {
        let pulled = broker.pull(&volcengine()).await.unwrap().expect("a job");
        pulled.defer(&lane(BULK), tried(far), at_any_time()).await.unwrap();
        eventually("deferred", SOON, || async { (broker.deferred().await.unwrap() == many).then_some(()) }).await;
    }
    waits(&broker, &lane(BULK), 1).await;
}

pub async fn only_lanes_that_are_there_are_known(house: &impl House) {
    let broker = house.open().await;
    let elsewhere = LaneKey { provider: ProviderName::parse("elsewhere").unwrap(), lane: BULK };
    for _ in 0..3 {
        assert!(broker.has_lane(&lane(BULK)).await.unwrap());
        assert!(!broker.has_lane(&elsewhere).await.unwrap());
    }
    assert!(timeout(Duration::from_millis(300), broker.lost()).await.is_err(), "asking in vain costs no connection");
}

pub async fn a_closed_connection_gives_nothing_more(house: &impl House) {
    let broker = house.open().await;
    let mut source = lanes(&broker).await;
    assert!(timeout(Duration::from_millis(100), broker.lost()).await.is_err());
    broker.close().await;
    timeout(SOON, source.ready()).await.expect("told").expect_err("nothing comes any more");
    assert!(broker.pull(&volcengine()).await.is_err());
}
