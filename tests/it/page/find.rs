//! Search, and IDs to copy.

use super::{is_clean, item, open, picture};
use crate::support::browser::{Scheme, key};
use crate::support::stage::{Books, OPEN, Stage};

const NOTE: &str = "document.getElementById('search-note').textContent";
const FOUND: &str = "document.querySelectorAll('#search-list > li').length";

#[tokio::test]
async fn a_job_is_found_by_each_of_its_ids_with_all_its_attempts() {
    let stage = Stage::set(Books::Kept, OPEN).await;
    stage.incident().await;
    let browser = open(&stage).await;
    browser.until("!document.getElementById('search-text').disabled").await;
    for (kind, text) in
        [("room", "class-525"), ("job", "job-incident-2026-525"), ("request_id", "req-incident-2026-525-1")]
    {
        let fill = format!(
            "document.getElementById('search-kind').value = '{kind}'; const field = document.getElementById('search-text'); field.value = '{text}'; field.focus()"
        );
        browser.run(&fill).await;
        browser.press(key::ENTER).await;
        browser.until(&format!("{NOTE} === '1 result, the latest first.'")).await;
        let text = browser.text("return document.getElementById('search-list').textContent").await;
        for part in ["class-525", "Rejected", "req-incident-2026-525-2", "cleanup@school", "end of class", "<i>7b</i>"]
        {
            assert!(text.contains(part), "{kind}: {part}: {text}");
        }
        browser.run("document.getElementById('search-list').replaceChildren()").await;
        browser.run("document.getElementById('search-note').textContent = ''").await;
    }
    browser.press(key::ENTER).await;
    browser.until(&format!("{FOUND} === 1")).await;
    browser.click("#search-list summary").await;
    let attempts = "return [...document.querySelectorAll('#search-list tbody tr')].map((row) => row.innerText).join()";
    let attempts = browser.text(attempts).await;
    for part in ["transient, HTTP 500", "InternalError", "req-incident-2026-525-1", "rejected, HTTP 400", "31 ms"] {
        assert!(attempts.contains(part), "{part}: {attempts}");
    }
    picture(&browser, "search").await;
    browser.look(360, 740, Scheme::Light).await;
    assert_eq!(browser.run("return document.documentElement.scrollWidth <= innerWidth").await, true);
    picture(&browser, "search-phone").await;
    is_clean(&browser, &stage).await;
}

#[tokio::test]
async fn a_long_list_comes_in_pages_and_an_address_can_be_passed_on() {
    let stage = Stage::set(Books::Kept, OPEN).await;
    stage.incident().await;
    let browser = open(&stage).await;
    browser.open(&format!("{}#batch=incident-2026", stage.url())).await;
    browser.run("location.reload()").await;
    browser.until(&format!("{FOUND} === 20 && {NOTE} === '20 results, and there are more, the latest first.'")).await;
    browser.click("#search-more").await;
    browser.until(&format!("{FOUND} === 40")).await;
    let rooms =
        "return new Set([...document.querySelectorAll('#search-list h3')].map((room) => room.textContent)).size";
    assert_eq!(browser.run(rooms).await, 40);
    browser.run(&format!("{}.querySelector('.failures').click()", item("batch-list", "incident-2026"))).await;
    browser.until(&format!("{FOUND} === 11 && location.hash.includes('outcome=rejected')")).await;
    browser.run("document.querySelector('#failure-rows tr:last-child td:last-child button').click()").await;
    browser.until(&format!("{FOUND} === 1")).await;
    let nothing = "document.getElementById('search-kind').value = 'room'; document.getElementById('search-text').value = 'nowhere'; document.getElementById('search-form').requestSubmit()";
    browser.run(nothing).await;
    browser.until(&format!("{NOTE} === 'The ledger knows no result of room nowhere.'")).await;
}

#[tokio::test]
async fn a_request_id_is_copied_whole() {
    let stage = Stage::set(Books::Kept, OPEN).await;
    stage.incident().await;
    let browser = open(&stage).await;
    browser.until("document.querySelector('#failure-rows .copy button')").await;
    let permission = serde_json::json!({ "permission": { "name": "clipboard-read" }, "setting": "granted" });
    browser.devtools("Browser.setPermission", permission).await;
    let id = browser.text("return document.querySelector('#failure-rows .copy .id').textContent").await;
    browser.click("#failure-rows .copy button").await;
    browser.until(&format!("document.getElementById('said').textContent === 'Copied {id}'")).await;
    assert_eq!(browser.text("return navigator.clipboard.readText()").await, id);
}
