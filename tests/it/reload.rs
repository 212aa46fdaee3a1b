//! A running worker takes on another configuration: without losing a job, and never above the quota.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use crate::flow::evidence::{self, Metrics, Seen, arrived, assert_one_each, until_arrived};
use crate::flow::stage::{self, Job, bulk};
use crate::support::process::Process;
use crate::support::rabbit::{Namespace, URL};
use crate::support::sandbox::Sandbox;
use crate::support::{eventually, free_address, http};

/// For whatever a busy machine may take a while for.
const SOON: Duration = Duration::from_secs(60);
/// Time between two requests after refused credentials, in microseconds of the cloud's clock.
const REST: u64 = 30_000_000;

/// A worker whose configuration changes.
struct Desk {
    worker: Process,
    admin: SocketAddr,
    /// The part of the configuration that stays.
    base: String,
}

impl Desk {
    async fn on_broker(namespace: &Namespace, tables: &str) -> Self {
        let queue = format!("backend = 'amqp'\nurl = '{URL}'\nnamespace = '{}'", namespace.name());
        Self::start(&queue, tables).await
    }

    async fn on_file(tables: &str) -> Self {
        Self::start("path = 'roomsweep.db'", tables).await
    }

    async fn start(queue: &str, tables: &str) -> Self {
        let admin = free_address();
        let base = format!("[queue]\n{queue}\n[admin]\nlisten = '{admin}'\n");
        let mut worker = Process::start(&["worker"], &format!("{base}{tables}"), &[]);
        worker.ready(admin).await;
        Self { worker, admin, base }
    }

    /// Has it read these tables, and waits until its log says so.
    async fn reload(&self, tables: &str, says: &str) {
        self.reload_as(&format!("{}{tables}", self.base), says).await;
    }

    async fn reload_as(&self, configuration: &str, says: &str) {
        let count = |log: &str| log.matches(says).count();
        let before = count(&self.worker.log());
        self.worker.reconfigure(configuration);
        self.worker.signal(Signal::HUP);
        self.says(says, before + 1).await;
    }

    async fn says(&self, text: &str, times: usize) {
        eventually(text, SOON, || async { (self.worker.log().matches(text).count() >= times).then_some(()) }).await;
    }

    async fn metrics(&self) -> Metrics {
        Metrics::new(http::get(self.admin, "/metrics").await.expect("metrics").body)
    }

    /// Puts a job in over HTTP.
    async fn submit(&self, app: &str, room: &str) {
        let job = json!({ "provider": "volcengine", "app_id": app, "room_id": room, "job_id": room });
        let reply = http::send(self.admin, "POST", "/api/jobs", &job.to_string()).await.expect("a reply");
        assert_eq!(reply.status, 202, "{reply:?}");
    }

    /// Waits until so many jobs have ended like this.
    async fn settled(&self, outcome: &str, jobs: usize) {
        let label = format!("outcome=\"{outcome}\"");
        eventually(&format!("{jobs} {outcome}"), SOON, || async {
            let settled = self.metrics().await.count("roomsweep_jobs_settled_total", &[&label]);
            (settled == jobs).then_some(())
        })
        .await;
    }

    async fn suspended(&self, reason: &str) {
        let label = format!("reason=\"{reason}\"");
        eventually(&format!("suspended for {reason}"), SOON, || async {
            (self.metrics().await.count("roomsweep_provider_suspended", &[&label]) == 1).then_some(())
        })
        .await;
    }
}

fn most_in_a_second(seen: &[Seen]) -> usize {
    let within = |first: u64| seen.iter().filter(|seen| (first..=first + 1_000_000).contains(&seen.t_us)).count();
    seen.iter().map(|first| within(first.t_us)).max().unwrap_or(0)
}

