//! A worker that starts with a ledger that is of no use, or that is not there.

use std::fs;
use std::time::Duration;

use super::{SOON, ids, ledger, publish, tables, until_over};
use crate::flow::evidence;
use crate::flow::stage::{self, Worker};
use crate::support::cluster::Cluster;
use crate::support::eventually;
use crate::support::free_address;
use crate::support::rabbit::URL;
use crate::support::sandbox::Sandbox;

#[tokio::test]
async fn a_ledger_that_cannot_be_used_ends_the_worker_before_it_sends() {
    let namespace = stage::namespace().await;
    let sandbox = Sandbox::start(&[]).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ledger.db");
    fs::write(&file, "this is no database, and it is long enough to be seen as none at all ".repeat(40)).unwrap();
    let url = format!("sqlite://{}", file.display());
    let mut worker = Worker::launch(URL, &namespace, &tables(&sandbox, &url, ""), &[]);
    let status = worker.process.ended(SOON).await;
    assert_eq!(status.code(), Some(2), "{}", worker.process.log());
    assert!(worker.process.log().contains("cannot work with this ledger"), "{}", worker.process.log());
    assert_eq!(evidence::arrived(&sandbox).await, 0);
}

#[tokio::test]
async fn a_ledger_that_is_not_there_holds_nothing_up_for_long() {
    let namespace = stage::namespace().await;
    let sandbox = Sandbox::start(&[]).await;
    let url = format!("postgres://postgres:hush@{}/nothing", free_address());
    let worker = Worker::start(&namespace, &tables(&sandbox, &url, "")).await;
    publish(&namespace, "volcengine", "b", ids("alone", 30)).await;
    eventually("all are sent", SOON, || async { (evidence::arrived(&sandbox).await == 30).then_some(()) }).await;
    let log = worker.process.log();
    assert!(!log.contains("hush"), "{log}");
    worker.stop().await;
}

/// As after a restore: the server is back before its databases are.
#[tokio::test]
async fn a_ledger_that_is_of_no_use_later_on_is_looked_at_again_until_it_is() {
    let mut cluster = Cluster::start().await;
    let namespace = stage::namespace().await;
    let sandbox = Sandbox::start(&[]).await;
    let url = format!("postgres://postgres@{}/restored", cluster.address());
    cluster.stop().await;
    let worker = Worker::start(&namespace, &tables(&sandbox, &url, "")).await;
    publish(&namespace, "volcengine", "b", ids("late", 10)).await;
    tokio::time::sleep(Duration::from_secs(7)).await;
    cluster.restart().await;
    let says = async |what: &str| {
        eventually(what, SOON, async || worker.process.log().contains(what).then_some(())).await;
    };
    says("the ledger is of no use").await;
    let mut server = crate::support::database::connect(&cluster.url()).await.expect("the server");
    sqlx::query("CREATE DATABASE restored").execute(&mut server).await.expect("a database");
    says("the ledger is there").await;
    until_over(&ledger(&url).await, "b", 10, SOON).await;
    let log = worker.process.log();
    assert_eq!(log.matches("the ledger is of no use").count(), 1, "{log}");
    worker.stop().await;
}
