//! The status page in a real browser.

mod act;
mod find;
mod live;
mod show;

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::browser::{Browser, Scheme};
use crate::support::http;
use crate::support::stage::Stage;

/// A browser that shows the page, live.
async fn open(stage: &Stage) -> Browser {
    let browser = Browser::start().await;
    browser.look(1200, 900, Scheme::Light).await;
    browser.open(&stage.url()).await;
    browser.until("document.body.dataset.live === 'yes'").await;
    browser
}

/// What the API answers.
async fn api(stage: &Stage, path: &str) -> Value {
    http::get(stage.address, path).await.expect("an answer").json()
}

/// A picture for people to look at.
async fn picture(browser: &Browser, name: &str) {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("page");
    fs::create_dir_all(&directory).expect("a directory");
    browser.picture(&directory.join(format!("{name}.png"))).await;
}

/// Nothing went wrong, and nothing was asked of anybody else.
async fn is_clean(browser: &Browser, stage: &Stage) {
    assert_eq!(browser.console().await, [""; 0]);
    let requests = browser.requests().await;
    assert!(requests.iter().any(|address| address.ends_with("/api/events")), "{requests:?}");
    let foreign: Vec<_> = requests.iter().filter(|address| !address.starts_with(&stage.url())).collect();
    assert!(foreign.is_empty(), "{foreign:?}");
}

/// A card or a batch by what it is called.
fn item(list: &str, name: &str) -> String {
    format!("[...document.querySelectorAll('#{list} > li')].find((item) => item.dataset.key === '{name}')")
}
