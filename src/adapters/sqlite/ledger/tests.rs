//! What the file keeps to beside the contract of every ledger.

mod carry;
mod displaced;
mod plans;
mod queue;
mod search;

use std::path::PathBuf;

use jiff::Timestamp;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::adapters::sqlite::fault;
use crate::adapters::sqlite::tests::connect;
use crate::model::result::Outcome;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("ledger.db")
    }

    async fn open(&self) -> SqliteLedger {
        SqliteLedger::open(&self.path()).await.expect("the file")
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// Of batch `b` at provider `p`, with one attempt of request ID `<job>-<run>`.
fn result(job: &str, run: u32, outcome: Outcome, second: i64) -> DismissResult {
    let attempt = json!({"at": at(second), "verdict": "dismissed", "http_status": 200,
        "request_id": format!("{job}-{run}"), "error": null, "duration_ms": 7});
    let result = json!({"job_id": job, "batch_id": "b", "provider": "p", "app_id": "a", "room_id": format!("r-{job}"),
        "lane": "bulk", "outcome": outcome, "request_id": format!("{job}-{run}"), "http_status": 200, "error": null,
        "attempts": 1, "run": run, "attempt_log": [attempt], "attempts_omitted": 0, "received_at": at(0),
        "settled_at": at(second), "reason": null, "requested_by": null, "labels": {}, "worker": "w"});
    serde_json::from_value(result).unwrap()
}

fn batch() -> BatchId {
    BatchId::parse("b").unwrap()
}

async fn history(ledger: &SqliteLedger) -> Vec<DismissResult> {
    ledger.history(&HistoryFilter::default(), None, 1000).await.unwrap()
}

#[tokio::test]
async fn what_only_the_operator_can_mend_is_told_apart() {
    let folder = Folder::new();
    let missing = SqliteLedger::open(&folder.0.path().join("missing/ledger.db")).await;
    assert!(matches!(missing, Err(OpenError::Unusable(_))));
    std::fs::write(folder.path(), "room_id\n".repeat(1000)).unwrap();
    assert!(matches!(SqliteLedger::open(&folder.path()).await, Err(OpenError::Unusable(_))));
    std::fs::remove_file(folder.path()).unwrap();
    folder.open().await.close().await;
    let later = "UPDATE _sqlx_migrations SET version = 7 WHERE version = 3";
    sqlx::query(later).execute(&mut connect(&folder.path()).await).await.unwrap();
    assert!(matches!(SqliteLedger::open(&folder.path()).await, Err(OpenError::Newer { found: 7, known: 3 })));
}

#[tokio::test]
async fn a_file_that_is_busy_or_full_passes_and_what_no_table_takes_is_refused() {
    let folder = Folder::new();
    let ledger = folder.open().await;
    let mut other = connect(&folder.path()).await;
    sqlx::query("PRAGMA busy_timeout = 0").execute(&mut other).await.unwrap();
    let mut turn = ledger.file().await.unwrap().write().await;
    turn.begin().await.unwrap();
    let busy = sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap_err();
    assert!(matches!(fault::ledger(&busy), LedgerError::Away(_)), "{busy}");
    turn.undo().await;
    drop(turn);
    let unfit = "INSERT INTO pause (provider, paused_at, paused_by) VALUES ('p', 'noon', 'me')";
    let unfit = sqlx::query(unfit).execute(&mut other).await.unwrap_err();
    assert!(matches!(fault::ledger(&unfit), LedgerError::Refused(_)), "{unfit}");

    let mut turn = ledger.file().await.unwrap().write().await;
    let writing = turn.begin().await.unwrap();
    sqlx::query("PRAGMA max_page_count = 1").fetch_all(writing).await.unwrap();
    turn.undo().await;
    drop(turn);
    let many: Vec<DismissResult> = (0..1000).map(|n| result(&n.to_string(), 1, Outcome::Dismissed, n)).collect();
    let full = ledger.record(&many).await.unwrap_err();
    assert!(matches!(&full, LedgerError::Away(why) if why.contains("full")), "{full}");
    assert_eq!((history(&ledger).await, ledger.batch(&batch()).await.unwrap()), (vec![], None), "all or nothing");
}

#[tokio::test]
async fn a_change_that_is_given_up_half_way_keeps_nobody_from_writing() {
    let folder = Folder::new();
    let (ledger, other) = (folder.open().await, folder.open().await);
    let mut turn = ledger.file().await.unwrap().write().await;
    turn.begin().await.unwrap();
    drop(turn);
    other.record(&[result("a", 1, Outcome::Dismissed, 5)]).await.unwrap();
    ledger.record(&[result("b", 1, Outcome::Dismissed, 6)]).await.unwrap();
    assert_eq!(history(&other).await.len(), 2);
}

#[tokio::test]
async fn a_ledger_that_was_closed_says_so() {
    let folder = Folder::new();
    let ledger = folder.open().await;
    ledger.close().await;
    let record = ledger.record(&[result("a", 1, Outcome::Dismissed, 5)]).await;
    assert!(matches!(record, Err(LedgerError::Away(_))));
    assert!(matches!(ledger.controls().await, Err(LedgerError::Away(_))));
}
