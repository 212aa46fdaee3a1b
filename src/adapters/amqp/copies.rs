//! Copies of results for whoever asked with `reply_to`.
//!
//! The name of the queue is the asker's, and some names make the broker close the connection that publishes to them:
//! so copies have a connection of their own, opened when the first one is asked for, and their failure holds nothing up.

use std::time::Duration;

use lapin::BasicProperties;
use tokio::sync::Mutex;

use super::connection::{Link, News, Settings};
use super::publish::{Publisher, Routing};

/// A copy is not waited for longer.
const PATIENCE: Duration = Duration::from_secs(5);

pub struct Copies {
    settings: Settings,
    publisher: Mutex<Option<Publisher>>,
}

impl Copies {
    pub fn new(settings: Settings) -> Self {
        Self { settings, publisher: Mutex::default() }
    }

    /// Publishes a copy, or says in the log why not.
    pub async fn send(&self, reply_to: &str, body: &[u8], properties: BasicProperties) {
        match tokio::time::timeout(PATIENCE, self.publish(reply_to, body, properties)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(reply_to, error, "the copy of a result could not be sent"),
            Err(_) => tracing::warn!(reply_to, "the copy of a result was not confirmed in time"),
        }
    }

    async fn publish(&self, reply_to: &str, body: &[u8], properties: BasicProperties) -> Result<(), String> {
        let mut kept = self.publisher.lock().await;
        // Taken out: whatever goes wrong, the next copy finds a new connection.
        let publisher = match kept.take().filter(|publisher| publisher.link().is_open()) {
            Some(publisher) => publisher,
            None => {
                let news = News::default();
                let link = Link::open(&self.settings, "copies", news.clone()).await;
                Publisher::new(link.map_err(|error| error.to_string())?, news, self.settings.on_alarm)
            }
        };
        publisher
            .publish("", reply_to, Routing::Optional, body, properties)
            .await
            .map_err(|error| error.to_string())?;
        *kept = Some(publisher);
        Ok(())
    }

    /// Closes the connection, if there is one.
    pub async fn close(&self) {
        if let Some(publisher) = self.publisher.lock().await.take() {
            publisher.link().end().await;
        }
    }
}
