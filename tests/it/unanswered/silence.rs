//! Brokers of which nothing is heard any more.

use std::net::SocketAddr;
use std::time::Duration;

use rustix::process::Signal;
use tokio::net::TcpListener;

use crate::edges_rig::{VOLCENGINE, base};
use crate::side_by_side::side_by_side;
use crate::support::node::Node;
use crate::support::process::Process;
use crate::support::proxy::{Proxy, Way};
use crate::support::rabbit::Namespace;
use crate::support::{eventually, free_address, http};

const SOON: Duration = Duration::from_secs(30);
/// For a command that is interrupted.
const AT_ONCE: Duration = Duration::from_secs(3);
const COMMANDS: [&[&str]; 5] = [
    &["enqueue", "--provider", "volcengine", "--app", "a", "--room", "r"],
    &["dead", "list"],
    &["dead", "redrive", "--yes"],
    &["dead", "purge", "--yes"],
    &["check"],
];

fn configuration(broker: SocketAddr, namespace: &str, admin: SocketAddr) -> String {
    let url = format!("amqp://guest:guest@{broker}/%2f");
    base(&url, namespace, admin) + &VOLCENGINE.replace("ENDPOINT", "http://127.0.0.1:1")
}

/// Every command ends by itself, with a word; or at once when it is interrupted.
async fn holds_up_no_command(broker: SocketAddr, namespace: &str) {
    let configuration = configuration(broker, namespace, free_address());
    let mut left: Vec<_> = COMMANDS.iter().map(|command| Process::start(command, &configuration, &[])).collect();
    let mut interrupted: Vec<_> = COMMANDS.iter().map(|command| Process::start(command, &configuration, &[])).collect();
    tokio::time::sleep(Duration::from_secs(2)).await;
    for process in &mut interrupted {
        process.signal(Signal::INT);
    }
    for (process, command) in interrupted.iter_mut().zip(COMMANDS) {
        let code = process.ended(AT_ONCE).await.code();
        assert_eq!(code, Some(130), "{command:?} {}{}", process.output(), process.log());
    }
    for (process, command) in left.iter_mut().zip(COMMANDS) {
        let code = process.ended(SOON).await.code();
        let said = process.output() + &process.log();
        assert!(code == Some(1) && !said.trim().is_empty(), "{command:?}: {code:?} {said}");
    }
}

async fn a_listener_that_says_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let _held = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    holds_up_no_command(address, "nothing").await;
}

/// A handshake that is given up leaves no thread and no socket behind.
async fn a_worker_that_tries_again_and_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let _held = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    let worker = Process::start(&["worker"], &configuration(address, "nothing", free_address()), &[]);
    let count = |what: &str| std::fs::read_dir(format!("/proc/{}/{what}", worker.id())).unwrap().count();
    let given_up = |times: usize| {
        let tries = || worker.log().matches("no answer within 15s").count();
        eventually("a handshake that is given up", SOON, move || async move { (tries() >= times).then_some(()) })
    };
    given_up(1).await;
    let before = (count("task"), count("fd"));
    for times in 2..=3 {
        given_up(times).await;
    }
    let after = (count("task"), count("fd"));
    assert!(after.0 <= before.0 && after.1 <= before.1, "threads and descriptors: {before:?}, then {after:?}");
}

async fn a_listener_that_closes_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let _closing = tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    let configuration = configuration(address, "nothing", free_address());
    for command in COMMANDS {
        let mut process = Process::start(command, &configuration, &[]);
        let code = process.ended(SOON).await.code();
        assert_eq!(code, Some(1), "{command:?} {}", process.log());
    }
}

/// What was said to the broker is not answered from the middle of the opening on.
async fn a_stall_half_way() {
    let namespace = Namespace::new(&["volcengine"]).await;
    let proxy = Proxy::start("127.0.0.1:5672".parse().unwrap()).await;
    let configuration = configuration(proxy.address, namespace.name(), free_address());
    let command = ["enqueue", "--provider", "volcengine", "--app", "a", "--room", "r"];
    let mut process = Process::start(&command, &configuration, &[]);
    let open = || async { (proxy.heard(Way::ToServer) > 2_000).then_some(()) };
    eventually("the handshake", SOON, open).await;
    proxy.stall(Way::ToClient);
    let code = process.ended(SOON).await.code();
    let said = process.output() + &process.log();
    assert!(code != Some(0) || said.contains("1 confirmed"), "{code:?} {said}");
}

async fn a_frozen_node() {
    let node = Node::start("").await;
    let namespace = Namespace::on(&node.url(), &["volcengine"]).await;
    let admin = free_address();
    let configuration = configuration(node.address(), namespace.name(), admin);
    let mut worker = Process::start(&["worker"], &configuration, &[]);
    worker.ready(admin).await;
    let mut stopping =
        Process::start(&["worker"], &self::configuration(node.address(), namespace.name(), free_address()), &[]);
    eventually("both work", SOON, || async { stopping.log().contains("connected").then_some(()) }).await;
    node.freeze();
    stopping.signal(Signal::TERM);
    eventually("not ready", SOON, || async {
        http::get(admin, "/readyz").await.ok().filter(|reply| reply.status == 503)
    })
    .await;
    assert!(stopping.ended(SOON).await.success(), "{}", stopping.log());
    holds_up_no_command(node.address(), namespace.name()).await;
    node.thaw();
    worker.ready(admin).await;
    worker.signal(Signal::TERM);
    assert!(worker.ended(SOON).await.success());
}

#[test]
fn a_silent_broker_holds_up_nobody() {
    side_by_side!(
        a_listener_that_says_nothing(),
        a_worker_that_tries_again_and_again(),
        a_listener_that_closes_at_once(),
        a_stall_half_way(),
        a_frozen_node()
    );
}
