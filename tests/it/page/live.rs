//! That it is live, and says so when it is not.

use std::time::Duration;

use roomsweep::model::ledger::Act;
use roomsweep::model::result::Outcome;
use roomsweep::model::suspension::SuspensionReason;
use roomsweep::ports::ledger::Ledger;

use super::{item, open, picture};
use crate::support::browser::Browser;
use crate::support::proxy::{Proxy, Way};
use crate::support::stage::{Books, OPEN, Stage, ago, batch};

#[tokio::test]
async fn a_change_shows_within_seconds_and_a_lost_server_is_told_of() {
    let mut stage = Stage::set(Books::Kept, OPEN).await;
    stage.incident().await;
    let browser = open(&stage).await;
    let shown = |class: &str, text: &str| {
        format!("{}.querySelector('.{class}').textContent.includes('{text}')", item("batch-list", "incident-2026"))
    };
    browser.until(&shown("over", "531 of 1,200")).await;
    stage.settle("incident-2026", Outcome::Dismissed, 600..700, 0).await;
    browser.until(&shown("over", "631 of 1,200")).await;
    stage.suspend("huawei", None, 4000).await;
    let state = format!("{}.querySelector('.state').textContent", item("provider-list", "huawei"));
    browser.until(&format!("{state} === '● Sending'")).await;
    stage.suspend("huawei", Some(SuspensionReason::Outage), 4000).await;
    browser.until(&format!("{state} === '▲ Suspended'")).await;
    assert_eq!(browser.console().await, [""; 0]);

    stage.ledger.leave("gone");
    browser.until("document.getElementById('verdict').textContent.includes('The ledger is away')").await;
    assert_eq!(browser.run(&format!("return {}", shown("over", "631 of 1,200"))).await, true, "what was known stays");
    stage.ledger.come_back();
    browser.until("!document.getElementById('verdict').textContent.includes('The ledger is away')").await;

    stage.stop().await;
    browser.until("document.body.dataset.live === 'no'").await;
    let live = browser.text("return document.getElementById('live').textContent").await;
    assert!(live.starts_with("▲ Not live since ") && live.contains("what stands here is of then"), "{live}");
    picture(&browser, "not-live").await;
}

#[tokio::test]
async fn a_page_that_lost_its_server_is_live_again_once_it_is_back() {
    let mut stage = Stage::set(Books::Kept, OPEN).await;
    let browser = open(&stage).await;
    stage.stop().await;
    browser.until("document.body.dataset.live === 'no'").await;
    stage.start_again().await;
    browser.until("document.body.dataset.live === 'yes'").await;
    assert_eq!(browser.text("return document.getElementById('live').textContent").await, "● Live");
}

#[tokio::test]
async fn a_server_that_is_slow_to_say_its_first_word_is_waited_for() {
    let stage = Stage::set(Books::Kept, OPEN).await;
    let proxy = Proxy::start(stage.address).await;
    let browser = Browser::start().await;
    browser.open(&format!("http://{}/", proxy.address)).await;
    browser.until("document.body.dataset.live === 'yes'").await;
    proxy.shut();
    proxy.cut();
    browser.until("document.body.dataset.live === 'no'").await;
    // Longer than a page that is live waits for a word.
    tokio::time::sleep(Duration::from_secs(6)).await;
    proxy.delay(Way::ToClient, Duration::from_millis(1500));
    proxy.open();
    browser.until("document.body.dataset.live === 'yes'").await;
}

#[tokio::test]
async fn the_focus_stays_where_it_is_when_another_batch_goes_down_the_list() {
    let stage = Stage::set(Books::Kept, OPEN).await;
    stage.incident().await;
    stage.batch("the-newest", Some(10), "volcengine", 5).await;
    let browser = open(&stage).await;
    let (newest, running) = (item("batch-list", "the-newest"), item("batch-list", "incident-2026"));
    browser.until(&format!("{newest} && {running}")).await;
    browser.run(&format!("{running}.querySelector('.cancel').focus()")).await;
    stage.settle("the-newest", Outcome::Dismissed, 0..10, 0).await;
    browser.until(&format!("{newest}.querySelector('.state').textContent === '✓ Finished'")).await;
    let focused = format!("return document.activeElement === {running}.querySelector('.cancel')");
    assert_eq!(browser.run(&focused).await, true);
    let order = "return [...document.querySelectorAll('#batch-list > li')].map((item) => item.dataset.key).join()";
    assert_eq!(browser.text(order).await, "unknown-size,incident-2026,huawei-rooms,the-newest,evening-cleanup");

    // Its own button goes with the cancelled batch, and leaves the focus to what it was part of.
    let act = Act { by: "mira".to_owned(), why: None, at: ago(0) };
    stage.ledger.cancel(&batch("incident-2026"), &act).await.unwrap();
    browser.until(&format!("{running}.querySelector('.cancel').hidden")).await;
    assert_eq!(browser.run(&format!("return document.activeElement === {running}")).await, true);
}
