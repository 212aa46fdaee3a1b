//! A database of a test's own in the PostgreSQL that `tests/run` brings.

use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor, PgConnection};
use uuid::Uuid;

/// Where it listens; whoever comes is let in as postgres.
pub const SERVER: &str = "postgres://postgres@127.0.0.1:5432";

/// Empty at first, dropped with all that is in it.
pub struct Database {
    name: String,
    url: String,
}

impl Database {
    pub async fn new() -> Self {
        let name = format!("roomsweep_test_{}", Uuid::now_v7().simple());
        // Nobody is ever connected to this template, which would be in the way.
        on_server(&format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")).await.expect("a PostgreSQL");
        let url = format!("{SERVER}/{name}");
        Self { name, url }
    }

    /// For `ledger.url`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its name in the server.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A connection beside those of what is tested.
    pub async fn connect(&self) -> PgConnection {
        connect(&self.url).await.expect("our own database")
    }
}

/// A connection that logs nothing.
pub async fn connect(url: &str) -> Result<PgConnection, sqlx::Error> {
    PgConnectOptions::from_str(url)?.disable_statement_logging().connect().await
}

async fn on_server(statement: &str) -> Result<(), sqlx::Error> {
    let mut connection = connect(&format!("{SERVER}/postgres")).await?;
    connection.execute(statement).await?;
    connection.close().await
}

impl Drop for Database {
    fn drop(&mut self) {
        let statement = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        // A thread of its own: a test's runtime cannot wait within a drop.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(on_server(&statement)).map_err(std::io::Error::other)
        });
        if !matches!(dropped.join(), Ok(Ok(()))) {
            eprintln!("the database {} could not be dropped", self.name);
        }
    }
}
