//! A provider in trouble is nobody else's trouble.

use std::time::Duration;

use super::evidence::{self, assert_one_each};
use super::stage::{self, Worker, bulk};
use crate::support::sandbox::Sandbox;

/// Long enough for the hanging account to fill its flights, to time out, and to be suspended.
const JOBS: usize = 900;

#[tokio::test]
async fn an_account_that_hangs_changes_nothing_for_another() {
    let namespace = stage::namespace().await;
    let sandbox = Sandbox::start(&[]).await;
    sandbox.set_faults("[[rule]]\ncloud = 'huawei'\ndo = 'hang'\n").await;
    let tables = stage::volcengine(&sandbox.endpoint(), "") + &stage::huawei(&sandbox.endpoint(), "timeout = '10s'");
    let worker = Worker::start(&namespace, &tables).await;
    let (hanging, flowing) = (bulk("huawei", "hanging", 400), bulk("volcengine", "flowing", JOBS));
    stage::publish(&namespace, &hanging).await;
    stage::publish(&namespace, &flowing).await;

    let results = evidence::results_of(&namespace, &flowing, Duration::from_secs(90)).await;
    let stats = sandbox.stats().await;
    drop(worker);
    assert_one_each(&results, &flowing);
    let stuck = &stats["clouds"]["huawei"];
    assert!(stuck["arrived"].as_u64() >= Some(20), "the hanging account was sent to: {stuck}");
    assert_eq!(stuck["accepted"], 0, "it never answered: {stuck}");

    let seen = evidence::seen(&sandbox).await;
    let volcengine: Vec<_> = seen.iter().filter(|seen| seen.cloud == "volcengine").collect();
    // While the other account fills up, while it is full, and while it times out: never a pause.
    let longest = volcengine.windows(2).map(|pair| pair[1].t_us - pair[0].t_us).max().expect("requests") / 1000;
    let rate = evidence::mean_rate(volcengine);
    println!("beside a hanging account: {rate:.1} requests a second, never {longest} ms without; the other: {stuck}");
    assert!(rate > 45.0, "{rate}: the hanging account slows the other down");
}