#[tokio::test]
async fn a_new_quota_holds_under_load_and_no_job_is_lost() {
    let namespace = stage::namespace().await;
    let sandbox = Sandbox::start(&["--qps-volcengine", "unlimited"]).await;
    let with_qps = |qps: u32| stage::volcengine(&sandbox.endpoint(), "").replace("qps = 60", &format!("qps = {qps}"));
    let desk = Desk::on_broker(&namespace, &with_qps(60)).await;
    let jobs = bulk("volcengine", "load", 400);
    stage::publish(&namespace, &jobs).await;
    until_arrived(&sandbox, 120).await;

    desk.reload(&with_qps(20), "now in force: providers.volcengine.qps").await;
    // One window of the quota, after which only the new one counts.
    tokio::time::sleep(Duration::from_millis(1501)).await;
    let slower = arrived(&sandbox).await;
    let metrics = desk.metrics().await;
    assert_eq!(metrics.count("roomsweep_quota_qps", &["provider=\"volcengine\""]), 20);
    assert!(metrics.sum("roomsweep_effective_qps", &["provider=\"volcengine\""]) <= 20.0);
    let status = http::get(desk.admin, "/api/status").await.expect("a status").json();
    assert_eq!(status["providers"][0]["quota_qps"], 20.0, "{status}");
    until_arrived(&sandbox, slower + 60).await;
    let faster = arrived(&sandbox).await;
    desk.reload(&with_qps(40), "now in force: providers.volcengine.qps").await;
    let results = evidence::results_of(&namespace, &jobs, SOON).await;

    assert_one_each(&results, &jobs);
    assert!(results.values().flatten().all(|result| result.outcome == "dismissed" && result.attempts == 1));
    let seen = evidence::seen(&sandbox).await;
    let part = |from: u64, to: u64| most_in_a_second(&seen[from as usize..to as usize]);
    let busiest = [part(0, slower), part(slower, faster), part(faster, seen.len() as u64)];
    assert!(busiest[0] <= 60 && busiest[1] <= 20 && busiest[2] <= 40, "{busiest:?}");
    assert!(busiest[0] > 40 && busiest[2] > 20, "a rate that never came near its quota shows nothing: {busiest:?}");
    assert_eq!(desk.worker.log().matches("connected to the broker").count(), 1, "no connection was given up");
    println!("busiest seconds at 60, 20 and 40: {busiest:?}");
}

#[tokio::test]
async fn an_application_off_the_allow_list_is_rejected_from_then_on() {
    let sandbox = Sandbox::start(&[]).await;
    let listed = |apps: &str| stage::volcengine(&sandbox.endpoint(), &format!("app_ids = [{apps}]"));
    let desk = Desk::on_file(&listed("'one', 'two'")).await;
    desk.submit("two", "a").await;
    desk.settled("dismissed", 1).await;
    desk.reload(&listed("'one'"), "now in force: providers.volcengine.app_ids").await;
    desk.submit("two", "b").await;
    desk.settled("rejected", 1).await;
    desk.submit("one", "c").await;
    desk.settled("dismissed", 2).await;
    assert_eq!(arrived(&sandbox).await, 2);

    desk.reload(&format!("{}retired = true", listed("")), "providers.volcengine.retired").await;
    desk.submit("one", "d").await;
    desk.settled("rejected", 2).await;
    assert_eq!(arrived(&sandbox).await, 2);
}

#[tokio::test]
async fn a_faulty_file_changes_nothing_and_what_needs_a_restart_is_named() {
    let namespace = stage::namespace().await;
    let sandbox = Sandbox::start(&[]).await;
    let tables = stage::volcengine(&sandbox.endpoint(), "");
    let desk = Desk::on_broker(&namespace, &tables).await;

    let faulty = tables.replace("qps = 60", "qps = 0\ntimeout = '3'\nregoin = 'x'");
    desk.reload(&faulty, "providers.volcengine.regoin: is not a known key").await;
    let log = desk.worker.log();
    for fault in ["providers.volcengine.qps: must be", "providers.volcengine.timeout: must be"] {
        assert!(log.contains(&format!("reload: nothing is changed: {fault}")), "{fault}");
    }
    assert_eq!(desk.metrics().await.count("roomsweep_quota_qps", &["provider=\"volcengine\""]), 60);

    let elsewhere = format!(
        "{}[shutdown]\ngrace = '1s'\n[results]\nmax_bytes = 5\n{}{}",
        desk.base.replace(namespace.name(), "elsewhere").replace(&desk.admin.to_string(), &free_address().to_string()),
        tables.replace("qps = 60", "qps = 50"),
        stage::huawei(&sandbox.endpoint(), "")
    );
    desk.reload_as(&elsewhere, "now in force: providers.volcengine.qps").await;
    for path in ["queue.namespace", "admin.listen", "shutdown.grace", "results.max_bytes", "providers.huawei (new)"] {
        desk.says(&format!("reload: {path}: needs a restart, left as it was"), 1).await;
    }
    let jobs = bulk("volcengine", "still", 5);
    stage::publish(&namespace, &jobs).await;
    assert_one_each(&evidence::results_of(&namespace, &jobs, SOON).await, &jobs);
    assert_eq!(desk.metrics().await.count("roomsweep_quota_qps", &["provider=\"volcengine\""]), 50);
    assert!(!desk.worker.log().contains("sandbox-sk"));
}

