//! One sweep, from its file to its exit code.

use super::Desk;

#[tokio::test]
async fn the_exit_code_and_the_summary_say_what_became_of_the_rooms() {
    let desk = Desk::new("").await;
    let rows = "provider,app_id,room_id\nvolcengine,app,plain\nhuawei,app,plain\nvolcengine,app,gone-1\n\
                huawei,app,fail500x1-1\nvolcengine,app,plain\n";
    desk.write("rooms.csv", rows);
    let good = desk.run(&["sweep", "rooms.csv", "--results", "results.jsonl"]).await;
    assert_eq!(good.code, Some(0), "{}{}", good.out, good.err);
    assert!(good.out.contains("4 rooms: 1 already_gone, 3 dismissed\n"), "{}", good.out);
    assert!(good.out.contains("; 1 retries\n"), "{}", good.out);
    assert!(good.err.contains("1 rows name a room that was named before"), "{}", good.err);
    assert_eq!((desk.request_count().await, desk.results("results.jsonl").len()), (5, 4));

    desk.rooms(["plain", "badparam-1", "fail500-1"].map(str::to_owned));
    let bad = desk.sweep(&[]).await;
    assert_eq!(bad.code, Some(1), "{}", bad.err);
    assert!(bad.out.contains("3 rooms: 1 dismissed, 1 exhausted, 1 rejected\n"), "{}", bad.out);
    assert!(bad.out.contains("2 rooms may still be open:"), "{}", bad.out);
    let failure = bad.out.lines().find(|line| line.contains("badparam-1: rejected")).expect("named");
    assert!(failure.contains(", request 20"), "{failure}");
}

#[tokio::test]
async fn one_bad_row_of_a_hundred_thousand_is_named_and_nothing_is_sent() {
    let desk = Desk::new("").await;
    let row = |number: usize| match number {
        77_777 => format!("volcengine,app,\"room\t{number}\"\n"),
        _ => format!("volcengine,app,room-{number}\n"),
    };
    let rows: String = (0..100_000).map(row).collect();
    desk.write("rooms.csv", &format!("provider,app_id,room_id\n{rows}"));
    let said = desk.run(&["sweep", "rooms.csv", "--yes"]).await;
    assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{}", said.err);
    assert!(said.err.contains("1 bad row") && said.err.contains("line 77779: room_id: contains"), "{}", said.err);
    assert_eq!(desk.request_count().await, 0);
    assert!(!desk.path("roomsweep.db").exists(), "nothing is stored");
}

#[tokio::test]
async fn a_dry_run_signs_and_tells_and_sends_nothing() {
    let desk = Desk::new("").await;
    let configuration = desk.read("roomsweep.toml").replace("qps = 1000", "qps = 10\napp_ids = ['app']");
    desk.write("roomsweep.toml", &configuration);
    desk.rooms((0..300).map(|number| format!("room-{number}")));
    let said = desk.sweep(&["--dry-run"]).await;
    assert_eq!(said.code, Some(0), "{}", said.err);
    for says in ["volcengine: 300 rooms at http://127.0.0.1", "Action=DismissRoom", "all 300 would be signed", "room-0"]
    {
        assert!(said.out.contains(says), "{says}: {}", said.out);
    }
    assert!(said.out.contains("at least 31s; nothing was sent"), "{}", said.out);
    assert!(!said.out.contains("Signature") && !said.out.contains("sandbox-sk"), "{}", said.out);
    assert!(!desk.path("roomsweep.db").exists(), "nothing is stored");

    desk.write("rooms.csv", "provider,app_id,room_id\nhuawei,app,r\nhuawei,other,r\n");
    let refused = desk.run(&["sweep", "rooms.csv", "--dry-run"]).await;
    assert_eq!(refused.code, Some(1), "{}", refused.err);
    assert!(refused.out.contains("would be rejected unsent: r: app_not_allowed"), "{}", refused.out);
    assert_eq!(desk.request_count().await, 0);
}

#[tokio::test]
async fn more_than_a_hundred_rooms_are_not_closed_unasked() {
    let desk = Desk::new("").await;
    desk.rooms((0..101).map(|number| format!("room-{number}")));
    let refused = desk.sweep(&[]).await;
    assert_eq!((refused.code, desk.request_count().await), (Some(1), 0), "{}", refused.err);
    assert!(refused.err.contains("101 rooms, and no terminal to ask at: add --yes"), "{}", refused.err);
    let asked = desk.sweep(&["--yes"]).await;
    assert_eq!((asked.code, desk.request_count().await), (Some(0), 101), "{}", asked.err);
    assert!(!asked.err.contains("going on"), "what was refused has left nothing: {}", asked.err);
}
