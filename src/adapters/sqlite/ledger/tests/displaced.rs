//! A ledger whose file is deleted, replaced or damaged while results come.

use super::*;

fn one(job: &str) -> [DismissResult; 1] {
    [result(job, 1, Outcome::Dismissed, 5)]
}

/// Records until it is recorded: the first to notice may be told that the file is away.
async fn recorded(ledger: &SqliteLedger, job: &str) {
    let record = async {
        while let Err(error) = ledger.record(&one(job)).await {
            assert!(matches!(error, LedgerError::Away(_)), "{error}");
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), record).await.expect("recorded");
}

#[tokio::test]
async fn results_and_questions_follow_the_path_to_another_file() {
    let folder = Folder::new();
    let ledger = folder.open().await;
    recorded(&ledger, "first").await;
    for job in ["second", "third"] {
        std::fs::rename(folder.path(), folder.0.path().join(job)).unwrap();
        recorded(&ledger, job).await;
        let [kept] = &history(&ledger).await[..] else { panic!("one result in a new file") };
        assert_eq!(kept.job_id.as_str(), job);
    }
    std::fs::remove_file(folder.path()).unwrap();
    let other = loop {
        // This process opens the path anew only when it has closed what was there.
        match SqliteLedger::open(&folder.path()).await {
            Ok(other) => break other,
            Err(_) => drop(ledger.controls().await),
        }
    };
    other.record(&one("other")).await.unwrap();
    while ledger.controls().await.is_err() {
        tokio::task::yield_now().await;
    }
    assert_eq!(history(&ledger).await.len(), 1, "what another one wrote into the new file");
}

#[tokio::test]
async fn a_ledger_that_is_no_database_any_more_is_away_and_refuses_no_result() {
    let folder = Folder::new();
    let ledger = folder.open().await;
    let text = folder.0.path().join("text");
    std::fs::write(&text, "no database").unwrap();
    std::fs::rename(text, folder.path()).unwrap();
    for _ in 0..3 {
        let refused = ledger.record(&one("job")).await;
        assert!(matches!(refused, Err(LedgerError::Away(_))), "{refused:?}");
    }
    std::fs::remove_file(folder.path()).unwrap();
    recorded(&ledger, "job").await;
}
