//! What operators asked for, and what senders tell of themselves.

use sqlx::SqliteConnection;

use super::record::json;
use crate::adapters::sqlite::fault::Broken;
use crate::adapters::sqlite::row::{nanoseconds, timestamp};
use crate::model::ids::{BatchId, ProviderName};
use crate::model::ledger::{Act, Controls, SenderReport};

type Paused = (String, String, Option<String>, i64);

pub async fn all(connection: &mut SqliteConnection) -> Result<Controls, Broken> {
    let mut controls = Controls::default();
    let cancelled = "SELECT id FROM batch WHERE cancelled_at IS NOT NULL";
    for id in sqlx::query_scalar::<_, String>(cancelled).fetch_all(&mut *connection).await? {
        controls.cancelled.insert(BatchId::parse(id).map_err(|error| Broken::unreadable("a batch", &error))?);
    }
    let paused = "SELECT provider, paused_by, why, paused_at FROM pause";
    for row in sqlx::query_as::<_, Paused>(paused).fetch_all(connection).await? {
        let provider = ProviderName::parse(&row.0).map_err(|error| Broken::unreadable("a pause", &error))?;
        controls.paused.insert(provider, act(row));
    }
    Ok(controls)
}

fn act((_, by, why, at): Paused) -> Act {
    Act { by, why, at: timestamp(at) }
}

pub async fn pause(connection: &mut SqliteConnection, provider: &ProviderName, act: &Act) -> Result<(), Broken> {
    let pause = "INSERT INTO pause (provider, paused_at, paused_by, why) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING";
    let pause = sqlx::query(pause).bind(provider.as_str()).bind(nanoseconds(act.at)).bind(&act.by).bind(&act.why);
    pause.execute(connection).await?;
    Ok(())
}

pub async fn resume(connection: &mut SqliteConnection, provider: &ProviderName) -> Result<Option<Act>, Broken> {
    let resume = "DELETE FROM pause WHERE provider = ? RETURNING provider, paused_by, why, paused_at";
    let ended = sqlx::query_as::<_, Paused>(resume).bind(provider.as_str()).fetch_optional(connection).await?;
    Ok(ended.map(act))
}

pub async fn report(connection: &mut SqliteConnection, report: &SenderReport) -> Result<(), Broken> {
    let told = sqlx::query("INSERT OR REPLACE INTO sender (provider, report) VALUES (?, ?)");
    told.bind(report.provider.as_str()).bind(json(report)?).execute(connection).await?;
    Ok(())
}

pub async fn reports(connection: &mut SqliteConnection) -> Result<Vec<SenderReport>, Broken> {
    let told = sqlx::query_scalar::<_, String>("SELECT report FROM sender ORDER BY provider");
    let told = told.fetch_all(connection).await?;
    let read = |json: &String| serde_json::from_str(json).map_err(|error| Broken::unreadable("a report", &error));
    told.iter().map(read).collect()
}
