//! Bringing over what a queue settled before its file had a ledger.

use sqlx::SqliteConnection;

use super::record;
use crate::adapters::sqlite::fault::Broken;

/// So many are in memory at a time.
const PAGE: i64 = 500;

/// Whether the file has a ledger.
pub async fn has_ledger(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    let found = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'entry'";
    Ok(sqlx::query_scalar::<_, i64>(found).fetch_one(connection).await? > 0)
}

/// Records all results of the queue in the transaction that is open. One that cannot be read is left where it is.
pub async fn carry(connection: &mut SqliteConnection) -> Result<(), Broken> {
    let page = "SELECT seq, json FROM result WHERE seq > ? ORDER BY seq LIMIT ?";
    let mut after = 0;
    loop {
        let rows = sqlx::query_as::<_, (i64, String)>(page).bind(after).bind(PAGE);
        let rows = rows.fetch_all(&mut *connection).await?;
        let Some((last, _)) = rows.last() else { return Ok(()) };
        after = *last;
        let mut results = Vec::with_capacity(rows.len());
        for (seq, json) in &rows {
            match record::read(json) {
                Ok(result) => results.push(result),
                Err(error) => tracing::warn!(%error, seq, "a result of the queue stays out of the ledger"),
            }
        }
        record::record(connection, &results).await?;
    }
}
