//! `batch watch`, and what is different at a terminal.

use std::process::Stdio;
use std::time::Duration;

use roomsweep::model::result::Outcome;
use rustix::process::{Pid, Signal, kill_process};

use super::books::{Books, Said, batch, of_batch, result};
use crate::edges_rig::SOON;
use crate::support::eventually;

pub async fn a_batch_that_is_over_tells_by_its_exit_code_whether_anything_failed(books: &Books) {
    for (outcome, code) in [
        (Outcome::Dismissed, 0),
        (Outcome::AlreadyGone, 0),
        (Outcome::Cancelled, 0),
        (Outcome::Rejected, 1),
        (Outcome::Exhausted, 1),
        (Outcome::Expired, 1),
        (Outcome::Invalid, 1),
    ] {
        let id = outcome.as_str();
        books.register(id, 1).await;
        books.record(&[of_batch(id, result(id, outcome, 0))]).await;
        let said = books.run(&format!("batch watch {id}")).await.ends(code);
        assert!(said.out.contains(&format!("settled    1 of 1: 1 {outcome}")), "{}", said.out);
    }
    let said = books.run("batch watch nothing").await.ends(1);
    assert!(said.err.contains("the ledger knows no batch nothing"), "{}", said.err);
}

pub async fn watching_ends_with_the_batch(books: &Books) {
    books.register("b", 2).await;
    books.record(&[of_batch("b", result("1", Outcome::Dismissed, 0))]).await;
    let mut watching = books.start("batch watch b");
    // Plain lines are written every five seconds.
    tokio::time::sleep(Duration::from_millis(6_500)).await;
    assert!(watching.try_wait().expect("our own child").is_none(), "one is left");
    books.record(&[of_batch("b", result("2", Outcome::Dismissed, 0))]).await;
    let said = Said::of(watching).await.ends(0);
    let line = said.err.lines().find(|line| line.starts_with("1 of 2, ")).unwrap_or_default();
    assert!(line.contains("0 failed, ends unknown: no worker sends for volcengine"), "{}", said.err);
    assert!(said.out.contains("state      finished") && said.out.contains("settled    2 of 2"), "{}", said.out);
}

pub async fn an_interrupted_watching_leaves_the_batch_alone(books: &Books) {
    books.register("b", 2).await;
    let watching = books.start("batch watch b");
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    kill_process(Pid::from_child(&watching), Signal::INT).expect("our own child");
    let said = Said::of(watching).await.ends(130);
    assert!(said.err.contains("watching ends; the batch goes on"), "{}", said.err);
    assert!(books.ledger.controls().await.unwrap().cancelled.is_empty());
}

/// The terminal is one that `script` plays.
pub async fn at_a_terminal_a_bar_is_drawn_and_a_question_asked(books: &Books) {
    let at_a_terminal = |line: &str| {
        let program = format!("{} {line}", env!("CARGO_BIN_EXE_roomsweep"));
        let mut command = std::process::Command::new("script");
        command.args(["--quiet", "--return", "--flush", "--command", &program, "/dev/null"]);
        command.current_dir(books.directory.path()).env("TERM", "xterm").env("USER", "ada");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("script, of bsdutils, starts")
    };
    let answered = |line: &str, answer: &str| {
        let mut child = at_a_terminal(line);
        let mut keyboard = child.stdin.take().expect("piped");
        let answer = answer.to_owned();
        async move {
            std::io::Write::write_all(&mut keyboard, answer.as_bytes()).expect("typed");
            let said = Said::of(child).await;
            drop(keyboard);
            said
        }
    };
    books.register("b", 2).await;
    let said = answered("batch cancel b", "n\n").await.ends(1);
    assert!(said.out.contains("Cancel the 2 that are left of b? [y/N]"), "{}", said.out);
    assert!(said.out.contains("not confirmed; nothing was cancelled"), "{}", said.out);
    assert!(books.ledger.controls().await.unwrap().cancelled.is_empty());
    let said = answered("batch cancel b", "y\n").await.ends(0);
    assert!(said.out.contains("b is cancelled, by ada@"), "{}", said.out);
    assert_eq!(books.ledger.controls().await.unwrap().cancelled, [batch("b")].into());

    let mut watching = at_a_terminal("batch watch b");
    let keyboard = watching.stdin.take();
    let watched = tokio::spawn(Said::of(watching));
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    books.record(&["1", "2"].map(|id| of_batch("b", result(id, Outcome::Cancelled, 0)))).await;
    eventually("the end of watching", SOON, || std::future::ready(watched.is_finished().then_some(()))).await;
    let said = watched.await.expect("no panic").ends(0);
    drop(keyboard);
    assert!(said.out.contains("0/2 0.0/s, 0 failed, being cancelled, ends unknown"), "{}", said.out);
    assert!(said.out.contains("2/2") && said.out.contains("state      cancelled"), "{}", said.out);
}
