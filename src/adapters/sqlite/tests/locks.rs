//! Locks: SQLite's own are never dropped, the right to send is one, and a file is closed to its end.

use std::os::unix::fs::MetadataExt;

use futures_util::FutureExt;
use sqlx::Executor;

use super::*;

/// How many of SQLite's locks this process has on the file.
fn locks(path: &Path) -> usize {
    let end = format!(":{}", std::fs::metadata(path).unwrap().ino());
    let mine = std::process::id().to_string();
    let table = std::fs::read_to_string("/proc/locks").unwrap();
    let of_file = |line: &&str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.get(1) == Some(&"POSIX") && words.get(4) == Some(&mine.as_str()) && words[5].ends_with(&end)
    };
    table.lines().filter(of_file).count()
}

#[tokio::test]
async fn whoever_opens_and_closes_the_file_beside_leaves_the_others_locks() {
    let folder = Folder::new();
    let sender = folder.open(Part::Sender).await;
    assert_eq!(locks(&folder.path()), 1, "a connection has one on its database");
    let beside = folder.open(Part::Beside).await;
    assert_eq!(locks(&folder.path()), 1);
    beside.close().await;
    drop(folder.open(Part::Beside).await);
    let refused = open(&folder.path(), Part::Sender).await.err().expect("refused");
    assert!(matches!(refused, OpenError::NotClosed { .. }), "{refused}");
    assert_eq!(locks(&folder.path()), 1);
    sender.close().await;
    let next = folder.open_next().await;
    assert_eq!(locks(&folder.path()), 1);
    next.close().await;
}

#[tokio::test]
async fn a_file_is_closed_to_its_end_before_it_is_opened_to_send_again() {
    let folder = Folder::new();
    let queue = std::sync::Arc::new(folder.open(Part::Sender).await);
    let mut holder = connect(&folder.path()).await;
    holder.execute("BEGIN IMMEDIATE").await.unwrap();
    let writing = tokio::spawn({
        let queue = queue.clone();
        async move { queue.enqueue(&jobs(1), None).await }
    });
    while queue.store.write().now_or_never().is_some() {
        tokio::task::yield_now().await;
    }
    let closed = timeout(Duration::from_millis(50), queue.close()).await;
    assert!(closed.is_err(), "a statement hangs");
    let refused = open(&folder.path(), Part::Sender).await.err().expect("refused");
    assert!(matches!(refused, OpenError::NotClosed { .. }), "{refused}");
    assert!(locks(&folder.path()) > 0);

    holder.execute("COMMIT").await.unwrap();
    let written = writing.await.unwrap();
    let next = folder.open_next().await;
    assert_eq!(waiting(&next, Lane::Bulk).await, u64::from(written.is_ok()), "what was confirmed is there");
}

#[tokio::test]
async fn a_file_of_several_names_is_opened_by_the_one_beside_which_its_log_is() {
    let folder = Folder::new();
    let sender = folder.open(Part::Sender).await;
    let [other, link] = ["other.db", "link.db"].map(|name| folder.0.path().join(name));
    std::fs::hard_link(folder.path(), &other).unwrap();
    std::os::unix::fs::symlink(folder.path(), &link).unwrap();
    let refused = open(&other, Part::Beside).await.err().expect("refused");
    assert!(matches!(&refused, OpenError::OtherName { other, .. } if other.ends_with("queue.db")), "{refused}");
    for name in [&folder.path(), &link] {
        let beside = open(name, Part::Beside).await.unwrap();
        beside.enqueue(&jobs(1), None).await.unwrap();
        beside.close().await;
        let refused = open(name, Part::Sender).await.err().expect("refused");
        assert!(matches!(refused, OpenError::NotClosed { .. }), "{refused}");
    }
    assert_eq!(waiting(&sender, Lane::Bulk).await, 2);
}

#[tokio::test]
async fn a_name_that_sqlite_reads_as_something_else_is_a_path_all_the_same() {
    let folder = Folder::new();
    for name in ["file:queue.db?mode=memory", ":memory:", "a%20b.db"] {
        let path = folder.0.path().join(name);
        let queue = open(&path, Part::Sender).await.unwrap();
        queue.enqueue(&jobs(1), None).await.unwrap();
        queue.close().await;
        assert!(path.is_file(), "{name}");
    }
}
