//! The ledger that stands in the embedded queue's own file, with nothing configured.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::books::Said;
use crate::support::sandbox::Sandbox;

struct Place {
    directory: TempDir,
    sandbox: Sandbox,
}

impl Place {
    async fn run(&self, line: &str) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_roomsweep"));
        command.current_dir(self.directory.path()).env_clear().args(line.split_whitespace());
        command.env("VOLC_ACCESSKEY", "sandbox-ak").env("VOLC_SECRETKEY", "sandbox-sk");
        command.env("ROOMSWEEP__PROVIDERS__VOLCENGINE__KIND", "volcengine");
        command.env("ROOMSWEEP__PROVIDERS__VOLCENGINE__ENDPOINT", self.sandbox.endpoint());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Said::of(command.spawn().expect("the built program starts")).await
    }
}

#[tokio::test]
async fn what_a_sweep_did_is_history_and_what_is_enqueued_is_a_batch() {
    let place = Place { directory: tempfile::tempdir().unwrap(), sandbox: Sandbox::start(&[]).await };
    fs::write(place.directory.path().join("rooms.txt"), "lobby\nfail500x1-stage\n").unwrap();
    let fill = "--provider volcengine --app app";
    place.run(&format!("sweep rooms.txt {fill}")).await.ends(0);
    let said = place.run("history --room fail500x1-stage --json").await.ends(0);
    let result: Value = serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {}", said.out));
    assert_eq!((&result["outcome"], &result["attempts"]), (&"dismissed".into(), &2.into()));
    let id = result["attempt_log"][0]["request_id"].as_str().expect("an ID").to_owned();
    let said = place.run(&format!("history --request-id {id}")).await.ends(0);
    assert!(said.out.contains("fail500x1-stage") && said.out.contains("attempt 2"), "{}", said.out);

    place.run(&format!("enqueue rooms.txt {fill} --batch evening")).await.ends(0);
    let said = place.run("batch show evening").await.ends(0);
    assert!(said.out.contains("settled    0 of 2") && said.out.contains("2 bulk at volcengine"), "{}", said.out);
    let said = place.run("pause volcengine").await.ends(0);
    assert!(said.out.starts_with("volcengine is paused, by somebody@"), "{}", said.out);
    let said = place.run("check").await;
    assert!(
        said.out.contains("ok      ledger: in the queue file roomsweep.db: its schema is up to date"),
        "{}",
        said.out
    );
}
