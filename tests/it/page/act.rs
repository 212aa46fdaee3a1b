//! Cancel, pause and resume: asked for, and then done.

use roomsweep::app::admin::Exposure;
use roomsweep::ports::ledger::Ledger;

use super::{item, open, picture};
use crate::support::browser::{Scheme, key};
use crate::support::stage::{Books, OPEN, Stage, batch, provider};

const ASKS: &str = "document.getElementById('ask').open";
const QUESTION: &str = "return document.getElementById('ask').innerText";
const FOCUSED: &str = "return document.activeElement.id || document.activeElement.textContent";

#[tokio::test]
async fn a_batch_is_cancelled_by_keyboard_after_a_question_that_tells_what_is_left() {
    let stage = Stage::set(Books::Kept, OPEN).await;
    stage.incident().await;
    let browser = open(&stage).await;
    let button = format!("{}.querySelector('.cancel')", item("batch-list", "incident-2026"));
    browser.until(&button).await;
    // From the top, by the tabulator alone.
    browser.run("document.activeElement.blur()").await;
    let reached = format!("return document.activeElement === {button}");
    let mut steps = 0;
    while browser.run(&reached).await == false {
        browser.press(key::TAB).await;
        let outline = "const style = getComputedStyle(document.activeElement); return style.outlineStyle !== 'none' || document.activeElement === document.body";
        assert_eq!(browser.run(outline).await, true, "the focus is seen");
        steps += 1;
        assert!(steps < 60, "not reached by keyboard");
    }
    browser.press(key::ENTER).await;
    browser.until(ASKS).await;
    let question = browser.text(QUESTION).await;
    assert!(question.contains("Cancel batch incident-2026?") && question.contains("669 jobs are left"), "{question}");
    assert_eq!(browser.text(FOCUSED).await, "ask-why");
    picture(&browser, "cancel").await;
    browser.press(key::ESCAPE).await;
    browser.until(&format!("!{ASKS}")).await;
    assert_eq!(browser.run(&reached).await, true, "the focus is back");
    assert!(stage.ledger.controls().await.unwrap().cancelled.is_empty(), "nothing was done");

    browser.press(key::ENTER).await;
    browser.until(ASKS).await;
    browser.press(key::ENTER).await;
    assert_eq!(browser.run(&format!("return {ASKS}")).await, true, "a reason is wanted");
    browser.press(&format!("wrong <b>list</b>{}mira{}", key::TAB, key::ENTER)).await;
    browser.until(&format!("!{ASKS}")).await;
    let cancelled = stage.ledger.batch(&batch("incident-2026")).await.unwrap().unwrap().cancelled.unwrap();
    assert_eq!((cancelled.by.as_str(), cancelled.why.as_deref()), ("mira", Some("wrong <b>list</b>")));
    let end = format!("{}.querySelector('.end').textContent", item("batch-list", "incident-2026"));
    browser.until(&format!("{end}.startsWith('Cancelled by mira at ')")).await;
    assert_eq!(
        browser.text("return document.getElementById('said').textContent").await,
        "Batch incident-2026 is cancelled"
    );
    assert_eq!(browser.console().await, [""; 0]);
}

#[tokio::test]
async fn a_provider_is_paused_and_resumed_where_the_port_wants_a_token_asked_for_once() {
    let stage = Stage::set(Books::Kept, (Some("t0ken"), Exposure::Network)).await;
    stage.incident().await;
    let browser = open(&stage).await;
    browser.look(360, 740, Scheme::Light).await;
    let card = item("provider-list", "volcengine");
    let click = format!("{card}.querySelector('button').click()");
    browser.until(&format!("{card}.querySelector('.state').textContent === '◐ Slowed down'")).await;
    browser.run(&click).await;
    browser.until(ASKS).await;
    assert!(browser.text(QUESTION).await.contains("669 jobs wait now"));
    browser.press(&format!("maintenance{}mira{}", key::TAB, key::ENTER)).await;
    browser.until("document.getElementById('ask-error').textContent.includes('needs the admin token')").await;
    browser.press(&format!("wrong{}", key::ENTER)).await;
    browser.until("document.getElementById('ask-error').textContent === 'That is not the admin token.'").await;
    picture(&browser, "token-phone").await;
    browser.press(&format!("t0ken{}", key::ENTER)).await;
    browser.until(&format!("!{ASKS}")).await;
    let paused = stage.ledger.controls().await.unwrap().paused[&provider("volcengine")].clone();
    assert_eq!((paused.by.as_str(), paused.why.as_deref()), ("mira", Some("maintenance")));
    browser.until(&format!("{card}.querySelector('.state').textContent === '❚❚ Paused'")).await;
    let why = browser.text(&format!("return {card}.querySelector('.why').textContent")).await;
    assert!(why.starts_with("Paused by mira since ") && why.contains("“maintenance”"), "{why}");
    browser.look(1200, 900, Scheme::Light).await;
    picture(&browser, "paused").await;

    browser.run(&click).await;
    browser.until(ASKS).await;
    browser.press(&format!("{}{}", key::TAB, key::ENTER)).await;
    browser.until(&format!("!{ASKS}")).await;
    assert!(stage.ledger.controls().await.unwrap().paused.is_empty(), "without being asked again");
    let kept = "return [localStorage.length, document.cookie, sessionStorage.getItem('roomsweep.token')]";
    assert_eq!(browser.run(kept).await, serde_json::json!([0, "", "t0ken"]));
}

#[tokio::test]
async fn what_the_server_refuses_is_told_in_the_question() {
    let stage = Stage::set(Books::Kept, OPEN).await;
    stage.incident().await;
    let browser = open(&stage).await;
    let button = format!("{}.querySelector('.cancel')", item("batch-list", "incident-2026"));
    browser.until(&button).await;
    browser.run(&format!("{button}.click()")).await;
    browser.until(ASKS).await;
    stage.ledger.leave("gone");
    browser.press(&format!("x{}", key::ENTER)).await;
    browser.until("document.getElementById('ask-error').textContent.startsWith('the ledger is away')").await;
    browser.click("#ask-no").await;
    browser.until(&format!("!{ASKS}")).await;
}
