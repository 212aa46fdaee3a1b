//! The ledger in a worker's life: RabbitMQ, PostgreSQL, and several real workers.

mod cancel;
mod dedupe;
mod outage;
mod pause;
mod start;

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use jiff::Timestamp;
use lapin::BasicProperties;
use roomsweep::adapters::postgres::PostgresLedger;
use roomsweep::model::ids::{BatchId, ProviderName};
use roomsweep::model::ledger::Act;
use roomsweep::ports::ledger::{Ledger, Migrate};
use serde_json::json;

use crate::flow::evidence::{self, Seen};
use crate::flow::stage::{self, Worker};
use crate::support::eventually;
use crate::support::rabbit::{Namespace, Published};
use crate::support::sandbox::Sandbox;

const SOON: Duration = Duration::from_secs(30);

/// Two providers, and `[ledger]` at `url` with `more` lines.
fn tables(sandbox: &Sandbox, url: &str, more: &str) -> String {
    let endpoint = sandbox.endpoint();
    let ledger = format!("[ledger]\nurl = '{url}'\n{more}\n");
    stage::volcengine(&endpoint, "") + &stage::huawei(&endpoint, "") + &ledger
}

async fn ledger(url: &str) -> Arc<dyn Ledger> {
    Arc::new(PostgresLedger::open(url, Migrate::Yes).await.expect("a ledger"))
}

fn batch(id: &str) -> BatchId {
    BatchId::parse(id).unwrap()
}

fn volcengine() -> ProviderName {
    ProviderName::parse("volcengine").unwrap()
}

fn act() -> Act {
    Act { by: "ops".into(), why: Some("incident 7".into()), at: stage::wall() }
}

/// Publishes jobs of one batch into the intake: their rooms are their IDs.
async fn publish(namespace: &Namespace, provider: &str, batch: &str, ids: impl IntoIterator<Item = String>) {
    let jobs: Vec<(String, Vec<u8>)> = ids
        .into_iter()
        .map(|id| {
            let job =
                json!({ "provider": provider, "app_id": "app-1", "room_id": id, "job_id": id, "batch_id": batch });
            (id, job.to_string().into_bytes())
        })
        .collect();
    let intake = namespace.of("jobs");
    let published = stream::iter(&jobs).map(|(id, body)| {
        namespace.publish("", &intake, body, BasicProperties::default().with_message_id(id.as_str().into()))
    });
    let published: Vec<Published> = published.buffer_unordered(200).collect().await;
    assert!(published.iter().all(|each| *each == Published::Confirmed));
}

fn ids(name: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{name}-{n}")).collect()
}

/// What of these arrived at the clouds after a moment.
async fn arrived_after(sandbox: &Sandbox, moment: Timestamp, name: &str) -> Vec<Seen> {
    let seen = evidence::seen(sandbox).await;
    seen.into_iter().filter(|seen| seen.at > moment && seen.room_id.starts_with(name)).collect()
}

/// Waits until the ledger says so many jobs of a batch are over.
async fn until_over(ledger: &Arc<dyn Ledger>, id: &str, jobs: u64, within: Duration) {
    eventually(&format!("{jobs} jobs of {id} in the ledger"), within, || async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let batch = ledger.batch(&batch(id)).await.expect("a ledger")?;
        (batch.over() >= jobs).then_some(())
    })
    .await;
}

/// Both take part; which of them sends for a provider is theirs to find out.
async fn two_workers(namespace: &Namespace, tables: &str) -> [Worker; 2] {
    [Worker::start(namespace, tables).await, Worker::start(namespace, tables).await]
}
