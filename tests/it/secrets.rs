//! The whole flow at the finest log level, with secrets that are known: none may be found in anything that comes out.

mod finder;
mod relay;
mod scene;

use std::net::SocketAddr;
use std::process::Output;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use rustix::process::Signal;
use sha2::Sha256;

use crate::edges_rig::SOON;
use crate::support::database::Database;
use crate::support::process::{Process, run};
use crate::support::rabbit::Namespace;
use crate::support::sandbox::Sandbox;
use crate::support::{eventually, free_address, http};
use finder::Finder;
use relay::{Relay, as_guest};
use scene::{SECRETS, in_url, job, ledger, providers, queue, secret};

/// All that came out, by where.
#[derive(Default)]
struct Outcome(Vec<(String, Vec<u8>)>);

impl Outcome {
    fn add(&mut self, from: &str, text: impl Into<Vec<u8>>) {
        self.0.push((from.to_owned(), text.into()));
    }

    fn add_process(&mut self, process: &Process, name: &str) {
        self.add(&format!("stderr of {name}"), process.log());
        self.add(&format!("stdout of {name}"), process.output());
    }

    fn add_output(&mut self, output: Output, name: &str) {
        self.add(&format!("stderr of {name}"), output.stderr);
        self.add(&format!("stdout of {name}"), output.stdout);
    }

    async fn add_queue(&mut self, namespace: &Namespace, queue: &str, many: usize) {
        let messages = namespace.drain(&namespace.of(queue), many, SOON).await;
        assert_eq!(messages.len(), many, "{queue}");
        for message in messages {
            self.add(queue, message.body);
            self.add(queue, format!("{:?}", message.properties));
        }
    }

    fn said(&self, from: &str) -> String {
        let all = self.0.iter().filter(|(each, _)| each == from);
        all.map(|(_, text)| String::from_utf8_lossy(text)).collect()
    }
}

