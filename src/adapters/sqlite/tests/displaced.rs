//! A file that is deleted, moved, replaced or taken apart while it is open.

use std::fs;
use std::os::unix::fs::symlink;

use super::*;

/// What is done to the folder of a queue that is open.
type Harm = fn(&Path);

const PATH: &str = "queue.db";

fn remove(folder: &Path, names: &[&str]) {
    names.iter().for_each(|name| fs::remove_file(folder.join(name)).unwrap());
}

const HARMS: [(&str, Harm); 10] = [
    ("deleted", |folder| remove(folder, &[PATH])),
    ("deleted with all beside it", |folder| remove(folder, &[PATH, "queue.db-wal", "queue.db-shm"])),
    ("moved away", |folder| fs::rename(folder.join(PATH), folder.join("away.db")).unwrap()),
    ("replaced by another database", |folder| fs::rename(folder.join("new.db"), folder.join(PATH)).unwrap()),
    ("replaced by a text", |folder| {
        fs::write(folder.join("text"), "no database").unwrap();
        fs::rename(folder.join("text"), folder.join(PATH)).unwrap();
    }),
    ("overwritten by a text", |folder| fs::write(folder.join(PATH), "no database").unwrap()),
    ("cut to nothing", |folder| drop(fs::File::create(folder.join(PATH)).unwrap())),
    ("a link to another database", |folder| {
        fs::rename(folder.join(PATH), folder.join("away.db")).unwrap();
        symlink(folder.join("new.db"), folder.join(PATH)).unwrap();
    }),
    ("without its log", |folder| remove(folder, &["queue.db-wal"])),
    ("without the index of its log", |folder| remove(folder, &["queue.db-shm"])),
];

/// An open queue with three jobs, beside a database `new.db` with one.
async fn scene() -> (Folder, SqliteQueue) {
    let folder = Folder::new();
    let new = open(&folder.0.path().join("new.db"), Part::Beside).await.unwrap();
    new.enqueue(&[job("new")], None).await.unwrap();
    new.close().await;
    let queue = folder.open(Part::Sender).await;
    queue.enqueue(&jobs(3), None).await.unwrap();
    (folder, queue)
}

async fn is_whole(path: &Path) -> bool {
    let check = sqlx::query_scalar::<_, String>("PRAGMA integrity_check");
    check.fetch_one(&mut connect(path).await).await.unwrap() == "ok"
}

#[tokio::test]
async fn a_file_that_is_not_what_it_was_takes_nothing_more_and_ends_the_session() {
    for (harm, done) in HARMS {
        let (folder, queue) = scene().await;
        done(folder.0.path());
        let refused = queue.enqueue(&jobs(1), None).await;
        assert!(matches!(refused, Err(BrokerError::Lost(_))), "{harm}: {refused:?}");
        let lost = timeout(SOON, queue.lost()).await;
        assert!(matches!(lost, Ok(BrokerError::Lost(_))), "{harm}: noticed by itself");
        queue.close().await;
    }
}

#[tokio::test]
async fn what_is_committed_into_a_file_that_was_just_replaced_is_not_confirmed() {
    for (harm, done) in HARMS {
        let (folder, queue) = scene().await;
        let mut write = queue.store.write().await;
        write.begin().await.unwrap();
        done(folder.0.path());
        let ended: Result<(), BrokerError> = write.end(Ok(())).await;
        assert!(matches!(ended, Err(BrokerError::Lost(_))), "{harm}: {ended:?}");
        drop(write);
        queue.close().await;
    }
}

#[tokio::test]
async fn the_next_session_works_on_what_is_at_the_path_and_keeps_what_can_be_kept() {
    for (harm, done) in HARMS {
        let (folder, queue) = scene().await;
        done(folder.0.path());
        timeout(SOON, queue.lost()).await.unwrap();
        queue.close().await;
        let (path, away) = (folder.path(), folder.0.path().join("away.db"));
        let expected = match harm {
            "replaced by a text" => {
                let refused = open(&path, Part::Sender).await.err().expect("refused");
                assert!(matches!(refused, OpenError::NotADatabase { .. }), "{harm}: {refused}");
                continue;
            }
            // All of it stood in the log, and is written back from there.
            "overwritten by a text" | "cut to nothing" => 3,
            "without its log" | "without the index of its log" => 3,
            "replaced by another database" | "a link to another database" => 1,
            _ => 0,
        };
        let next = folder.open_next().await;
        assert_eq!(waiting(&next, Lane::Bulk).await, expected, "{harm}");
        next.enqueue(&[job("more")], None).await.unwrap();
        assert_eq!(waiting(&next, Lane::Bulk).await, expected + 1, "{harm}");
        next.close().await;
        assert!(is_whole(&path).await, "{harm}");
        if away.exists() {
            let moved = open(&away, Part::Sender).await.unwrap();
            assert_eq!(waiting(&moved, Lane::Bulk).await, 3, "{harm}: it took all along");
            moved.close().await;
        }
    }
}

#[tokio::test]
async fn a_file_in_a_folder_that_is_gone_comes_back_with_the_folder() {
    let (folder, queue) = scene().await;
    let away = folder.0.path().with_extension("away");
    fs::rename(folder.0.path(), &away).unwrap();
    timeout(SOON, queue.lost()).await.unwrap();
    queue.close().await;
    let refused = open(&folder.path(), Part::Sender).await.err().expect("refused");
    assert!(matches!(refused, OpenError::NotWritable { .. }), "{refused}");
    fs::rename(&away, folder.0.path()).unwrap();
    assert_eq!(waiting(&folder.open_next().await, Lane::Bulk).await, 3);
}

#[tokio::test]
async fn a_lost_file_is_opened_again_only_when_all_of_this_process_has_closed_it() {
    let (folder, queue) = scene().await;
    let beside = folder.open(Part::Beside).await;
    fs::remove_file(folder.0.path().join("queue.db-wal")).unwrap();
    timeout(SOON, queue.lost()).await.unwrap();
    queue.close().await;
    for part in [Part::Sender, Part::Beside] {
        let refused = open(&folder.path(), part).await.err().expect("refused");
        assert!(matches!(refused, OpenError::NotClosed { .. }), "{refused}");
    }
    beside.close().await;
    assert_eq!(waiting(&folder.open(Part::Sender).await, Lane::Bulk).await, 3);
}