/// Reads of the file in the middle of its writing are of the unit tests.
#[tokio::test]
async fn a_corrected_secret_file_mends_a_suspension_and_the_key_is_tried_once_in_thirty_seconds() {
    let namespace = stage::namespace().await;
    let sandbox = Sandbox::start(&["--lock-after", "3"]).await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let secret = directory.path().join("secret");
    fs::write(&secret, "mistyped").expect("written");
    let by_file = format!("{{ file = '{}' }}", secret.display());
    let tables = stage::huawei(&sandbox.endpoint(), "").replace("'sandbox-sk'", &by_file);
    let desk = Desk::on_broker(&namespace, &tables).await;
    let mut jobs = bulk("huawei", "first", 1);
    stage::publish(&namespace, &jobs).await;
    desk.suspended("credentials").await;
    let more = bulk("huawei", "more", 30);
    stage::publish(&namespace, &more).await;
    jobs.extend(more);

    fs::write(&secret, "").expect("written");
    desk.says("secret_access_key: the file", 1).await;
    mount(&secret, "sandbox-sk");
    desk.says("secret files read again, now in force: providers.huawei.secret_access_key", 1).await;
    // Neither new credentials nor a signal shorten the rest of the key.
    desk.worker.signal(Signal::HUP);

    let results = evidence::results_of(&namespace, &jobs, SOON).await;
    assert_one_each(&results, &jobs);
    assert!(results.values().flatten().all(|result| result.outcome == "dismissed"), "{results:#?}");
    let seen = evidence::seen(&sandbox).await;
    let is_refused = |seen: &Seen| seen.status != Some(202);
    let refused: Vec<&Seen> = seen.iter().filter(|seen| is_refused(seen)).collect();
    // Three jobs prove the refusal; then the key is left alone.
    assert!((3..=4).contains(&refused.len()), "{refused:#?}");
    for pair in seen[2..].windows(2).filter(|pair| is_refused(&pair[0])) {
        assert!(pair[1].t_us - pair[0].t_us >= REST, "{pair:#?}");
    }
    let log = desk.worker.log();
    assert_eq!(log.matches("secret_access_key: the file").count(), 1, "a fault is told once");
    assert!(!log.contains("mistyped") && !log.contains("sandbox-sk"));
}

#[tokio::test]
async fn secrets_are_read_as_the_file_in_force_says_though_another_one_was_refused() {
    let sandbox = Sandbox::start(&[]).await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let secret = directory.path().join("secret");
    fs::write(&secret, "sandbox-sk").expect("written");
    let by_file = format!("{{ file = '{}' }}", secret.display());
    let one = stage::volcengine(&sandbox.endpoint(), "").replace("'sandbox-sk'", &by_file);
    let other = one.replace("[providers.volcengine]", "[providers.other]");
    let desk = Desk::on_file(&format!("{one}{}", other.replace("'sandbox-ak'", "'another-ak'"))).await;
    // Without the first table, whose key the second one takes over.
    desk.reload(&other, "nothing is changed: providers.volcengine: would share the quota of providers.other").await;
    mount(&secret, "sandbox-sk-2");
    desk.says("secret files read again, now in force: providers.", 1).await;
    assert_eq!(desk.worker.log().matches("would share the quota").count(), 1);
}

