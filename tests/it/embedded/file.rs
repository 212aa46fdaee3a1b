//! The queue's file under other names, and one that is deleted or replaced while a worker is at work on it.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;

use super::{Desk, SOON};
use crate::support::process::Process;
use crate::support::{eventually, free_address, http};

/// A worker's configuration on the file of that name in the desk's folder, and where it is asked.
fn configuration(desk: &Desk, file: &str) -> (String, SocketAddr) {
    let admin = free_address();
    let path = desk.path(file);
    (format!("[queue]\npath = '{}'\n[admin]\nlisten = '{admin}'\n{}", path.display(), desk.read("base")), admin)
}

async fn desk() -> Desk {
    let desk = Desk::new("").await;
    desk.write("base", &desk.read("roomsweep.toml"));
    desk
}

async fn enqueue(desk: &Desk, rooms: &[&str]) -> super::Said {
    let mut arguments = vec!["enqueue", "--provider", "volcengine", "--app", "app"];
    arguments.extend(rooms.iter().flat_map(|room| ["--room", room]));
    desk.run(&arguments).await
}

async fn sent(desk: &Desk, room: &str) {
    eventually(room, SOON, async || (desk.requests().await.get(room) == Some(&1)).then_some(())).await;
}

#[tokio::test]
async fn one_sends_from_a_file_whatever_it_is_called_and_whatever_lies_beside_it() {
    let desk = desk().await;
    let rooms: Vec<String> = (0..40).map(|n| format!("room-{n}")).collect();
    let rooms: Vec<&str> = rooms.iter().map(String::as_str).collect();
    let (first, admin) = configuration(&desk, "roomsweep.db");
    let mut worker = Process::start(&["worker"], &first, &[]);
    worker.ready(admin).await;

    fs::create_dir(desk.path("elsewhere")).unwrap();
    symlink(desk.directory.path(), desk.path("folder")).unwrap();
    symlink("roomsweep.db", desk.path("link.db")).unwrap();
    fs::hard_link(desk.path("roomsweep.db"), desk.path("hard.db")).unwrap();
    fs::hard_link(desk.path("roomsweep.db"), desk.path("elsewhere/hard.db")).unwrap();
    let beside: Vec<String> = fs::read_dir(desk.directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("lock"))
        .collect();
    assert!(beside.is_empty(), "nothing that could be removed: {beside:?}");
    for name in ["roomsweep.db", "link.db", "hard.db", "elsewhere/hard.db", "folder/roomsweep.db"] {
        let (other, _) = configuration(&desk, name);
        let mut second = Process::start(&["worker"], &other, &[]);
        assert_eq!(second.ended(SOON).await.code(), Some(1), "{name}: {}", second.log());
        assert!(second.log().contains("a worker or a sweep is at work on this file"), "{name}: {}", second.log());
    }
    let said = enqueue(&desk, &rooms).await;
    assert_eq!(said.code, Some(0), "by the name of which it has a log: {}", said.err);
    desk.write("roomsweep.toml", &configuration(&desk, "hard.db").0);
    let said = enqueue(&desk, &["another"]).await;
    assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{}", said.err);
    assert!(said.err.contains("is a name of ") && said.err.contains("roomsweep.db"), "{}", said.err);

    eventually("all are settled", SOON, async || (desk.settled().await.len() == rooms.len()).then_some(())).await;
    assert!(desk.requests().await.values().all(|count| *count == 1), "each once");
    worker.kill();
    let (again, admin) = configuration(&desk, "link.db");
    let mut next = Process::start(&["worker"], &again, &[]);
    next.ready(admin).await;
}

#[tokio::test]
async fn a_worker_follows_its_path_to_whatever_file_is_there_and_says_what_it_left() {
    let desk = desk().await;
    let (first, admin) = configuration(&desk, "roomsweep.db");
    let mut worker = Process::start(&["worker"], &first, &[]);
    worker.ready(admin).await;
    let beside = |name: &str| desk.path(&format!("roomsweep.db{name}"));
    let remove = || ["", "-wal", "-shm"].map(|name| fs::remove_file(beside(name)).unwrap());

    let said = enqueue(&desk, &["first"]).await;
    assert_eq!(said.code, Some(0), "{}", said.err);
    sent(&desk, "first").await;
    remove();
    // Whoever comes while the path changes hands may be told that nothing is confirmed.
    let put = async |room: &str| {
        eventually(room, SOON, async || (enqueue(&desk, &[room]).await.code == Some(0)).then_some(())).await;
        sent(&desk, room).await;
    };
    put("deleted").await;

    let late = ["enqueue", "--provider", "volcengine", "--app", "app", "--room", "late"];
    let said = desk.run(&[&late[..], &["--not-before", "2099-01-01T00:00:00Z"]].concat()).await;
    assert_eq!(said.code, Some(0), "{}", said.err);
    fs::rename(beside(""), desk.path("away.db")).unwrap();
    put("moved").await;
    eventually("it says what it left", SOON, async || worker.log().contains("1 unsettled jobs").then_some(())).await;

    fs::remove_file(beside("-wal")).unwrap();
    put("parted").await;

    fs::write(desk.path("text"), "this is no database, but long enough to be looked at as if it were one").unwrap();
    fs::rename(desk.path("text"), beside("")).unwrap();
    eventually("not ready", SOON, async || {
        let reply = http::get(admin, "/readyz").await.ok()?;
        (reply.status == 503 && worker.log().contains("is not a queue of roomsweep")).then_some(())
    })
    .await;
    fs::remove_file(beside("")).unwrap();
    worker.ready(admin).await;
    put("mended").await;

    let (kept, _) = configuration(&desk, "away.db");
    desk.write("roomsweep.toml", &kept);
    let check = desk.run(&["check"]).await;
    assert!(check.out.contains("can be worked on"), "what was moved away is whole: {}", check.out);
}
