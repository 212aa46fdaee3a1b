//! A ledger and a queue in one file.

use super::*;
use crate::adapters::sqlite::{Part, SqliteQueue};
use crate::model::decode::decode;
use crate::model::job::DismissJob;
use crate::ports::broker::{Broker, BrokerError, ProviderKnown, Settlement, Unended};
use crate::ports::clock::Clock;

fn job(id: &str) -> DismissJob {
    let body = format!(r#"{{"provider": "p", "app_id": "a", "room_id": "r-{id}", "batch_id": "b"}}"#);
    decode(body.as_bytes(), &JobId::parse(id).unwrap()).unwrap()
}

async fn queue(folder: &Folder) -> SqliteQueue {
    SqliteQueue::open(&folder.path(), Part::Sender, Clock::system()).await.unwrap()
}

/// Settles whatever waits, all at once, with `of` each.
async fn settle_all(queue: &SqliteQueue, of: impl Fn(&str) -> DismissResult) -> Vec<Result<(), Unended>> {
    let provider = ProviderName::parse("p").unwrap();
    let mut settled = tokio::task::JoinSet::new();
    while let Some(delivery) = queue.pull(&provider).await.unwrap() {
        let result = of(delivery.message.message_id.as_deref().unwrap());
        let settlement = Settlement { result, provider_known: ProviderKnown::Yes };
        settled.spawn(async move { delivery.settle(&settlement).await });
    }
    settled.join_all().await
}

fn before(second: i64) -> Horizon {
    Horizon { results: at(second), cancels: at(second) }
}

async fn kept(folder: &Folder) -> i64 {
    let mut connection = connect(&folder.path()).await;
    sqlx::query_scalar("SELECT count(*) FROM result").fetch_one(&mut connection).await.unwrap()
}

#[tokio::test]
async fn a_job_that_is_settled_is_in_the_ledger_of_its_file_at_once() {
    let folder = Folder::new();
    let (queue, ledger) = (queue(&folder).await, folder.open().await);
    let jobs: Vec<DismissJob> = (0..20).map(|n| job(&format!("j{n:02}"))).collect();
    queue.enqueue(&jobs, None).await.unwrap();
    let outcome = |id: &str| if id == "j03" { Outcome::Rejected } else { Outcome::Dismissed };
    let done = settle_all(&queue, |id| result(id, 1, outcome(id), 5)).await;
    assert!(done.iter().all(Result::is_ok));
    let batch = ledger.batch(&batch()).await.unwrap().expect("counted");
    let settled: Vec<(Outcome, u64)> = batch.settled.into_iter().collect();
    assert_eq!(settled, [(Outcome::Dismissed, 19), (Outcome::Rejected, 1)]);
    assert_eq!((history(&ledger).await.len(), kept(&folder).await), (20, 20));
}

#[tokio::test]
async fn a_job_is_settled_in_queue_and_ledger_or_in_neither() {
    let folder = Folder::new();
    let (queue, ledger) = (queue(&folder).await, folder.open().await);
    queue.enqueue(&[job("one")], None).await.unwrap();
    let mut connection = connect(&folder.path()).await;
    let broken = "CREATE TRIGGER broken BEFORE INSERT ON entry BEGIN SELECT raise(ABORT, 'no'); END";
    sqlx::query(broken).execute(&mut connection).await.unwrap();
    let done = settle_all_once(&queue).await;
    assert!(matches!(done, Err(Unended::Failed(BrokerError::Lost(_)))), "{done:?}");
    assert_eq!(kept(&folder).await, 0);
    sqlx::query("DROP TRIGGER broken").execute(&mut connection).await.unwrap();
    // What went wrong ended the session.
    tokio::join!(queue.close(), ledger.close());
    let (queue, ledger) = (self::queue(&folder).await, folder.open().await);
    settle_all_once(&queue).await.unwrap();
    assert_eq!((history(&ledger).await.len(), kept(&folder).await), (1, 1));
}

async fn settle_all_once(queue: &SqliteQueue) -> Result<(), Unended> {
    let delivery = queue.pull(&ProviderName::parse("p").unwrap()).await.unwrap().expect("a job");
    let result = result("one", 1, Outcome::Dismissed, 5);
    delivery.settle(&Settlement { result, provider_known: ProviderKnown::Yes }).await
}

#[tokio::test]
async fn what_is_forgotten_leaves_the_queue_too_but_for_sweeps_that_go_on() {
    let folder = Folder::new();
    let (queue, ledger) = (queue(&folder).await, folder.open().await);
    queue.enqueue(&[job("plain-1"), job("plain-2"), job("plain-3")], None).await.unwrap();
    let over = queue.begin_sweep("over", &[job("over")]).await.unwrap();
    let open = queue.begin_sweep("open", &[job("open"), job("later")]).await.unwrap();
    settle_all(&queue, |id| result(id, 1, Outcome::Dismissed, if id == "plain-3" { 50 } else { 5 })).await;
    queue.finish_sweep(&over.tag).await.unwrap();

    assert_eq!(ledger.forget(before(10), 2).await.unwrap(), 2, "in steps");
    assert_eq!((history(&ledger).await.len(), kept(&folder).await), (4, 4));
    while ledger.forget(before(10), 2).await.unwrap() > 0 {}
    assert_eq!((history(&ledger).await.len(), kept(&folder).await), (1, 3));
    assert_eq!(queue.tally(&over.tag).await.unwrap().over(), 0);
    assert_eq!(queue.tally(&open.tag).await.unwrap().over(), 2, "whoever goes on with it counts them");
    queue.finish_sweep(&open.tag).await.unwrap();
    while ledger.forget(before(10), 2).await.unwrap() > 0 {}
    assert_eq!(kept(&folder).await, 1, "what is not old");
}

#[tokio::test]
async fn a_row_that_cannot_be_read_keeps_no_job_from_being_settled() {
    let folder = Folder::new();
    let (queue, ledger) = (queue(&folder).await, folder.open().await);
    ledger.record(&[result("one", 1, Outcome::Rejected, 3), result("one", 2, Outcome::Rejected, 4)]).await.unwrap();
    let mut connection = connect(&folder.path()).await;
    sqlx::query("UPDATE entry SET result = '{' WHERE run = 1").execute(&mut connection).await.unwrap();
    queue.enqueue(&[job("one"), job("two")], None).await.unwrap();
    let done = settle_all(&queue, |id| result(id, 2, Outcome::Dismissed, 5)).await;
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    let settled = ledger.settled(&[JobId::parse("one").unwrap(), JobId::parse("two").unwrap()]).await.unwrap();
    assert!(settled.iter().all(|result| result.outcome == Outcome::Dismissed) && settled.len() == 2, "{settled:?}");
}
