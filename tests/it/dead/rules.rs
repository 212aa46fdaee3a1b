//! What the seam promises.

use std::ops::ControlFlow;
use std::sync::Arc;

use roomsweep::model::dead::{DeadLetter, Mark};
use roomsweep::model::decode::decode;
use roomsweep::model::ids::{JobId, ProviderName, RequestId};
use roomsweep::model::job::Lane;
use roomsweep::model::progress::{AttemptRecord, Progress};
use roomsweep::model::result::{DismissResult, Ending, Outcome};
use roomsweep::model::verdict::{Fault, VerdictLabel};
use roomsweep::ports::broker::{Broker, Delivery, LaneKey, ProviderKnown, Settlement};
use roomsweep::ports::dead::{DeadLetters, Fate, Sorter};
use tokio::time::timeout;

use super::house::{Grave, House, graves, now};
use crate::edges_rig::{SOON, job};

fn volcengine() -> ProviderName {
    ProviderName::parse("volcengine").unwrap()
}

async fn take(broker: &Arc<dyn Broker>) -> Delivery {
    let mut source = broker.lanes(&volcengine(), 1).await.unwrap();
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

fn progress(run: u32) -> Progress {
    let mut progress = Progress { run, ..Progress::received(now()) };
    progress.note(AttemptRecord {
        at: now(),
        verdict: VerdictLabel::Transient,
        http_status: Some(500),
        request_id: Some(RequestId::parse("q-1").unwrap()),
        error: Some(Fault::new("InternalError", "why")),
        duration_ms: 31,
    });
    progress
}

/// Settles the next job as the worker does.
async fn exhaust(broker: &Arc<dyn Broker>, run: u32) -> DismissResult {
    let delivery = take(broker).await;
    let id = JobId::parse(delivery.message.message_id.clone().unwrap()).unwrap();
    let job = decode(&delivery.message.body, &id).unwrap();
    let ending = Ending { outcome: Outcome::Exhausted, error: Some(Fault::new("InternalError", "why")) };
    let result = DismissResult::of(&job, progress(run), ending, now(), "test");
    let settlement = Settlement { result: result.clone(), provider_known: ProviderKnown::Yes };
    delivery.settle(&settlement).await.unwrap();
    result
}

async fn all(dead: &Arc<dyn DeadLetters>) -> Vec<DeadLetter> {
    let mut all = Vec::new();
    let mut look = |letter: &DeadLetter| {
        all.push(letter.clone());
        ControlFlow::Continue(())
    };
    dead.look(&mut look).await.unwrap();
    all
}

/// Decides by job ID.
pub struct ById<'a> {
    pub fate: &'a (dyn Fn(&str, &DeadLetter) -> Fate + Sync),
    pub done: u64,
}

impl Sorter for ById<'_> {
    fn decide(&mut self, letter: &DeadLetter) -> Fate {
        (self.fate)(letter.job_id.as_ref().unwrap().as_str(), letter)
    }

    fn done(&mut self, many: u64) {
        self.done += many;
    }
}

async fn sort(dead: &Arc<dyn DeadLetters>, fate: &(dyn Fn(&str, &DeadLetter) -> Fate + Sync)) -> u64 {
    let mut sorter = ById { fate, done: 0 };
    dead.sort(&mut sorter).await.unwrap();
    sorter.done
}

pub fn redrive(letter: &DeadLetter) -> Fate {
    Fate::Redrive(Box::new(letter.redrive(now()).unwrap()))
}

fn ids(letters: &[DeadLetter]) -> Vec<&str> {
    letters.iter().map(|letter| letter.job_id.as_ref().unwrap().as_str()).collect()
}

pub async fn what_ended_badly_lies_there_whole(house: &impl House) {
    let broker = house.open().await;
    house.put(&broker, "a").await;
    let result = exhaust(&broker, 3).await;
    let dead = house.dead().await;
    assert_eq!(dead.count().await.unwrap().letters, 1);
    let letter = all(&dead).await.remove(0);
    assert_eq!((letter.body.as_slice(), letter.outcome), (decoded_body(&letter).as_slice(), Some(Outcome::Exhausted)));
    assert_eq!((letter.error.as_str(), ids(std::slice::from_ref(&letter))), ("InternalError: why", vec!["a"]));
    let late = letter.settled_at.unwrap().duration_since(result.settled_at).as_millis_f64();
    assert!((0.0..=1.0).contains(&late), "{late} ms");
    assert_eq!(letter.last_run.as_ref(), Some(&result.progress()));
    let summary = letter.summary();
    assert_eq!((summary.run, summary.attempts), (Some(3), Some(1)));
    assert_eq!(summary.request_id.unwrap().as_str(), "q-1");
}

