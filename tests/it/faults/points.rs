//! One fault at each point of a job's life: whatever the broker does there, no job is lost.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use tokio::time::Instant;

use crate::checker::Losses;
use crate::flow::evidence;
use crate::flow::stage::{self, Door, Job, Worker};
use crate::flow::story;
use crate::support::amqp::Deed::{
    CancelConsumer, CloseChannel, CloseConnection, CutAfter, CutBefore, Freeze, Refuse, Return, Stall, Swallow,
};
use crate::support::amqp::Message::{DeadLetter, Deferral, Job as NewJob, Result as JobResult};
use crate::support::amqp::Point::{Acked, Confirmed, Consuming, Delivered, Led, Opened, Published};
use crate::support::amqp::Queue::{Intake, Lane, Lead, Retry};
use crate::support::amqp::{Deed, Fault, FaultyBroker, Point};
use crate::support::node::Node;
use crate::support::rabbit::{Namespace, text_headers};
use crate::support::sandbox::Sandbox;

const JOBS: usize = 20;
const QUOTA: usize = 20;
/// So many scenarios at a time: what they do is mostly waiting.
const AT_A_TIME: usize = 16;
/// A confirm is waited for 20 s, a frozen broker noticed after 10 s.
const SETTLED_WITHIN: Duration = Duration::from_secs(90);
const A_WHILE: Deed = Stall(Duration::from_secs(3));

/// How often a job may be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// No session was given up in which jobs were in hand.
    Once,
    /// What the worker could not know to be stored, it stores again.
    OnceOrMore,
}
use Told::{Once, OnceOrMore};

type Scenario = (Point, usize, Deed, Told);

#[rustfmt::skip]
const TABLE: &[Scenario] = &[
    (Opened,               1, CutBefore,       Once),
    (Opened,               2, CutAfter,        Once),
    (Opened,               2, Freeze,          Once),
    (Led,                  1, CutBefore,       OnceOrMore),
    (Led,                  1, CutAfter,        OnceOrMore),
    (Led,                  1, CloseChannel,    OnceOrMore),
    (Led,                  1, A_WHILE,         Once),
    (Consuming(Lead),      1, CancelConsumer,  OnceOrMore),
    (Consuming(Lane),      1, CutBefore,       OnceOrMore),
    (Consuming(Lane),      2, CancelConsumer,  OnceOrMore),
    (Consuming(Intake),    1, CloseChannel,    OnceOrMore),
    (Delivered(Intake),    5, CutBefore,       OnceOrMore),
    (Delivered(Intake),    5, CancelConsumer,  OnceOrMore),
    (Delivered(Lane),      5, CutBefore,       OnceOrMore),
    (Delivered(Lane),      5, CutAfter,        OnceOrMore),
    (Delivered(Lane),      5, CancelConsumer,  OnceOrMore),
    (Delivered(Lane),      5, CloseChannel,    OnceOrMore),
    (Delivered(Lane),      5, CloseConnection, OnceOrMore),
    (Delivered(Lane),      5, Freeze,          OnceOrMore),
    (Delivered(Retry),     1, CutAfter,        OnceOrMore),
    (Published(NewJob),    5, CutBefore,       OnceOrMore),
    (Confirmed(NewJob),    5, CutBefore,       OnceOrMore),
    (Confirmed(NewJob),    5, Refuse,          OnceOrMore),
    (Confirmed(NewJob),    5, Return,          OnceOrMore),
    (Acked(Intake),        5, CutBefore,       OnceOrMore),
    (Published(JobResult), 5, CutBefore,       OnceOrMore),
    (Published(JobResult), 5, CutAfter,        OnceOrMore),
    (Confirmed(JobResult), 5, CutAfter,        OnceOrMore),
    (Confirmed(JobResult), 5, Swallow,         OnceOrMore),
    (Confirmed(JobResult), 5, Refuse,          OnceOrMore),
    (Confirmed(JobResult), 5, Return,          OnceOrMore),
    (Confirmed(JobResult), 5, A_WHILE,         Once),
    (Confirmed(JobResult), 5, CloseChannel,    OnceOrMore),
    (Confirmed(JobResult), 5, Freeze,          OnceOrMore),
    (Published(DeadLetter), 1, CutBefore,      OnceOrMore),
    (Confirmed(DeadLetter), 1, CutBefore,      OnceOrMore),
    (Confirmed(DeadLetter), 1, Swallow,        OnceOrMore),
    (Confirmed(DeadLetter), 1, Refuse,         OnceOrMore),
    (Confirmed(DeadLetter), 1, Return,         OnceOrMore),
    (Published(Deferral),  1, CutBefore,       OnceOrMore),
    (Published(Deferral),  1, CutAfter,        OnceOrMore),
    (Confirmed(Deferral),  1, Swallow,         OnceOrMore),
    (Confirmed(Deferral),  1, Refuse,          OnceOrMore),
    (Confirmed(Deferral),  1, Return,          OnceOrMore),
    (Acked(Lane),          5, CutBefore,       OnceOrMore),
    (Acked(Lane),          5, CutAfter,        OnceOrMore),
    (Acked(Lane),          5, CloseConnection, OnceOrMore),
];

