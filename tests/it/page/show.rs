//! What is shown, in each scene, size and colour.

use serde_json::Value;

use super::{api, is_clean, item, open, picture};
use crate::support::browser::{Browser, Scheme};
use crate::support::stage::{Books, OPEN, Stage};

async fn part(browser: &Browser, list: &str, name: &str, class: &str) -> String {
    browser.text(&format!("return {}.querySelector('.{class}').textContent", item(list, name))).await
}

/// As people write numbers.
fn grouped(number: &Value) -> String {
    let digits = number.as_u64().expect("a whole number").to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[tokio::test]
async fn the_numbers_are_those_of_the_api() {
    let stage = Stage::set(Books::Kept, OPEN).await;
    stage.incident().await;
    let browser = open(&stage).await;
    browser.until("document.querySelectorAll('#provider-list > li').length === 2").await;
    let providers = api(&stage, "/api/providers").await;
    for provider in providers["providers"].as_array().unwrap() {
        let name = provider["name"].as_str().unwrap();
        let shown = async |class: &str| part(&browser, "provider-list", name, class).await;
        assert_eq!(shown("urgent").await, grouped(&provider["waiting"]["urgent"]), "{name}");
        assert_eq!(shown("bulk").await, grouped(&provider["waiting"]["bulk"]), "{name}");
        assert_eq!(shown("flight").await, grouped(&provider["in_flight"]), "{name}");
        assert_eq!(shown("now").await, provider["rate"].to_string().trim_end_matches(".0"), "{name}");
        assert_eq!(shown("of").await, format!("of {} requests/s", provider["quota_qps"].as_f64().unwrap()), "{name}");
        assert_eq!(shown("sender").await, format!("sent by {}", provider["sender"].as_str().unwrap()), "{name}");
    }
    assert_eq!(part(&browser, "provider-list", "huawei", "state").await, "▲ Suspended");
    assert_eq!(part(&browser, "provider-list", "volcengine", "state").await, "◐ Slowed down");
    let why = part(&browser, "provider-list", "huawei", "why").await;
    assert!(why.contains("refuses our credentials") && why.contains("Next try in"), "{why}");

    let batches = api(&stage, "/api/batches").await;
    for batch in batches["batches"].as_array().unwrap() {
        let id = batch["id"].as_str().unwrap();
        let over = part(&browser, "batch-list", id, "over").await;
        match &batch["size"] {
            Value::Null => assert_eq!(over, format!("{} settled, total unknown", grouped(&batch["over"]))),
            size => assert_eq!(over, format!("{} of {} jobs", grouped(&batch["over"]), grouped(size))),
        }
        let counts = part(&browser, "batch-list", id, "counts").await;
        for number in batch["settled"].as_object().unwrap().values() {
            assert!(counts.contains(&grouped(number)), "{id}: {counts}");
        }
        let bar = format!(
            "return {}.querySelector('[role=progressbar]').getAttribute('aria-valuenow')",
            item("batch-list", id)
        );
        assert_eq!(browser.run(&bar).await.is_null(), batch["size"].is_null());
    }
    let end = part(&browser, "batch-list", "incident-2026", "end").await;
    assert!(end.starts_with("About ") && end.contains(" to go: until "), "{end}");
    let end = part(&browser, "batch-list", "huawei-rooms", "end").await;
    assert!(end.starts_with("No end in sight: huawei is suspended (credentials) since"), "{end}");

    browser.click("#failures-more").await;
    let failures = api(&stage, "/api/results?outcome=rejected,exhausted,invalid,expired&limit=20").await;
    let rows =
        browser.run("return [...document.querySelectorAll('#failure-rows tr')].map((row) => row.textContent)").await;
    let (failures, rows) = (failures["results"].as_array().unwrap(), rows.as_array().unwrap().clone());
    assert_eq!((failures.len(), rows.len()), (11, 11));
    for (failure, row) in failures.iter().zip(&rows) {
        let row = row.as_str().unwrap();
        for text in [&failure["room_id"], &failure["request_id"], &failure["error"]["message"]] {
            assert!(row.contains(text.as_str().unwrap()), "{row}: {text}");
        }
    }
    is_clean(&browser, &stage).await;
}

/// Each scene as people see it, on a desk and on a phone, by day and by night.
async fn every_size_and_colour(browser: &Browser, scene: &str) {
    for (width, height, scheme, name) in [
        (1200, 900, Scheme::Light, ""),
        (1200, 900, Scheme::Dark, "-dark"),
        (390, 844, Scheme::Light, "-phone"),
        (360, 740, Scheme::Dark, "-phone-dark"),
    ] {
        browser.look(width, height, scheme).await;
        let dark = browser.run("return matchMedia('(prefers-color-scheme: dark)').matches").await;
        let back =
            "return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).reduce((a, b) => a + Number(b), 0)";
        assert_eq!(browser.run(back).await.as_u64() < Some(300), dark == true, "{scene}{name}");
        let width = "return [document.documentElement.scrollWidth, innerWidth]";
        let (needed, there) = {
            let both = browser.run(width).await;
            (both[0].as_u64(), both[1].as_u64())
        };
        assert!(needed <= there, "{scene}{name}: {needed:?} of {there:?} pixels");
        picture(browser, &format!("{scene}{name}")).await;
    }
}

#[tokio::test]
async fn each_scene_is_readable_on_a_desk_and_on_a_phone_by_day_and_by_night() {
    let stage = Stage::set(Books::Kept, OPEN).await;
    let browser = open(&stage).await;
    let verdict = "return document.getElementById('verdict').textContent";
    stage.idle().await;
    browser.until("document.querySelectorAll('#batch-list > li').length === 1").await;
    assert_eq!(browser.text(verdict).await, "All is well. Nothing waits.");
    assert_eq!(browser.text("return document.title").await, "roomsweep");
    every_size_and_colour(&browser, "idle").await;
    stage.incident().await;
    browser.until("document.querySelectorAll('#failure-rows tr').length === 8").await;
    let told = browser.text(verdict).await;
    assert!(told.starts_with("▲ huawei is suspended: it refuses our credentials. 4,120 jobs wait."), "{told}");
    assert_eq!(browser.text("return document.title").await, "▲ 1 · roomsweep");
    every_size_and_colour(&browser, "incident").await;
    is_clean(&browser, &stage).await;

    let over = Stage::set(Books::Kept, OPEN).await;
    over.finished().await;
    browser.open(&over.url()).await;
    browser.until("document.querySelectorAll('#failure-rows tr').length === 8").await;
    assert_eq!(part(&browser, "batch-list", "incident-2026", "state").await, "▲ Finished with failures");
    let told = browser.text(verdict).await;
    assert!(told.starts_with("◐ 12 jobs failed in the last hour, the latest at "), "{told}");
    every_size_and_colour(&browser, "finished").await;
}

#[tokio::test]
async fn without_a_ledger_providers_are_shown_and_what_to_configure() {
    let stage = Stage::set(Books::None, OPEN).await;
    let browser = open(&stage).await;
    assert_eq!(part(&browser, "provider-list", "volcengine", "state").await, "○ Idle");
    for note in ["batches-note", "failures-note", "search-note"] {
        let text = browser.text(&format!("return document.getElementById('{note}').textContent")).await;
        assert!(text.contains("set url in the section [ledger]"), "{note}: {text}");
    }
    let usable = "return [...document.querySelectorAll('#provider-list button, #search-form button')].some((button) => !button.disabled)";
    assert_eq!(browser.run(usable).await, false);
    is_clean(&browser, &stage).await;
}

#[tokio::test]
async fn texts_of_jobs_are_never_markup() {
    let stage = Stage::set(Books::Kept, OPEN).await;
    stage.incident().await;
    let hostile = "<img src=/nothing onerror=document.title=1>\"'&amp;";
    stage.batch(hostile, Some(3), "volcengine", 1).await;
    let browser = open(&stage).await;
    browser.until("document.querySelector('#batch-list h3').textContent.includes('onerror')").await;
    let title = "return document.querySelector('#batch-list h3').textContent";
    assert_eq!(browser.text(title).await, hostile);
    assert_eq!(browser.run("return document.querySelectorAll('main img, main b b, main i i').length").await, 0);
    is_clean(&browser, &stage).await;
}
