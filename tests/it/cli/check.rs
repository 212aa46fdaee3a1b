//! `check`, and what a worker says where `check` would have warned.

use std::time::Duration;

use lapin::BasicProperties;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;

use super::Said;
use crate::edges_rig::{HUAWEI, VOLCENGINE, base};
use crate::support::process::{Process, run};
use crate::support::rabbit::{Namespace, Published, URL};
use crate::support::sandbox::Sandbox;
use crate::support::{free_address, http};

const TOKEN: &str = "
[providers.huawei]
kind = 'huawei'
auth = 'token'
endpoint = 'ENDPOINT'
iam_endpoint = 'ENDPOINT'
domain = 'sandbox-domain'
user = 'sandbox-user'
password = 'sandbox-password'
project_id = 'sandbox-project'
";

fn check(configuration: &str) -> Said {
    Said::from(run(&["check"], configuration, &[]))
}

/// Line by line: how it begins, and what it says.
#[track_caller]
fn lines(said: &Said, expected: &[(&str, &str)]) {
    let shown = || format!("{}\n{}", said.out, said.err);
    assert_eq!(said.out.lines().count(), expected.len(), "{}", shown());
    for (line, (begins, says)) in said.out.lines().zip(expected) {
        assert!(line.starts_with(begins) && line.contains(says), "{begins} … {says} in {}", shown());
    }
}

#[tokio::test]
async fn check_says_of_everything_whether_it_is_fit() {
    let namespace = Namespace::new(&["volcengine", "huawei"]).await;
    let sandbox = Sandbox::start(&[]).await;
    let admin = free_address();
    let with = |tables: &str| base(URL, namespace.name(), admin) + &tables.replace("ENDPOINT", &sandbox.endpoint());
    let good = check(&with(&[VOLCENGINE, TOKEN].concat()));
    let ok = [
        ("ok      configuration", "huawei, volcengine"),
        ("ok      broker", "amqp://127.0.0.1:5672/%2F"),
        ("ok      topology", namespace.name()),
        ("ok      ledger", "none"),
        ("ok      clock of huawei", "0 s apart"),
        ("ok      credentials of huawei", "token"),
        ("ok      clock of volcengine", "0 s apart"),
        ("untried credentials of volcengine", "only a real job shows"),
    ];
    lines(&good, &ok);
    assert_eq!(good.code, Some(0));

    let bad = check(&with(&TOKEN.replace("sandbox-password", "hunter2")));
    let refused = ("FAILED  credentials of huawei", "iam.Unauthorized");
    lines(&bad, &[("ok", "huawei"), ok[1], ok[2], ok[3], ok[4], refused]);
    assert_eq!(bad.code, Some(1));
    assert!(!bad.out.contains("hunter2") && !bad.err.contains("hunter2"));

    let nowhere = with(HUAWEI).replace(&sandbox.endpoint(), &format!("http://{}", free_address()));
    let nobody = check(&nowhere);
    let silent = ("FAILED  clock of huawei", "does not answer");
    lines(&nobody, &[("ok", "huawei"), ok[1], ok[2], ok[3], silent, ("untried credentials", "huawei")]);
    assert_eq!(nobody.code, Some(1));
    assert_eq!(sandbox.stats().await["rooms"], 0, "no room was closed");
}

#[tokio::test]
async fn check_says_that_the_broker_is_away_or_does_not_know_us() {
    let admin = free_address();
    let sandbox = Sandbox::start(&[]).await;
    let nobody = format!("amqp://guest:hunter2@{}/%2f", free_address());
    let stranger = URL.replace("guest:guest", "guest:hunter2");
    for (url, why) in
        [(nobody.as_str(), "refused"), (&stranger, "ACCESS_REFUSED"), (&URL.replace("%2f", "nowhere"), "nowhere")]
    {
        let tables = VOLCENGINE.replace("ENDPOINT", &sandbox.endpoint());
        let said = check(&(base(url, "check-nothing", admin) + &tables));
        assert_eq!(said.code, Some(1), "{}", said.err);
        let failed = said.out.lines().find(|line| line.starts_with("FAILED  broker: amqp://127.0.0.1:"));
        let failed = failed.unwrap_or_else(|| panic!("{url}: {}", said.out));
        assert!(failed.contains(why) && failed.contains("queue.url"), "{failed}");
        assert!(said.out.contains("ok      clock of volcengine"), "the rest is checked all the same: {}", said.out);
        assert!(!said.out.contains("hunter2") && !said.err.contains("hunter2"), "{}{}", said.out, said.err);
    }
}

#[tokio::test]
async fn a_queue_with_other_arguments_is_named_and_left_alone() {
    let namespace = Namespace::new(&["volcengine"]).await;
    let dead = namespace.of("dead");
    let channel = namespace.channel().await;
    let classic = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(dead.as_str().into(), classic, FieldTable::default()).await.expect("declared");
    let published = namespace.publish("", &dead, b"mine", BasicProperties::default()).await;
    assert_eq!(published, Published::Confirmed);

    let admin = free_address();
    let tables = VOLCENGINE.replace("ENDPOINT", "http://127.0.0.1:1");
    let configuration = base(URL, namespace.name(), admin) + &tables;
    let said = check(&configuration);
    let topology = said.out.lines().find(|line| line.starts_with("FAILED  topology")).unwrap_or_default();
    assert!(topology.contains(&format!("the queue {dead}")) && topology.contains("delete it by hand"), "{}", said.out);
    assert_eq!(said.code, Some(1));

    let mut worker = Process::start(&["worker"], &configuration, &[]);
    let ended = worker.ended(Duration::from_secs(20)).await;
    assert_eq!(ended.code(), Some(2), "{}", worker.log());
    assert!(worker.log().contains(&format!("the queue {dead}")), "{}", worker.log());
    assert!(http::get(admin, "/healthz").await.is_err());

    let again = channel.queue_declare(dead.as_str().into(), classic, FieldTable::default()).await;
    assert_eq!(again.expect("as it was").message_count(), 1);
}
