//! Files from before there was a ledger.

use std::borrow::Cow;

use sqlx::migrate::Migrator;

use super::*;
use crate::adapters::sqlite::open::Schema;

const KEPT: &str = "INSERT INTO result (job_id, run, batch_id, provider, outcome, attempts, settled_at, json)
    VALUES (?, 1, 'b', 'p', 'dismissed', 1, 0, ?)";

/// A file as the first schema had it, with these results.
async fn old_file(path: &Path, results: &[String]) {
    std::fs::File::create(path).unwrap();
    let mut connection = connect(path).await;
    let first: Vec<_> = Schema::steps().into_iter().filter(|step| step.version == 1).collect();
    let migrator = Migrator { migrations: Cow::Owned(first), ..Migrator::DEFAULT };
    migrator.run_direct(&mut connection).await.unwrap();
    for (nr, json) in results.iter().enumerate() {
        sqlx::query(KEPT).bind(nr.to_string()).bind(json).execute(&mut connection).await.unwrap();
    }
}

fn json(result: &DismissResult) -> String {
    serde_json::to_string(result).unwrap()
}

#[tokio::test]
async fn what_an_older_file_settled_is_in_its_ledger_and_counted() {
    let folder = Folder::new();
    let mut results: Vec<DismissResult> =
        (0..1200).map(|n| result(&format!("j{n}"), 1, Outcome::Dismissed, n)).collect();
    results.push(result("j7", 2, Outcome::Rejected, 2000));
    let rows: Vec<String> = results.iter().map(json).collect();
    old_file(&folder.path(), &rows).await;

    let ledger = folder.open().await;
    let mut history = ledger.history(&HistoryFilter::default(), None, 5000).await.unwrap();
    history.reverse();
    assert_eq!(history, results);
    let batch = ledger.batch(&batch()).await.unwrap().expect("counted");
    let settled: Vec<(Outcome, u64)> = batch.settled.into_iter().collect();
    assert_eq!(settled, [(Outcome::Dismissed, 1199), (Outcome::Rejected, 1)]);
    assert_eq!((batch.first_settled_at, batch.last_settled_at), (Some(at(0)), Some(at(2000))));
    let filter = HistoryFilter { request_id: results[5].request_id.clone(), ..HistoryFilter::default() };
    assert_eq!(ledger.history(&filter, None, 5).await.unwrap(), results[5..6]);
}

#[tokio::test]
async fn they_are_brought_over_once_and_one_that_cannot_be_read_hinders_nobody() {
    let folder = Folder::new();
    let good = result("good", 1, Outcome::Dismissed, 5);
    old_file(&folder.path(), &["{}".into(), json(&good)]).await;
    let ledger = folder.open().await;
    assert_eq!(history(&ledger).await, std::slice::from_ref(&good));
    ledger.forget(Horizon { results: at(6), cancels: at(6) }, 100).await.unwrap();
    ledger.close().await;
    let mut connection = connect(&folder.path()).await;
    sqlx::query(KEPT).bind("late").bind(json(&good)).execute(&mut connection).await.unwrap();
    assert_eq!(history(&folder.open().await).await, []);
}
