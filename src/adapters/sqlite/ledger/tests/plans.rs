//! Which index answers which question: at ten million rows the others would take seconds.

use super::*;
use crate::adapters::sqlite::ledger::history::question;
use crate::model::ids::{AppId, RequestId, RoomId};
use crate::model::ledger::Cursor;

/// The steps that SQLite would take.
async fn plan(ledger: &SqliteLedger, filter: &HistoryFilter, after: Option<&Cursor>) -> String {
    let sql = format!("EXPLAIN QUERY PLAN {}", question(filter, after, 50).sql());
    let file = ledger.file().await.unwrap();
    let mut connection = file.read().await.unwrap();
    let steps: Vec<(i64, i64, i64, String)> = sqlx::query_as(&sql).fetch_all(&mut *connection).await.unwrap();
    steps.into_iter().map(|(.., step)| step).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn every_question_follows_the_index_that_leaves_the_fewest_rows() {
    let folder = Folder::new();
    let ledger = folder.open().await;
    let none = HistoryFilter::default();
    let room = HistoryFilter { room: Some(RoomId::parse("r").unwrap()), ..none.clone() };
    let batch = HistoryFilter { batch: Some(BatchId::parse("b").unwrap()), ..none.clone() };
    let job = HistoryFilter { job: Some(JobId::parse("j").unwrap()), ..none.clone() };
    let request_id = HistoryFilter { request_id: Some(RequestId::parse("q").unwrap()), ..none.clone() };
    let app = HistoryFilter { app: Some(AppId::parse("a").unwrap()), ..none.clone() };
    let provider = HistoryFilter { provider: Some(ProviderName::parse("p").unwrap()), ..none.clone() };
    let failures = HistoryFilter { outcomes: vec![Outcome::Rejected, Outcome::Exhausted], ..none.clone() };
    let gone = HistoryFilter { outcomes: vec![Outcome::AlreadyGone], ..none.clone() };
    let done = HistoryFilter { outcomes: vec![Outcome::Dismissed], ..none.clone() };
    let with_more = |filter: &HistoryFilter| HistoryFilter {
        provider: Some(ProviderName::parse("p").unwrap()),
        app: Some(AppId::parse("a").unwrap()),
        since: Some(at(1)),
        until: Some(at(9)),
        ..filter.clone()
    };
    let cursor = Cursor { settled_at: at(5), job: JobId::parse("j").unwrap(), run: 1 };
    for (filter, index) in [
        (&none, "entry_recent"),
        (&room, "entry_room"),
        (&batch, "entry_batch"),
        (&job, "sqlite_autoindex_entry_1"),
        (&request_id, "attempt_request"),
        (&app, "entry_app"),
        (&provider, "entry_provider"),
        (&failures, "entry_failed"),
        (&gone, "entry_failed"),
        (&done, "entry_recent"),
    ] {
        for after in [None, Some(&cursor)] {
            let plan = plan(&ledger, filter, after).await;
            assert!(plan.contains(index) && !plan.contains("SCAN entry\n"), "{filter:?}: {plan}");
        }
        let more = with_more(filter);
        let expected = if matches!(index, "entry_recent" | "entry_provider") { "entry_app" } else { index };
        let plan = plan(&ledger, &more, Some(&cursor)).await;
        assert!(plan.contains(expected), "{more:?}: {plan}");
    }
}

#[tokio::test]
async fn pages_follow_their_index_and_sort_only_what_was_settled_at_the_same_moment() {
    let folder = Folder::new();
    let ledger = folder.open().await;
    let none = HistoryFilter::default();
    let plan = plan(&ledger, &none, None).await;
    assert!(plan.contains("SCAN entry USING INDEX entry_recent"), "{plan}");
    assert_eq!(plan.matches("USE TEMP B-TREE FOR ORDER BY").count(), 1, "only of the page itself: {plan}");
}

#[tokio::test]
async fn retention_finds_what_is_old_and_which_batches_are_empty_by_index() {
    let folder = Folder::new();
    let ledger = folder.open().await;
    let file = ledger.file().await.unwrap();
    let mut connection = file.read().await.unwrap();
    for (statement, index) in forget::STATEMENTS {
        let sql = format!("EXPLAIN QUERY PLAN {statement}");
        let steps: Vec<(i64, i64, i64, String)> = sqlx::query_as(&sql).fetch_all(&mut *connection).await.unwrap();
        let plan: Vec<String> = steps.into_iter().map(|(.., step)| step).collect();
        assert!(plan.iter().any(|step| step.contains(index)), "{statement}: {plan:?}");
    }
}