/// As Kubernetes does it: the name is a link, and the link changes.
fn mount(path: &Path, text: &str) {
    let (target, link) = (path.with_extension("data"), path.with_extension("link"));
    fs::write(&target, text).expect("written");
    std::os::unix::fs::symlink(&target, &link).expect("a link");
    fs::rename(&link, path).expect("replaced");
}

const NO_SUCH_API: &str = "[[rule]]\ndo = 'noapi'\n";

#[tokio::test]
async fn a_wrong_endpoint_settles_nothing_and_the_right_one_is_tried_at_once() {
    let namespace = stage::namespace().await;
    let (wrong, right) = (Sandbox::start(&[]).await, Sandbox::start(&[]).await);
    wrong.set_faults(NO_SUCH_API).await;
    let desk = Desk::on_broker(&namespace, &stage::volcengine(&wrong.endpoint(), "")).await;
    let jobs = bulk("volcengine", "typo", 20);
    stage::publish(&namespace, &jobs).await;
    desk.suspended("configuration").await;
    assert_eq!(desk.metrics().await.count("roomsweep_jobs_settled_total", &[]), 0);

    desk.reload(&stage::volcengine(&right.endpoint(), ""), "now in force: providers.volcengine.endpoint").await;
    eventually("a probe, long before its time", Duration::from_secs(15), || async {
        (arrived(&right).await > 0).then_some(())
    })
    .await;
    let results = evidence::results_of(&namespace, &jobs, SOON).await;
    assert_one_each(&results, &jobs);
    assert!(results.values().flatten().all(|result| result.outcome == "dismissed"), "{results:#?}");
}

#[tokio::test]
async fn a_refusal_of_the_old_endpoint_does_not_suspend_the_new_one() {
    let namespace = stage::namespace().await;
    let (slow, right) = (Sandbox::start(&["--latency", "5s"]).await, Sandbox::start(&[]).await);
    slow.set_faults(NO_SUCH_API).await;
    let desk = Desk::on_broker(&namespace, &stage::volcengine(&slow.endpoint(), "")).await;
    let jobs: Vec<Job> = bulk("volcengine", "late", 10);
    stage::publish(&namespace, &jobs).await;
    until_arrived(&slow, 10).await;
    desk.reload(&stage::volcengine(&right.endpoint(), ""), "now in force: providers.volcengine.endpoint").await;
    let results = evidence::results_of(&namespace, &jobs, SOON).await;
    assert_one_each(&results, &jobs);
    assert!(results.values().flatten().all(|result| result.outcome == "dismissed" && result.attempts == 2));
    assert!(!desk.worker.log().contains("suspended"));
}

#[tokio::test]
async fn a_token_outlives_a_reload_unless_what_it_was_fetched_with_changes() {
    let namespace = stage::namespace().await;
    let sandbox = Sandbox::start(&[]).await;
    let table = |more: &str, host: &str| {
        let iam = format!("http://{host}:{}", sandbox.address.port());
        format!(
            "[providers.huawei]\nkind = 'huawei'\nauth = 'token'\nendpoint = '{}'\niam_endpoint = '{iam}'\n\
             domain = 'sandbox-domain'\nuser = 'sandbox-user'\npassword = 'sandbox-password'\n\
             project_id = 'sandbox-project'\n{more}\n",
            sandbox.endpoint()
        )
    };
    let desk = Desk::on_broker(&namespace, &table("", "127.0.0.1")).await;
    let fetched = async |name: &str| {
        let jobs = bulk("huawei", name, 3);
        stage::publish(&namespace, &jobs).await;
        let results = evidence::results_of(&namespace, &jobs, SOON).await;
        assert!(results.values().flatten().all(|result| result.outcome == "dismissed"), "{results:#?}");
        sandbox.stats().await["clouds"]["iam"]["arrived"].clone()
    };
    assert_eq!(fetched("first").await, 1);
    desk.reload(&table("timeout = '5s'", "127.0.0.1"), "now in force: providers.huawei.timeout").await;
    assert_eq!(fetched("second").await, 1);
    desk.reload(&table("timeout = '5s'", "localhost"), "now in force: providers.huawei.iam_endpoint").await;
    assert_eq!(fetched("third").await, 2);
}
