//! More dead letters than one would hold in memory.

use std::fs;
use std::time::Duration;

use super::house::{Grave, House, Said, graves};

const LETTERS: usize = 20_000;
const BODY: usize = 4 * 1024;

pub async fn many_letters_are_counted_in_little_memory(house: &impl House) {
    let pad = |grave: Grave| {
        let mut body = grave.body.clone();
        body.resize(BODY, b' ');
        grave.with_body(body)
    };
    house.bury(&graves(LETTERS).into_iter().map(pad).collect::<Vec<_>>()).await;
    let mut running = house.start(&["purge"]);
    let status = format!("/proc/{}/status", running.id());
    let mut peak = 0;
    while running.try_wait().expect("our own child").is_none() {
        peak = fs::read_to_string(&status).ok().and_then(|status| most(&status)).unwrap_or(0).max(peak);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let said = Said::of(running).await;
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert!(said.err.contains("20000 of 20000 dead letters match: 20000 exhausted"), "{}", said.err);
    assert!((1..60 * 1024).contains(&peak), "{peak} KiB for bodies of {} KiB", LETTERS * BODY / 1024);
    println!("{peak} KiB at most, for bodies of {} KiB", LETTERS * BODY / 1024);

    let said = house.run("purge --yes").await;
    assert_eq!((said.code, said.out.as_str()), (Some(0), "20000 purged\n"), "{}", said.err);
    assert_eq!(house.dead().await.count().await.unwrap().letters, 0);
}

/// The most memory that a process had, in KiB.
fn most(status: &str) -> Option<u64> {
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
