//! The PostgreSQL ledger while its server is stopped, killed and frozen.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use roomsweep::adapters::postgres::PostgresLedger;
use roomsweep::model::ids::BatchId;
use roomsweep::model::ledger::HistoryFilter;
use roomsweep::model::result::{DismissResult, Outcome};
use roomsweep::ports::ledger::{Ledger, LedgerError, Migrate};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::ledger::sample::{all, batch, of_batch, result};
use crate::support::cluster::Cluster;
use crate::support::eventually;

/// A connection that is refused is noticed within this.
const AT_ONCE: Duration = Duration::from_secs(2);
/// And one that does not answer.
const IN_A_MOMENT: Duration = Duration::from_secs(5);
/// And a call that was on its way when the server froze.
const SOON: Duration = Duration::from_secs(10);
const BACK_WITHIN: Duration = Duration::from_secs(30);

async fn open(cluster: &Cluster) -> PostgresLedger {
    PostgresLedger::open(&cluster.url(), Migrate::Yes).await.expect("a database")
}

/// Asks, and holds that it is away, and said so in time.
async fn is_away<T: std::fmt::Debug>(within: Duration, call: impl Future<Output = Result<T, LedgerError>>) {
    let begun = Instant::now();
    let answer = call.await;
    assert!(matches!(answer, Err(LedgerError::Away(_))), "{answer:?}");
    assert!(begun.elapsed() < within, "after {:?}", begun.elapsed());
}

async fn comes_back(ledger: &PostgresLedger, results: &[DismissResult]) {
    eventually("it takes results again", BACK_WITHIN, async || ledger.record(results).await.ok()).await;
}

#[tokio::test]
async fn a_stopped_server_is_away_and_comes_back_with_all_it_had() {
    let mut cluster = Cluster::start().await;
    let ledger = open(&cluster).await;
    let (before, after) = ([result("before", 1.0)], [result("after", 2.0)]);
    ledger.record(&before).await.unwrap();
    cluster.stop().await;
    is_away(AT_ONCE, ledger.record(&after)).await;
    is_away(AT_ONCE, ledger.controls()).await;
    is_away(AT_ONCE, ledger.history(&HistoryFilter::default(), None, 10)).await;
    cluster.restart().await;
    comes_back(&ledger, &after).await;
    assert_eq!(all(&ledger, &HistoryFilter::default(), 10).await, [after, before].concat());
    ledger.close().await;
}

#[tokio::test]
async fn a_frozen_server_is_noticed_and_leaves_nothing_locked() {
    let cluster = Cluster::start().await;
    let ledger = Arc::new(open(&cluster).await);
    // As many on their way as there are connections: none of them may be lost.
    let (stop, stopped) = watch::channel(false);
    let mut writers = JoinSet::new();
    for writer in 0..4 {
        let (ledger, stopped) = (ledger.clone(), stopped.clone());
        writers.spawn(async move {
            let mut n = 0;
            while !*stopped.borrow() {
                let begun = Instant::now();
                n += u32::from(ledger.record(&[result(&format!("job-{writer}-{n}"), 1.0)]).await.is_ok());
                assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
            }
            n
        });
    }
    sleep(Duration::from_millis(300)).await;
    cluster.freeze();
    sleep(SOON).await;
    is_away(IN_A_MOMENT, ledger.controls()).await;
    cluster.thaw();
    eventually("it answers", BACK_WITHIN, async || ledger.controls().await.ok()).await;
    comes_back(&ledger, &[result("after", 2.0)]).await;
    stop.send(true).unwrap();
    let mut written = 1;
    while let Some(ended) = writers.join_next().await {
        written += ended.unwrap();
    }
    let found = all(&*ledger, &HistoryFilter::default(), 1000).await.len();
    assert!(found >= written as usize && found <= written as usize + 4, "{found} of {written}");
    ledger.close().await;
}

