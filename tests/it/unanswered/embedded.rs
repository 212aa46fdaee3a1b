//! A queue's file that another process does not let go of.

use std::time::Duration;

use rustix::process::Signal;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor};

use crate::edges_rig::VOLCENGINE;
use crate::support::process::Process;
use crate::support::{eventually, free_address, http};

const SOON: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_file_that_takes_no_writes_is_told_until_it_takes_them_again() {
    let admin = free_address();
    let tables = VOLCENGINE.replace("ENDPOINT", "http://127.0.0.1:1");
    let configuration = format!("[admin]\nlisten = '{admin}'\n{tables}");
    let mut worker = Process::start(&["worker"], &configuration, &[]);
    worker.ready(admin).await;
    let file = SqliteConnectOptions::new().filename(worker.directory().join("roomsweep.db"));
    let mut other = file.connect().await.unwrap();
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let reply = eventually("not ready", SOON, || async {
        http::get(admin, "/readyz").await.ok().filter(|reply| reply.status == 503)
    })
    .await;
    assert!(reply.body.contains("the queue file has confirmed no write for 10s"), "{}", reply.body);
    other.execute("COMMIT").await.unwrap();
    worker.ready(admin).await;
    assert!(worker.log().contains("the queue file confirms writes again"), "{}", worker.log());
    let written: i64 = sqlx::query_scalar("SELECT count(*) FROM job").fetch_one(&mut other).await.unwrap();
    assert_eq!(written, 0, "a proof leaves nothing behind");
    other.close().await.unwrap();
    worker.signal(Signal::TERM);
    assert!(worker.ended(SOON).await.success());
}
