//! Searches that take long.

use std::time::Duration;

use tokio::time::timeout;

use super::*;

/// It has no end.
const ENDLESS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_search_that_is_given_up_ends_and_the_next_one_is_answered() {
    let folder = Folder::new();
    let ledger = folder.open().await;
    let file = ledger.file().await.unwrap();
    let endless = async {
        let mut search = file.search().await.unwrap();
        sqlx::query_scalar::<_, i64>(ENDLESS).fetch_one(&mut *search).await
    };
    assert!(timeout(Duration::from_millis(100), endless).await.is_err());
    assert_eq!(timeout(SOON, history(&ledger)).await.expect("its turn"), []);
    timeout(SOON, ledger.close()).await.expect("closed");
}

#[tokio::test]
async fn nobody_but_other_searches_waits_for_a_search() {
    let folder = Folder::new();
    let ledger = folder.open().await;
    let file = ledger.file().await.unwrap();
    let search = file.search().await.unwrap();
    let others = async {
        ledger.controls().await.unwrap();
        ledger.batches(10).await.unwrap();
        ledger.settled(&[JobId::parse("one").unwrap()]).await.unwrap();
        ledger.record(&[result("one", 1, Outcome::Dismissed, 5)]).await.unwrap();
    };
    timeout(SOON, others).await.expect("answers");
    assert!(timeout(Duration::from_millis(100), history(&ledger)).await.is_err());
    drop(search);
    assert_eq!(history(&ledger).await.len(), 1);
}
