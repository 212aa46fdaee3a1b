//! What the documentation promises in figures, measured: `cargo bench`, with a RabbitMQ at 127.0.0.1:5672.
//!
//! Real processes throughout: the worker, the sandbox, the broker. Everything on one machine, so a busy one measures
//! itself. `cargo bench -- rate urgent` runs only what is named: rate, neighbour, urgent, memory.

#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../tests/it/flow/evidence.rs"]
mod evidence;
#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../tests/it/flow/stage.rs"]
mod stage;
#[allow(dead_code, unused_imports, reason = "the tests use the rest")]
#[path = "../tests/it/support/mod.rs"]
mod support;

use std::fs;
use std::time::Duration;

use evidence::{Seen, busiest_second, quantile, seen, until_arrived};
use lapin::BasicProperties;
use stage::{Door, Job, Worker, bulk, huawei, namespace, publish, publish_by, volcengine, wall};
use support::rabbit::Published;
use support::sandbox::Sandbox;
use tokio::time::{sleep, timeout};

const MEASURED: Duration = Duration::from_secs(60);
/// Not measured: the start, with all slots free.
const WARM_UP: Duration = Duration::from_secs(3);
const URGENT: usize = 40;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --benches` starts it too, without this.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let named: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |name: &str| named.is_empty() || named.iter().any(|given| *given == name);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        if wanted("rate") {
            rates().await;
        }
        if wanted("neighbour") {
            neighbour().await;
        }
        if wanted("urgent") {
            urgent().await;
        }
        if wanted("memory") {
            memory().await;
        }
    });
}

/// The sustained mean against what the pacing allows.
async fn rates() {
    println!(
        "{:<26} {:>9} {:>9} {:>7} {:>8} {:>10}",
        "Volcengine, 60 QPS", "measured", "allowed", "ratio", "busiest", "throttled"
    );
    for (name, latency, pacing, allowed) in [
        ("strict, answers in 50 ms", "50ms", "strict", 60.0 / 1.051),
        ("send, answers in 50 ms", "50ms", "send", 60.0),
        ("strict, answers in 3 s", "3s", "strict", 60.0 / 1.501),
    ] {
        let sandbox = Sandbox::start(&["--latency", latency]).await;
        let rate = rate(&sandbox, &volcengine(&sandbox.endpoint(), &format!("pacing = '{pacing}'"))).await;
        let busiest = busiest_second(&sandbox, "volcengine").await;
        let throttled = &sandbox.stats().await["clouds"]["volcengine"]["throttled"];
        println!("{name:<26} {rate:>9.2} {allowed:>9.2} {:>7.4} {busiest:>8} {throttled:>10}", rate / allowed);
    }
}

/// Requests a second to Volcengine over [`MEASURED`], with more jobs waiting than can be sent.
async fn rate(sandbox: &Sandbox, tables: &str) -> f64 {
    let namespace = namespace().await;
    let worker = Worker::start(&namespace, tables).await;
    if tables.contains("[providers.huawei]") {
        publish_by(&namespace, &bulk("huawei", "other", 2_000), |_| Door::RoutingKey).await;
    }
    publish_by(&namespace, &bulk("volcengine", "rate", 5_000), |_| Door::RoutingKey).await;
    until_arrived(sandbox, 1).await;
    sleep(WARM_UP + MEASURED + Duration::from_secs(2)).await;
    let seen = seen(sandbox).await;
    drop(worker);
    let mine: Vec<&Seen> = seen.iter().filter(|seen| seen.cloud == "volcengine").collect();
    let micros = |duration: Duration| u64::try_from(duration.as_micros()).expect("a short time");
    let begin = mine.first().expect("requests").t_us + micros(WARM_UP);
    let within = begin..begin + micros(MEASURED);
    assert!(mine.last().is_some_and(|last| last.t_us >= within.end), "the jobs ran out, or nothing moved");
    mine.iter().filter(|seen| within.contains(&seen.t_us)).count() as f64 / MEASURED.as_secs_f64()
}

/// Volcengine's rate beside a Huawei account that hangs on every request until its timeout of 10 s.
async fn neighbour() {
    let mut rates = Vec::new();
    for fault in ["", "[[rule]]\ncloud = 'huawei'\ndo = 'hang'\n"] {
        let sandbox = Sandbox::start(&["--latency", "50ms"]).await;
        sandbox.set_faults(fault).await;
        let tables = volcengine(&sandbox.endpoint(), "") + &huawei(&sandbox.endpoint(), "timeout = '10s'");
        rates.push(rate(&sandbox, &tables).await);
    }
    println!("Volcengine beside a Huawei account that works: {:.2}, that hangs: {:.2}", rates[0], rates[1]);
}

/// From just before the publish to the arrival at the provider, with 5,000 bulk jobs waiting.
async fn urgent() {
    let namespace = namespace().await;
    let sandbox = Sandbox::start(&["--latency", "50ms"]).await;
    let worker = Worker::start(&namespace, &volcengine(&sandbox.endpoint(), "")).await;
    publish(&namespace, &bulk("volcengine", "bulk", 5_000)).await;
    until_arrived(&sandbox, 150).await;
    let mut published = Vec::new();
    for n in 0..URGENT {
        sleep(Duration::from_millis(110 + 7 * (n as u64 % 7))).await;
        let job = Job::new("volcengine", "urgent", format!("urgent-{n}"));
        let (exchange, key) = Door::of(n).address(&namespace, &job);
        let at = wall();
        let sent = namespace.publish(&exchange, &key, &job.body(), BasicProperties::default()).await;
        assert_eq!(sent, Published::Confirmed);
        published.push((job.id, at));
    }
    sleep(Duration::from_secs(3)).await;
    let seen = seen(&sandbox).await;
    drop(worker);
    let latencies: Vec<f64> = published
        .iter()
        .map(|(id, at)| {
            let arrival = seen.iter().find(|seen| seen.room_id == *id).expect("sent within three seconds");
            arrival.at.duration_since(*at).as_secs_f64() * 1e3
        })
        .collect();
    let of = |door: usize| latencies.iter().skip(door).step_by(2).copied().collect::<Vec<f64>>();
    for (name, values) in [("both ways in", latencies.clone()), ("intake", of(0)), ("routing key", of(1))] {
        let figure = |part: f64| quantile(values.clone(), part);
        println!(
            "urgent, {name:<13} median {:>4.0} ms, 95 % {:>4.0} ms, most {:>4.0} ms of {}",
            figure(0.5),
            figure(0.95),
            figure(1.0),
            values.len()
        );
    }
}

/// Resident memory and processor time of a worker with nothing to do, and with 100,000 jobs waiting.
async fn memory() {
    let namespace = namespace().await;
    let sandbox = Sandbox::start(&["--latency", "50ms"]).await;
    let tables = volcengine(&sandbox.endpoint(), "") + &huawei(&sandbox.endpoint(), "");
    let worker = Worker::start(&namespace, &tables).await;
    let pid = worker.process.id();
    sleep(Duration::from_secs(5)).await;
    let before = cpu_seconds(pid);
    sleep(Duration::from_secs(10)).await;
    let idle = cpu_seconds(pid) - before;
    println!("idle worker: {:.1} MB resident, {idle:.2} s of processor time in 10 s", resident_mb(pid, "VmRSS"));

    for (name, door) in [("routing key", Door::RoutingKey), ("intake", Door::Intake)] {
        let jobs = bulk("volcengine", name, 50_000);
        let published = timeout(Duration::from_secs(300), publish_by(&namespace, &jobs, |_| door)).await;
        published.expect("a broker that takes 50,000 jobs in five minutes");
        let (now, most) = (resident_mb(pid, "VmRSS"), resident_mb(pid, "VmHWM"));
        println!("50,000 more jobs by {name}: {now:.1} MB resident, {most:.1} MB at most so far");
    }
    let before = cpu_seconds(pid);
    sleep(Duration::from_secs(20)).await;
    let (now, most) = (resident_mb(pid, "VmRSS"), resident_mb(pid, "VmHWM"));
    let busy = cpu_seconds(pid) - before;
    println!("with 100,000 waiting: {now:.1} MB resident, {most:.1} MB at most, {busy:.2} s of processor time in 20 s");
}

/// A figure of `/proc/PID/status`, in megabytes.
fn resident_mb(pid: u32, figure: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("Linux, and a running worker");
    let line = status.lines().find(|line| line.starts_with(figure)).expect("a figure");
    let kib: f64 = line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).expect("a number");
    kib * 1024.0 / 1e6
}

/// User and system time so far; the kernel counts in hundredths of a second.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("Linux, and a running worker");
    let behind_name = stat.rsplit_once(") ").expect("a name in brackets").1;
    let ticks = behind_name.split(' ').skip(11).take(2).map(|text| text.parse::<f64>().expect("a number"));
    ticks.sum::<f64>() / 100.0
}
