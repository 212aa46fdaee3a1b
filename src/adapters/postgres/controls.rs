//! What operators asked for, and what senders tell.

use sqlx::PgConnection;

use super::fault::Trouble;
use super::row::{json, read};
use crate::model::ids::{BatchId, ProviderName};
use crate::model::ledger::{Act, Controls, SenderReport};

/// In one question: every replica asks it about once a second.
pub async fn controls(connection: &mut PgConnection) -> Result<Controls, Trouble> {
    let rows: Vec<(String, Option<String>)> = sqlx::query_as(
        "SELECT batch_id, NULL FROM batch WHERE cancelled_at IS NOT NULL UNION ALL SELECT provider, act FROM pause",
    )
    .fetch_all(connection)
    .await?;
    let mut controls = Controls::default();
    for (name, act) in rows {
        let unreadable = |error: crate::model::ids::IdError| Trouble::Unreadable("a control", error.to_string());
        match act {
            None => drop(controls.cancelled.insert(BatchId::parse(name).map_err(unreadable)?)),
            Some(act) => {
                let provider = ProviderName::parse(name).map_err(unreadable)?;
                controls.paused.insert(provider, read("who paused a provider", &act)?);
            }
        }
    }
    Ok(controls)
}

pub async fn pause(connection: &mut PgConnection, provider: &ProviderName, act: &Act) -> Result<(), Trouble> {
    sqlx::query("INSERT INTO pause (provider, act) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(provider.as_str())
        .bind(json(act))
        .execute(connection)
        .await?;
    Ok(())
}

pub async fn resume(connection: &mut PgConnection, provider: &ProviderName) -> Result<Option<Act>, Trouble> {
    let act: Option<String> = sqlx::query_scalar("DELETE FROM pause WHERE provider = $1 RETURNING act")
        .bind(provider.as_str())
        .fetch_optional(connection)
        .await?;
    act.map(|act| read("who paused a provider", &act)).transpose()
}

pub async fn report(connection: &mut PgConnection, report: &SenderReport) -> Result<(), Trouble> {
    sqlx::query(
        "INSERT INTO sender (provider, report) VALUES ($1, $2)
         ON CONFLICT (provider) DO UPDATE SET report = EXCLUDED.report",
    )
    .bind(report.provider.as_str())
    .bind(json(report))
    .execute(connection)
    .await?;
    Ok(())
}

pub async fn reports(connection: &mut PgConnection) -> Result<Vec<SenderReport>, Trouble> {
    let reports: Vec<String> =
        sqlx::query_scalar("SELECT report FROM sender ORDER BY provider").fetch_all(connection).await?;
    reports.iter().map(|json| read("a sender's report", json)).collect()
}