/// As when an address moves to another server: what hangs never ends, and must not fill the pool.
#[tokio::test]
async fn connections_that_hang_for_ever_are_replaced() {
    let cluster = Cluster::start().await;
    let ledger = Arc::new(open(&cluster).await);
    let (frozen, is_frozen) = watch::channel(false);
    let mut callers = JoinSet::new();
    for _ in 0..8 {
        let (ledger, is_frozen) = (ledger.clone(), is_frozen.clone());
        callers.spawn(async move {
            // Who was between two calls then may not notice: an idle connection is tried before it is lent.
            while !*is_frozen.borrow() {
                let answer = ledger.controls().await;
                assert!(answer.is_ok() || *is_frozen.borrow(), "away before: {answer:?}");
            }
            eventually("it answers on another connection", BACK_WITHIN, async || ledger.controls().await.ok()).await;
        });
    }
    sleep(Duration::from_millis(300)).await;
    frozen.send(true).unwrap();
    cluster.freeze_sessions();
    while let Some(ended) = callers.join_next().await {
        ended.unwrap();
    }
    ledger.close().await;
}

const WRITERS: usize = 3;
const GROUP: usize = 50;
const KILLS: usize = 3;

/// What writer `writer` puts in as its group `n`: each job of it is in the group of another one too.
fn group(writer: usize, n: usize) -> Vec<DismissResult> {
    let outcome = if writer == 0 { Outcome::Dismissed } else { Outcome::AlreadyGone };
    (0..GROUP).map(|job| of_batch(&format!("job-{n}-{job}"), "b", outcome, 1.0 + writer as f64)).collect()
}

#[tokio::test]
async fn a_server_killed_while_being_written_to_keeps_all_it_confirmed_and_counts_once() {
    let mut cluster = Cluster::start().await;
    open(&cluster).await.close().await;
    let (stop, stopped) = watch::channel(false);
    let confirmed = Arc::new(AtomicUsize::new(0));
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (stopped, confirmed) = (stopped.clone(), confirmed.clone());
        let ledger = open(&cluster).await;
        writers.spawn(async move {
            let (mut n, mut failed) = (0, 0);
            while !*stopped.borrow() {
                // As the recorder does: the same again until it is confirmed.
                match ledger.record(&group(writer, n)).await {
                    Ok(()) => {
                        n += 1;
                        confirmed.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(LedgerError::Away(_)) => failed += 1,
                    Err(LedgerError::Refused(why)) => panic!("{why}"),
                }
            }
            ledger.close().await;
            (n, failed)
        });
    }
    for _ in 0..KILLS {
        let enough = confirmed.load(Ordering::Relaxed) + 4 * WRITERS;
        let more = async || (confirmed.load(Ordering::Relaxed) >= enough).then_some(());
        eventually("it is written to", BACK_WITHIN, more).await;
        cluster.kill();
        sleep(Duration::from_millis(200)).await;
        cluster.restart().await;
    }
    let enough = confirmed.load(Ordering::Relaxed) + 2 * WRITERS;
    let more = async || (confirmed.load(Ordering::Relaxed) >= enough).then_some(());
    eventually("all of them write again", BACK_WITHIN, more).await;
    stop.send(true).unwrap();
    let (mut groups, mut failed) = (Vec::new(), 0);
    while let Some(ended) = writers.join_next().await {
        let (n, failures) = ended.unwrap();
        groups.push(n);
        failed += failures;
    }
    assert!(failed >= KILLS, "each kill met a writer: {failed}");
    holds_all(&open(&cluster).await, &groups).await;
}

/// What was confirmed is there, and the counts are those of what is there.
async fn holds_all(ledger: &PostgresLedger, groups: &[usize]) {
    let id: BatchId = batch("b");
    let filter = HistoryFilter { batch: Some(id.clone()), ..HistoryFilter::default() };
    let found = all(ledger, &filter, 1000).await;
    let there: BTreeSet<&str> = found.iter().map(|result| result.job_id.as_str()).collect();
    assert_eq!(there.len(), found.len(), "each job once");
    let most = *groups.iter().max().unwrap();
    for n in 0..most {
        for job in 0..GROUP {
            assert!(there.contains(format!("job-{n}-{job}").as_str()), "group {n} was confirmed");
        }
    }
    let stands = ledger.batch(&id).await.unwrap().expect("a batch");
    assert_eq!(stands.over(), found.len() as u64);
    for (outcome, jobs) in &stands.settled {
        let there = found.iter().filter(|result| result.outcome == *outcome).count();
        assert_eq!(*jobs, there as u64, "{outcome}");
    }
}
