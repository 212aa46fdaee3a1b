//! What may be wrong with the file, and that each is told as what it is.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::super::fault::{Broken, Code, code};
use super::*;

async fn refused(path: &Path, part: Part) -> OpenError {
    let error = open(path, part).await.err().expect("refused");
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    error
}

#[tokio::test]
async fn nobody_else_may_read_the_file() {
    let folder = Folder::new();
    let queue = folder.open(Part::Sender).await;
    queue.enqueue(&jobs(1), None).await.unwrap();
    assert_eq!(fs::read_dir(folder.0.path()).unwrap().count(), 3, "there is nothing else");
    for name in ["queue.db", "queue.db-wal", "queue.db-shm"] {
        let mode = fs::metadata(folder.0.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn a_file_of_a_later_version_is_left_alone() {
    let folder = Folder::new();
    let queue = folder.open(Part::Sender).await;
    let mut write = queue.store.write().await;
    let connection = write.begin().await.unwrap();
    let later = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        VALUES (7, 'later', TRUE, x'00', 0)";
    sqlx::query(later).execute(connection).await.unwrap();
    write.end(Ok::<_, Broken>(())).await.unwrap();
    drop(write);
    queue.close().await;
    let error = refused(&folder.path(), Part::Beside).await;
    assert!(matches!(error, OpenError::Newer { found: 7, known: 3, .. }), "{error}");
}

#[tokio::test]
async fn a_folder_that_is_missing_and_a_file_that_is_none_are_told_apart() {
    let folder = Folder::new();
    for part in [Part::Sender, Part::Beside] {
        let error = refused(&folder.0.path().join("missing/queue.db"), part).await;
        assert!(matches!(error, OpenError::NotWritable { .. }), "{error}");
    }
    fs::write(folder.path(), "room_id\n".repeat(1000)).unwrap();
    let error = refused(&folder.path(), Part::Sender).await;
    assert!(matches!(error, OpenError::NotADatabase { .. }), "{error}");
    assert_eq!(fs::read(folder.path()).unwrap().len(), 8000, "it is as it was");
}

#[tokio::test]
async fn a_full_disk_loses_nothing() {
    let folder = Folder::new();
    let queue = folder.open(Part::Sender).await;
    queue.enqueue(&jobs(20), None).await.unwrap();
    limit(&queue, pages(&queue).await).await;
    let error = queue.enqueue(&jobs(1000), None).await.unwrap_err();
    assert!(matches!(error, BrokerError::Refused(_)), "{error}");
    assert_eq!(waiting(&queue, Lane::Bulk).await, 20);

    let mut source = lanes(&queue).await;
    let refused = loop {
        let delivery = take(&mut *source).await;
        let mut settlement = settlement(&delivery, Outcome::Dismissed);
        settlement.result.reason = Some("x".repeat(20_000));
        match delivery.settle(&settlement).await {
            Ok(()) => {}
            Err(Unended::Refused { delivery, .. }) => break *delivery,
            Err(error @ Unended::Failed(_)) => panic!("{error}"),
        }
    };
    drop(source);
    let before = waiting(&queue, Lane::Bulk).await;
    limit(&queue, 1_000_000).await;
    settle(refused, Outcome::Dismissed).await.expect("it is still in hand, and there is room again");
    assert_eq!(waiting(&queue, Lane::Bulk).await, before, "it is there once");
}

async fn pages(queue: &SqliteQueue) -> i64 {
    let mut connection = queue.store.read().await.unwrap();
    let count = sqlx::query_scalar("SELECT page_count FROM pragma_page_count");
    count.fetch_one(&mut *connection).await.unwrap()
}

async fn limit(queue: &SqliteQueue, pages: i64) {
    let mut write = queue.store.write().await;
    let connection = write.begin().await.unwrap();
    let limit = format!("PRAGMA max_page_count = {pages}");
    sqlx::query(&limit).fetch_all(connection).await.unwrap();
    write.end(Ok::<_, Broken>(())).await.unwrap();
}

#[tokio::test]
async fn a_file_that_may_only_be_read_is_told_so() {
    let folder = Folder::new();
    folder.open(Part::Sender).await.close().await;
    // The mode of a file means nothing to root: a connection that may not write shows what SQLite says.
    let options = SqliteConnectOptions::new().filename(folder.path()).read_only(true);
    let mut connection = options.connect().await.unwrap();
    let error = sqlx::query("DELETE FROM job").execute(&mut connection).await.unwrap_err();
    assert_eq!(code(&error), Code::NotWritable);
}