/// As it was put in: by hand for one queue, by `enqueue` for the other.
fn decoded_body(letter: &DeadLetter) -> Vec<u8> {
    let raw = job("volcengine", "a");
    if letter.body == raw {
        raw
    } else {
        serde_json::to_vec(&decode(&raw, &JobId::parse("a").unwrap()).unwrap()).unwrap()
    }
}

pub async fn looking_changes_nothing_and_may_end_early(house: &impl House) {
    house.bury(&graves(2_500)).await;
    let dead = house.dead().await;
    let first = all(&dead).await;
    let expected: Vec<String> = graves(2_500).into_iter().map(|grave| grave.id).collect();
    assert_eq!(ids(&first), expected, "each once, in order");
    let mut seen = 0;
    let mut look = |_: &DeadLetter| {
        seen += 1;
        if seen < 10 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    dead.look(&mut look).await.unwrap();
    assert_eq!((seen, dead.count().await.unwrap().letters), (10, 2_500));
    let mut again: Vec<Mark> = all(&dead).await.iter().map(|letter| letter.mark).collect();
    let mut marks: Vec<Mark> = first.iter().map(|letter| letter.mark).collect();
    again.sort_by_key(|mark| mark.0);
    marks.sort_by_key(|mark| mark.0);
    assert_eq!(again, marks);
}

pub async fn what_is_sorted_goes_where_it_was_decided_and_the_rest_stays(house: &impl House) {
    house.bury(&graves(200)).await;
    let dead = house.dead().await;
    let done = sort(&dead, &|id, letter| match id[1..].parse::<u32>().unwrap() {
        150.. => Fate::Stop,
        n if n % 3 == 0 => redrive(letter),
        n if n % 3 == 1 => Fate::Purge,
        _ => Fate::Keep,
    })
    .await;
    assert_eq!(done, 100);
    assert_eq!(dead.count().await.unwrap().letters, 100);
    let (mut jobs, mut left) = house.take_all().await;
    jobs.sort();
    left.sort();
    let id = |n: u32| format!("j{n:05}");
    assert_eq!(jobs, (0..150).filter(|n| n % 3 == 0).map(id).collect::<Vec<_>>());
    assert_eq!(left, (0..200).filter(|&n| n >= 150 || n % 3 == 2).map(id).collect::<Vec<_>>());
}

pub async fn a_redriven_job_comes_to_its_lane_as_it_was_in_its_next_run(house: &impl House) {
    let broker = house.open().await;
    house.put(&broker, "a").await;
    let before = take(&broker).await;
    let sent = before.message.clone();
    before.release().await.unwrap();
    for run in 1..=2 {
        exhaust(&broker, run).await;
        let dead = house.dead().await;
        let then = now();
        assert_eq!(sort(&dead, &|_, letter| redrive(letter)).await, 1);
        assert_eq!(dead.count().await.unwrap().letters, 0);
        let delivery = take(&broker).await;
        assert_eq!(delivery.origin, Some(LaneKey { provider: volcengine(), lane: Lane::Bulk }));
        let mut message = delivery.message.clone();
        let progress = message.progress.take().expect("its run");
        assert_eq!(message, sent, "the body and all that the producer gave");
        assert!(progress.received_at >= then);
        assert_eq!(progress, Progress { run: run + 1, ..Progress::received(progress.received_at) });
        delivery.release().await.unwrap();
    }
}

pub async fn letters_that_agree_in_everything_are_each_one(house: &impl House) {
    let one = Grave::new("twin", "volcengine", "rejected");
    house.bury(&[one.clone(), one]).await;
    let dead = house.dead().await;
    assert_eq!(all(&dead).await.len(), 2);
    assert_eq!(sort(&dead, &|_, _| Fate::Purge).await, 2);
    assert_eq!(dead.count().await.unwrap().letters, 0);
}

pub async fn where_nothing_ever_died_there_is_nothing(house: &impl House) {
    for line in ["list", "redrive --yes", "purge --yes"] {
        let said = house.run(line).await;
        assert_eq!(said.code, Some(0), "{line}: {}", said.err);
        assert!(said.err.contains("no dead letter matches") || said.err.contains("0 of 0"), "{line}: {}", said.err);
    }
}
