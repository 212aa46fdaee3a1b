//! The embedded queue's dead letters.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use roomsweep::adapters::sqlite::{Part, SqliteQueue};
use roomsweep::model::decode::decode;
use roomsweep::model::ids::JobId;
use roomsweep::ports::broker::Broker;
use roomsweep::ports::clock::Clock;
use roomsweep::ports::dead::DeadLetters;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};
use tempfile::TempDir;

use super::{Grave, House};
use crate::edges_rig::{SOON, job};
use crate::support::eventually;

pub struct Sqlite {
    path: PathBuf,
    directory: TempDir,
}

impl Sqlite {
    pub async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        Self { path: directory.path().join("queue.db"), directory }
    }

    async fn beside(&self) -> SqliteQueue {
        SqliteQueue::open(&self.path, Part::Beside, Clock::system()).await.expect("the file")
    }

    async fn file(&self) -> SqliteConnection {
        SqliteConnectOptions::new().filename(&self.path).connect().await.expect("the file")
    }
}

#[async_trait]
impl House for Sqlite {
    async fn open(&self) -> Arc<dyn Broker> {
        Arc::new(SqliteQueue::open(&self.path, Part::Sender, Clock::system()).await.expect("the file"))
    }

    async fn dead(&self) -> Arc<dyn DeadLetters> {
        Arc::new(self.beside().await)
    }

    async fn put(&self, _broker: &Arc<dyn Broker>, room: &str) {
        let job = decode(&job("volcengine", room), &JobId::parse(room).unwrap()).unwrap();
        self.beside().await.enqueue(&[job], None).await.expect("enqueued");
    }

    async fn bury(&self, graves: &[Grave]) {
        self.beside().await.close().await;
        let mut file = self.file().await;
        sqlx::query("BEGIN").execute(&mut file).await.expect("begun");
        for grave in graves {
            let properties = json!({"headers": {"x-error": grave.error}, "last_run": grave.last_run()});
            let insert = "INSERT INTO dead (job_id, provider, outcome, died_at, body, properties, tag)
                VALUES (?, ?, ?, ?, ?, ?, 'sweep-1')";
            let insert = sqlx::query(insert).bind(&grave.id).bind(&grave.provider).bind(grave.outcome);
            let insert = insert.bind(grave.settled_at.as_millisecond()).bind(&grave.body).bind(properties.to_string());
            insert.execute(&mut file).await.expect("inserted");
        }
        sqlx::query("COMMIT").execute(&mut file).await.expect("committed");
    }

    async fn take_all(&self) -> (Vec<String>, Vec<String>) {
        let mut file = self.file().await;
        let jobs = "DELETE FROM job WHERE tag IS NULL RETURNING job_id";
        let jobs = sqlx::query_scalar(jobs).fetch_all(&mut file).await.expect("jobs");
        let dead = sqlx::query_scalar("DELETE FROM dead RETURNING job_id").fetch_all(&mut file).await.expect("letters");
        (jobs, dead)
    }

    async fn redriven(&self) -> usize {
        let count = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM job").fetch_one(&mut self.file().await).await;
        usize::try_from(count.expect("a count")).expect("a count")
    }

    /// All is one transaction: there is no half-way to be seen.
    async fn half_way(&self) {
        tokio::time::sleep(Duration::from_millis(fastrand::u64(20..600))).await;
    }

    async fn results(&self, many: usize) -> Vec<Value> {
        eventually("results", SOON, || async {
            let mut file = self.file().await;
            let results: Vec<(i64, String)> = sqlx::query_as("SELECT seq, json FROM result ORDER BY seq")
                .fetch_all(&mut file)
                .await
                .expect("results");
            if results.len() < many {
                return None;
            }
            sqlx::query("DELETE FROM result").execute(&mut file).await.expect("deleted");
            Some(results.iter().map(|(_, json)| serde_json::from_str(json).expect("JSON")).collect())
        })
        .await
    }

    fn queue(&self) -> String {
        format!("[queue]\npath = '{}'\n", self.path.display())
    }

    fn directory(&self) -> &TempDir {
        &self.directory
    }
}