async fn ask(server: SocketAddr, request_line: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    let head = format!("{request_line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    http::raw(server, &format!("{head}{headers}Content-Length: {length}\r\n\r\n{body}")).await
}

/// Jobs for every account by every door, and everything that the admin port says.
async fn work(worker: &mut Process, admin: SocketAddr, outcome: &mut Outcome) {
    let rooms = [
        ("volc", "a"),
        ("volc", "fail500x1-b"),
        ("volc", "badparam-c"),
        ("volc", "throttled1-d"),
        ("hw", "a"),
        ("hw", "fail500x1-b"),
        ("hw", "gone-c"),
        ("hw-iam", "a"),
        ("hw-iam", "fail500x1-b"),
        ("refused", "a"),
        ("hw-wrong", "a"),
        ("iam-wrong", "a"),
    ];
    let jobs: Vec<String> = rooms.iter().map(|(provider, room)| job(provider, room)).collect();
    let jobs = format!("[{}]", jobs.join(","));
    let json = "Content-Type: application/json\r\n";
    let bearer = |token: &str| format!("{json}Authorization: Bearer {}\r\n", secret(token));
    for (token, status) in [("GUESSED_TOKEN", " 401 "), ("ADMIN_TOKEN", " 202 ")] {
        let answer = ask(admin, "POST /api/jobs", &bearer(token), &jobs).await;
        assert!(answer.contains(status), "{answer}");
        outcome.add("POST /api/jobs", answer);
    }
    outcome.add("POST /api/jobs", ask(admin, "POST /api/jobs", &bearer("ADMIN_TOKEN"), "[{}, nonsense").await);

    for provider in ["hw-wrong", "iam-wrong"] {
        let line = format!("roomsweep_provider_suspended{{provider=\"{provider}\",reason=\"credentials\"}} 1");
        eventually(&line, SOON, || async {
            let metrics = http::get(admin, "/metrics").await.ok()?.body;
            metrics.lines().any(|shown| shown == line).then_some(())
        })
        .await;
    }
    let api = ["/api/status", "/api/batches", "/api/providers", "/api/results"];
    for path in ["/", "/metrics", "/healthz", "/readyz", "/nowhere"].into_iter().chain(api) {
        outcome.add(path, ask(admin, &format!("GET {path}"), "", "").await);
        outcome.add(path, ask(admin, &format!("GET {path}"), &bearer("GUESSED_TOKEN"), "").await);
    }
    let accept = "Accept: application/openmetrics-text;version=1.0.0\r\n";
    outcome.add("/metrics", ask(admin, "GET /metrics", accept, "").await);
    worker.ready(admin).await;
}

/// The commands that do one thing, on the same configuration.
fn commands(configuration: &str, environment: &[(&str, &str)], options: &[&str], outcome: &mut Outcome) {
    let mut said = |arguments: &[&str], configuration: &str, name: &str| {
        outcome.add_output(run(&[options, arguments].concat(), configuration, environment), name);
    };
    let one = ["enqueue", "--provider", "volc", "--app", "app", "--room", "by-hand"];
    said(&["check"], configuration, "check");
    said(&one, configuration, "enqueue");
    for ledgers in [
        &["history", "--app", "app", "--json"][..],
        &["batch", "list"],
        &["batch", "cancel", "none", "--yes"],
        &["pause", "volc"],
        &["resume", "volc"],
    ] {
        said(ledgers, configuration, "a command that asks the ledger");
    }
    for (from, to) in [
        ("{ env = 'VOLC_SK' }", format!("['{}']", secret("VOLC_SK"))),
        ("{ env = 'VOLC_SK' }", format!("\"{}\\n\"", secret("VOLC_SK"))),
        ("{ env = 'VOLC_SK' }", format!("'{}", secret("VOLC_SK"))),
        ("{ env = 'VOLC_SK' }", format!("{{ env = '{}' }}", secret("VOLC_SK"))),
        ("session_token", "secret_token".to_owned()),
        ("[queue]\nbackend = 'amqp'\nurl =", "queue =".to_owned()),
        ("backend = 'amqp'\nurl =", "backend =".to_owned()),
        ("backend = 'amqp'\nurl =", "backend = 'amqp'\nnamespace =".to_owned()),
        ("%2f'", "%2f?heartbeat=x'".to_owned()),
        ("/%2f'", "/'".to_owned()),
        ("'\n[providers.volc]", format!("?sslpassword={}'\n[providers.volc]", in_url("LEDGER_PASSWORD"))),
        ("'\n[providers.volc]", format!("?sslmode={}'\n[providers.volc]", in_url("LEDGER_PASSWORD"))),
        ("'\n[providers.volc]", format!("?{}'\n[providers.volc]", in_url("LEDGER_PASSWORD"))),
    ] {
        let faulty = configuration.replacen(from, &to, 1);
        assert_ne!(faulty, configuration, "{from}");
        said(&["check", "--config-only"], &faulty, "check, faulty configuration");
        said(&["worker"], &faulty, "worker, faulty configuration");
    }
}

/// Everything against a broker that is not there, or does not let us in.
async fn in_vain(broker: SocketAddr, environment: &[(&str, &str)], options: &[&str], outcome: &mut Outcome) {
    let admin = free_address();
    let configuration = queue(broker, "nothing") + &ledger(free_address(), "none") + &providers(free_address(), admin);
    let worker = Process::start(&[options, &["worker"]].concat(), &configuration, environment);
    for arguments in [
        &["check"][..],
        &["history", "--app", "app"],
        &["enqueue", "--provider", "volc", "--app", "app", "--room", "r"],
    ] {
        outcome.add_output(run(&[options, arguments].concat(), &configuration, environment), "a command in vain");
    }
    let tried = || async { (worker.log().matches("trying again").count() > 1).then_some(()) };
    eventually("a second try", SOON, tried).await;
    outcome.add("/readyz", ask(admin, "GET /readyz", "", "").await);
    outcome.add_process(&worker, "a worker in vain");
}

/// The same clouds without a broker.
async fn embedded(cloud: SocketAddr, environment: &[(&str, &str)], options: &[&str], outcome: &mut Outcome) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("rooms.jsonl");
    let rooms = [job("volc", "s1"), job("hw", "fail500x1-s2"), job("hw-iam", "s3")].join("\n");
    std::fs::write(&file, rooms).expect("written");
    let sweep = ["sweep", file.to_str().expect("UTF-8"), "--yes", "--results", "results.jsonl"];
    let configuration = providers(cloud, free_address());
    let mut sweep = Process::start(&[options, &sweep].concat(), &configuration, environment);
    sweep.ended(SOON).await;
    outcome.add_process(&sweep, "sweep");
    for entry in std::fs::read_dir(sweep.directory()).expect("its directory") {
        let path = entry.expect("an entry").path();
        if !path.ends_with("roomsweep.toml") {
            outcome.add(&path.display().to_string(), std::fs::read(&path).expect("a file"));
        }
    }
    let results = std::fs::read_to_string(sweep.directory().join("results.jsonl")).expect("results");
    assert_eq!(results.matches("dismissed\",\"request_id").count(), 3, "{results}");
}