/// On a node of its own: so many namespaces at a time would be too much for a broker that others share.
#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn a_broker_that_fails_at_any_point_loses_no_job() {
    let node = Node::start("").await;
    let sandbox = Arc::new(Sandbox::start(&["--qps-volcengine", "unlimited"]).await);
    let scenarios =
        TABLE.iter().enumerate().map(|(row, scenario)| named(node.address(), sandbox.clone(), row, scenario));
    let failed: Vec<String> =
        stream::iter(scenarios).buffer_unordered(AT_A_TIME).filter_map(std::future::ready).collect().await;
    assert!(failed.is_empty(), "{} of {} scenarios failed:\n{}", failed.len(), TABLE.len(), failed.join("\n"));
}

/// What went wrong, under the scenario's name.
async fn named(server: SocketAddr, sandbox: Arc<Sandbox>, row: usize, scenario: &Scenario) -> Option<String> {
    let began = Instant::now();
    match tokio::spawn(run(server, sandbox, row, *scenario)).await {
        Ok(repeated) => {
            println!("{row} {scenario:?}: {repeated} results came twice, {:?}", began.elapsed());
            None
        }
        Err(error) => {
            let panic = error.into_panic();
            let said = panic.downcast_ref::<String>().cloned();
            let said = said.or_else(|| panic.downcast_ref::<&str>().map(|said| (*said).to_owned()));
            Some(format!("{row} {scenario:?}: {}", said.unwrap_or_default()))
        }
    }
}

/// How many results came more than once.
async fn run(server: SocketAddr, sandbox: Arc<Sandbox>, row: usize, (point, nth, deed, told): Scenario) -> usize {
    let namespace = Namespace::on(&format!("amqp://guest:guest@{server}/%2f"), &["volcengine"]).await;
    let broker = FaultyBroker::start(server, Fault { point, nth, deed }).await;
    // So many processes at once keep a request waiting for longer than the 500 ms that are usual.
    let table = format!(
        "[retry]\ninitial = '1s'\n[providers.volcengine]\nkind = 'volcengine'\nendpoint = '{}'\nqps = {QUOTA}\n\
         max_transit = '2s'\naccess_key_id = 'sandbox-ak'\nsecret_access_key = 'sandbox-sk'\n",
        sandbox.endpoint()
    );
    let worker = Worker::start_by(&broker.url(), &namespace, &table).await;
    let jobs: Vec<Job> = (0..JOBS).map(|index| job(row, index)).collect();
    stage::publish_by(&namespace, &jobs, |_| Door::Intake).await;
    let mut results = evidence::results_of(&namespace, &jobs, SETTLED_WITHIN).await;
    assert!(broker.has_struck(), "the fault never came");
    evidence::until_idle(&namespace, &worker, SETTLED_WITHIN).await;
    let log = worker.process.log();
    worker.stop().await;
    evidence::take_rest(&namespace, &mut results).await;

    let rooms: BTreeSet<&str> = jobs.iter().map(|job| job.id.as_str()).collect();
    let mut seen = evidence::seen(&sandbox).await;
    seen.retain(|request| rooms.contains(request.room_id.as_str()));
    let losses = match told {
        Told::Once => Losses::None,
        Told::OnceOrMore => Losses::Senders { unknown_ids: 0 },
    };
    story::check(&jobs, &results, &seen, &[("volcengine", QUOTA)], losses, &[log]);
    for settled in results.values().flatten() {
        let expected = if settled.job_id.starts_with("badparam") { "rejected" } else { "dismissed" };
        assert_eq!(settled.outcome, expected, "{settled:#?}");
    }
    let letters = namespace.depth(&namespace.of("dead")).await.unwrap_or(0) as usize;
    let dead = namespace.drain(&namespace.of("dead"), letters, SETTLED_WITHIN).await;
    let dead: BTreeSet<String> =
        dead.iter().filter_map(|letter| text_headers(&letter.properties).remove("x-job-id")).collect();
    assert_eq!(dead, BTreeSet::from([jobs[6].id.clone()]), "dead letters");
    evidence::assert_empty(&namespace).await;
    results.values().map(|mine| mine.len() - 1).sum()
}

/// One needs a second attempt, and one a dead letter.
fn job(row: usize, index: usize) -> Job {
    let fault = match index {
        3 => "fail500x1-",
        6 => "badparam-",
        _ => "",
    };
    Job::new("volcengine", "bulk", format!("{fault}p{row}-{index}"))
}
