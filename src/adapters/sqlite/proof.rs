//! A write that shows that the file takes writes.

use super::fault::Broken;
use super::store::Store;
use crate::ports::broker::BrokerError;

/// Writes the file's first page as it is, down to the disk.
pub async fn write(store: &Store) -> Result<(), BrokerError> {
    let mut write = store.write().await;
    let connection = write.begin().await?;
    let written = sqlx::query("PRAGMA user_version = 0").execute(connection).await;
    Ok(write.end(written.map(drop).map_err(Broken::Sql)).await?)
}
