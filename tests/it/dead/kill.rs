//! `kill -9` half-way.

use std::collections::HashSet;

use super::house::{House, graves};
use crate::edges_rig::SOON;
use crate::support::eventually;

const LETTERS: usize = 5_000;
const KILLS: usize = 3;
/// As many may be redriven and still be dead when it is killed.
const UNDER_WAY: usize = 30;

pub async fn a_killed_redrive_loses_nothing(house: &impl House) {
    house.bury(&graves(LETTERS)).await;
    for _ in 0..KILLS {
        let mut running = house.start(&["redrive", "--yes"]);
        house.half_way().await;
        running.kill().expect("our own child");
        running.wait().expect("our own child");
    }
    // What was in hand comes back once the connection is seen to be gone.
    let dead = house.dead().await;
    eventually("every letter is somewhere", SOON, || async {
        let somewhere = dead.count().await.unwrap().letters as usize + house.redriven().await;
        (somewhere >= LETTERS).then_some(())
    })
    .await;
    let said = house.run("redrive --yes").await;
    assert_eq!(said.code, Some(0), "{}", said.err);
    let (jobs, left) = house.take_all().await;
    assert_eq!(left, Vec::<String>::new());
    let rooms: HashSet<&String> = jobs.iter().collect();
    assert_eq!(rooms.len(), LETTERS, "none is lost");
    let twice = jobs.len() - LETTERS;
    assert!(twice <= KILLS * UNDER_WAY, "{twice} came twice");
    println!("{KILLS} kills: {twice} of {LETTERS} came twice; the last run: {}", said.out.trim());
}