/// What was derived from the secrets, and what the clouds issued.
fn add_derived(finder: &mut Finder, cloud: &Relay) {
    let count = |name: &str, least: usize| {
        let values = cloud.header(name);
        assert!(values.len() >= least, "{name}: {values:?}");
        values
    };
    for value in count("authorization", 10) {
        let (_, signature) = value.split_once("Signature=").expect("a signature");
        finder.add("a signature", signature.as_bytes());
        finder.add("a value of Authorization", value.as_bytes());
    }
    for value in count("x-auth-token", 1).into_iter().chain(count("x-subject-token", 1)) {
        finder.add("a token that IAM issued", value.as_bytes());
    }
    for date in count("x-date", 1) {
        for sk in ["VOLC_SK", "WRONG_SK"] {
            let mut key = secret(sk).as_bytes().to_vec();
            for part in [&date[..8], "cn-north-1", "rtc", "request"] {
                let mut hmac = Hmac::<Sha256>::new_from_slice(&key).expect("any length");
                hmac.update(part.as_bytes());
                key = hmac.finalize().into_bytes().to_vec();
                finder.add("a derived key", &key);
            }
        }
    }
}

async fn nothing_leaks(format: &str) {
    let names = ["volc", "hw", "hw-iam", "hw-wrong", "iam-wrong", "refused"];
    let (namespace, database) = (Namespace::new(&names).await, Database::new().await);
    let volcengine = format!("{}:{}:{}", secret("VOLC_AK"), secret("VOLC_SK"), secret("VOLC_TOKEN"));
    let huawei = format!("{}:{}:{}", secret("HW_AK"), secret("HW_SK"), secret("HW_TOKEN"));
    let iam = format!("sandbox-domain:sandbox-user:{}", secret("IAM_PASSWORD"));
    let keys = ["--keys-volcengine", &volcengine, "--keys-huawei", &huawei, "--iam-user", &iam];
    let sandbox = Sandbox::start(&keys).await;
    let cloud = Relay::start(sandbox.address, |bytes| bytes).await;
    let broker = Relay::start("127.0.0.1:5672".parse().expect("an address"), as_guest).await;
    let admin = free_address();

    let given: Vec<(&str, &str)> = SECRETS.into_iter().chain([("RUST_LOG", "trace")]).collect();
    let options = ["--log-format", format];
    let ledger = ledger("127.0.0.1:5432".parse().expect("an address"), database.name());
    let configuration = queue(broker.address, namespace.name()) + &ledger + &providers(cloud.address, admin);
    let mut outcome = Outcome::default();

    let mut worker = Process::start(&[&options[..], &["worker"]].concat(), &configuration, &given);
    worker.ready(admin).await;
    work(&mut worker, admin, &mut outcome).await;
    commands(&configuration, &given, &options, &mut outcome);
    // Ten of the twelve, and the one by hand; one was rejected, and one is exhausted.
    outcome.add_queue(&namespace, "results", 11).await;
    outcome.add_queue(&namespace, "dead", 2).await;
    worker.signal(Signal::TERM);
    assert!(worker.ended(Duration::from_secs(40)).await.success());
    outcome.add_process(&worker, "worker");
    for broker in [free_address(), "127.0.0.1:5672".parse().expect("an address")] {
        in_vain(broker, &given, &options, &mut outcome).await;
    }
    embedded(cloud.address, &given, &options, &mut outcome).await;
    outcome.add_process(&sandbox.process, "sandbox");

    let mut finder = Finder::default();
    for (name, secret) in SECRETS {
        finder.add(name, secret.as_bytes());
    }
    add_derived(&mut finder, &cloud);
    let log = outcome.said("stderr of worker");
    assert!(outcome.said("stdout of a command that asks the ledger").contains("\"room_id\":\"a\""));
    assert!(log.contains("wrong admin.token") && log.contains("no token: ") | log.contains("deferred by"), "{log}");
    let found: Vec<String> = outcome
        .0
        .iter()
        .flat_map(|(from, text)| finder.find(text).into_iter().map(move |found| format!("{from}: {found}")))
        .collect();
    assert!(found.is_empty(), "{} found:\n{}", found.len(), found.join("\n"));
}

// A command is waited for on one thread while the relays work on another. One format after the other: the many queues
// of so many accounts are a burden to a small broker.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_found_in_anything_that_comes_out() {
    for format in ["text", "json"] {
        nothing_leaks(format).await;
    }
}
