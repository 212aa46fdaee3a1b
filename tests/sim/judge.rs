//! What must hold of a run when it is over.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::FutureExt;
use roomsweep::model::ledger::HistoryFilter;
use roomsweep::model::result::{DismissResult, Outcome};
use roomsweep::model::verdict::VerdictLabel;
use roomsweep::ports::ledger::Ledger;

use super::checker::{self, Arrival, Case, Losses, Told};
use super::plan::{self, Answer, Kind, Phase};
use super::world::{Seen, World};

/// Beyond what slots, breaker, hand-over and backoff have to wait.
const SLACK: Duration = Duration::from_secs(60);
/// Between two probes of a provider that refused us.
const REFUSAL: Duration = Duration::from_secs(30);
/// A lead to be taken, a refusal to be probed, and a queue of results to be tried again.
const PAUSES: Duration = Duration::from_secs(5 + 30 + 5);
/// Three refusals of a job that goes behind all others each time, at the longest waits between them.
const JUDGEMENTS: Duration = Duration::from_secs(3 * 35);
/// All waits of a job's eight attempts, and as many throttles as a room is good for.
const BACKOFF: Duration = Duration::from_secs(64 + 5 * 4);

/// Until when everything must be settled.
pub fn latest(world: &World) -> Duration {
    let plan = &world.plan;
    // A job's own time is told by whoever has it.
    let start = |start| start + plan.behind();
    let wanted = plan.jobs.iter().map(|job| job.put.max(job.not_before.map_or(Duration::ZERO, start))).max();
    let calm = plan::calm(&plan.events, plan.faults_end).max(wanted.unwrap_or_default());
    let state = world.state();
    let work = |index: usize| {
        let cloud = &plan.clouds[index];
        let waiting = plan.jobs.iter().filter(|job| job.cloud == index && job.put >= calm).count();
        let sent = state.arrivals.iter().filter(|seen| seen.cloud == index && seen.at >= calm).count();
        // Seconds a request: by its slot, at the lowest rate that a throttle leaves, or by its place on the wire.
        let by_slot = 2.0 / f64::from(cloud.qps).min(2.0);
        let by_place = (cloud.connect + cloud.timeout).as_secs_f64() / cloud.max_in_flight as f64;
        // A probe that fails leaves a refusal in force: then each job may have to be the next one, attempt by attempt.
        let refused = cloud.phases.iter().any(|(_, _, phase)| matches!(phase, Phase::Refusing | Phase::Misconfigured));
        let by_probe = if refused { REFUSAL.as_secs_f64() } else { 0.0 };
        Duration::from_secs_f64(by_slot.max(by_place).max(by_probe) * (waiting + sent + 1) as f64)
    };
    let work = (0..plan.clouds.len()).map(work).max().unwrap_or_default();
    let replies = plan.clouds.iter().map(|cloud| cloud.timeout).max().unwrap_or_default() * plan.max_attempts;
    calm + work + replies + BACKOFF + PAUSES + JUDGEMENTS + SLACK
}

/// Everything that is wrong, in words.
pub fn judge(world: &World, results: &[(String, Vec<u8>)], dead: &[(String, Vec<u8>)]) -> Vec<String> {
    let filed: Vec<(&str, DismissResult)> =
        results.iter().map(|(key, body)| (key.as_str(), serde_json::from_slice(body).expect("a result"))).collect();
    let results: Vec<&DismissResult> = filed.iter().map(|(_, result)| result).collect();
    let mut faults = common(world, &results);
    for (key, result) in &filed {
        if !key.ends_with(&format!(".{}", result.outcome)) {
            faults.push(format!("{} is filed under {key}", result.job_id));
        }
        faults.extend(outcome(world, result));
    }
    faults.extend(dead_letters(&results, dead));
    let mut by_job = BTreeMap::<&str, Vec<&DismissResult>>::new();
    for result in &results {
        by_job.entry(result.job_id.as_str()).or_default().push(result);
    }
    for (id, mine) in by_job {
        faults.extend(once(world, id, &mine));
    }
    faults.extend(sent_again(world));
    faults.extend(burnt(world));
    faults.extend(suspended(world));
    faults.extend(unrecorded(world, &results));
    faults
}

/// The rules that hold for every scenario.
fn common(world: &World, results: &[&DismissResult]) -> Vec<String> {
    let (plan, state) = (&world.plan, world.state());
    let submitted: Vec<String> = plan.jobs.iter().map(|job| job.id.clone()).collect();
    let told: Vec<Told> = results.iter().map(|result| told(result)).collect();
    let arrivals: Vec<Arrival> = state
        .arrivals
        .iter()
        .map(|seen| Arrival {
            cloud: plan.clouds[seen.cloud].name.to_owned(),
            at_us: seen.at.as_micros() as u64,
            request_id: seen.id.clone().filter(|_| !may_be_forgotten(world, &state, seen)),
        })
        .collect();
    let known: Vec<&str> = state.arrivals.iter().filter_map(|seen| seen.id.as_deref()).collect();
    let quotas: Vec<(&str, usize)> = plan.clouds.iter().map(|cloud| (cloud.name, cloud.qps as usize)).collect();
    let case = Case {
        submitted: &submitted,
        results: &told,
        arrivals: &arrivals,
        quotas: &quotas,
        max_attempts: plan.max_attempts,
        losses: Losses::Senders { unknown_ids: 0 },
        logs: &[],
    };
    let excused = |fault: &String| {
        // A doubled job may end in two ways; and an ID that may be forgotten may be known all the same.
        let doubled = fault.contains("ended as") && state.doubled.iter().any(|id| fault.starts_with(&format!("{id},")));
        doubled || fault.strip_prefix("no cloud ever gave ").is_some_and(|id| known.contains(&id))
    };
    checker::violations(&case).into_iter().filter(|fault| !excused(fault)).collect()
}

/// What its worker could not write down: it ended, or its connection did and another worker had the job.
fn may_be_forgotten(world: &World, state: &super::world::State, seen: &Seen) -> bool {
    let cut = state.conns.iter().any(|conn| conn.id == seen.conn && !conn.is_whole());
    cut && (world.plan.workers > 1 || state.ended.contains(&seen.worker) && !is_last(state, seen))
}

/// Whether the worker lived to the end, when everything was settled.
fn is_last(state: &super::world::State, seen: &Seen) -> bool {
    let last = state.conns.iter().map(|conn| conn.worker).max();
    last == Some(seen.worker)
}

fn told(result: &DismissResult) -> Told {
    let transient = result.attempt_log.iter().filter(|record| record.verdict == VerdictLabel::Transient).count();
    let ids = result.attempt_log.iter().filter_map(|record| record.request_id.as_ref());
    Told {
        job_id: result.job_id.as_str().to_owned(),
        provider: result.provider.as_ref().map_or_else(String::new, ToString::to_string),
        run: result.run,
        outcome: result.outcome.to_string(),
        attempts: result.attempts,
        transient: transient as u32,
        // [`suspended`] looks at what the clouds did.
        refused: 0,
        logged: result.attempt_log.len() as u32,
        omitted: result.attempts_omitted,
        request_ids: ids.map(|id| id.as_str().to_owned()).collect(),
    }
}

/// A result says what its job and its cloud were about.
fn outcome(world: &World, result: &DismissResult) -> Vec<String> {
    let job = world.job(result.job_id.as_str());
    let transient = told(result).transient;
    let last = result.attempt_log.last().map(|record| record.verdict);
    let code = result.error.as_ref().map(|error| error.code.as_str());
    let right = match (job.kind, result.outcome) {
        (Kind::Garbage, outcome) => outcome == Outcome::Invalid && code == Some("invalid_job"),
        (Kind::UnknownProvider, outcome) => outcome == Outcome::Invalid && code == Some("unknown_provider"),
        (Kind::Poison, outcome) => outcome == Outcome::Exhausted && code == Some("delivery_limit"),
        (Kind::Ordinary | Kind::ForeignApp, Outcome::Expired) => {
            job.expires_at.is_some_and(|end| result.settled_at >= World::wall(end))
        }
        (Kind::Ordinary | Kind::ForeignApp, Outcome::Cancelled) => {
            let is_told_by_the_right_time = world.plan.clock_sets().all(|ahead| ahead == 0);
            let is_late = |at| !is_told_by_the_right_time || result.settled_at >= World::wall(at);
            code == Some("cancelled") && world.cancelled(job).is_some_and(is_late)
        }
        (Kind::ForeignApp, outcome) => outcome == Outcome::Rejected && result.attempts == 0,
        (Kind::Ordinary, Outcome::Dismissed) => last == Some(VerdictLabel::Dismissed),
        (Kind::Ordinary, Outcome::AlreadyGone) => last == Some(VerdictLabel::AlreadyGone),
        (Kind::Ordinary, Outcome::Rejected) if job.last.is_refusal() => refusals(world, &job.room) >= 3,
        (Kind::Ordinary, Outcome::Rejected) => job.last == Answer::Rejected && last == Some(VerdictLabel::Rejected),
        (Kind::Ordinary, Outcome::Exhausted) => {
            transient + result.attempts_omitted >= world.plan.max_attempts && last == Some(VerdictLabel::Transient)
        }
        (Kind::Ordinary, Outcome::Invalid) => false,
    };
    if right { Vec::new() } else { vec![format!("{} ends wrongly: {result:?}", result.job_id)] }
}

/// How often a cloud refused a room: a worker that was cut off may know of refusals that no log has.
fn refusals(world: &World, room: &str) -> usize {
    let is_refused = |seen: &&Seen| seen.room == room && seen.answer.is_some_and(Answer::is_refusal);
    world.state().arrivals.iter().filter(is_refused).count()
}

/// Of a cloud that refuses everybody no worker asks more than it must: what was on the wire at the first refusal, some to
/// prove it, and one request now and then.
fn burnt(world: &World) -> Vec<String> {
    const TO_PROVE: usize = 8;
    const NOW_AND_THEN: Duration = Duration::from_secs(5);
    let state = world.state();
    let mut faults = Vec::new();
    for (index, cloud) in world.plan.clouds.iter().enumerate() {
        let refusing =
            cloud.phases.iter().filter(|(.., phase)| matches!(phase, Phase::Refusing | Phase::Misconfigured));
        for (from, to, phase) in refusing {
            let mut mine = BTreeMap::<u64, Vec<&Seen>>::new();
            let in_phase = |seen: &&Seen| seen.cloud == index && (*from..*to).contains(&seen.at);
            let refused =
                state.arrivals.iter().filter(in_phase).filter(|seen| seen.answer.is_some_and(Answer::is_refusal));
            refused.for_each(|seen| mine.entry(seen.worker).or_default().push(seen));
            for (worker, seen) in mine {
                let Some(known) = seen.iter().filter_map(|seen| seen.told).min() else { continue };
                let later = seen.iter().filter(|seen| seen.at > known + cloud.max_transit).count();
                let most = TO_PROVE + ((*to - *from).as_secs() / NOW_AND_THEN.as_secs()) as usize;
                if later > most {
                    faults.push(format!(
                        "w{worker} sent {later} requests to {} that was {phase:?}; {most} may",
                        cloud.name
                    ));
                }
            }
        }
    }
    faults
}

/// A cloud that always takes other jobs is never found to refuse them all.
fn suspended(world: &World) -> Vec<String> {
    let state = world.state();
    let refuses = |phase: &(Duration, Duration, Phase)| matches!(phase.2, Phase::Refusing | Phase::Misconfigured);
    let named = |name: &str| world.plan.clouds.iter().find(|cloud| cloud.name == name).expect("a cloud of the plan");
    let wrong = state.suspended.iter().filter(|(name, _)| !named(name).phases.iter().any(refuses));
    wrong.map(|(name, at)| format!("{name} was suspended at {at:?} although it refused no other job")).collect()
}

/// Dead letters are there for exactly the results that ask for one.
fn dead_letters(results: &[&DismissResult], dead: &[(String, Vec<u8>)]) -> Vec<String> {
    let mut balance = BTreeMap::<String, i64>::new();
    for result in results {
        let asks = matches!(result.outcome, Outcome::Rejected | Outcome::Exhausted | Outcome::Invalid);
        *balance.entry(result.job_id.as_str().to_owned()).or_default() += i64::from(asks);
    }
    for (_, body) in dead {
        let text = String::from_utf8_lossy(body);
        let named = text.split_once("\"job_id\":\"").and_then(|(_, rest)| rest.split_once('"')).map(|(id, _)| id);
        let id = named.or(text.strip_prefix("garbage ")).unwrap_or(&text).to_owned();
        *balance.entry(id).or_default() -= 1;
    }
    let wrong = balance.into_iter().filter(|(_, balance)| *balance != 0);
    wrong.map(|(id, balance)| format!("{id} lacks {balance} dead letters")).collect()
}

/// One result, unless the queue may have had the job twice; and then they agree as far as they can.
fn once(world: &World, id: &str, results: &[&DismissResult]) -> Vec<String> {
    if !world.state().doubled.contains(id) {
        let many = results.len() > 1;
        return if many { vec![format!("{id} has {} results", results.len())] } else { Vec::new() };
    }
    let is_final = |result: &&&DismissResult| {
        !matches!(result.outcome, Outcome::Expired | Outcome::Exhausted | Outcome::Cancelled)
    };
    let mut meanings: Vec<Outcome> = results.iter().filter(is_final).map(|result| result.outcome).collect();
    meanings.iter_mut().for_each(|outcome| {
        if *outcome == Outcome::AlreadyGone {
            *outcome = Outcome::Dismissed;
        }
    });
    meanings.dedup();
    if meanings.len() > 1 { vec![format!("{id} ended as {meanings:?}")] } else { Vec::new() }
}

/// A worker that lives on sends nothing again once it had its answer, whatever happens to the queue.
fn sent_again(world: &World) -> Vec<String> {
    let state = world.state();
    if world.plan.workers > 1 {
        return Vec::new();
    }
    let mut answered = BTreeMap::<(&str, u64), &Seen>::new();
    let mut faults = Vec::new();
    for seen in &state.arrivals {
        let job = world.job(&seen.room);
        if state.doubled.contains(&job.id) {
            continue;
        }
        if let Some(before) = answered.get(&(seen.room.as_str(), seen.worker)) {
            faults.push(format!("{} was sent again at {:?}, after {before:?}", job.id, seen.at));
        }
        let is_end = matches!(seen.answer, Some(Answer::Dismissed | Answer::Gone | Answer::Rejected));
        if is_end && seen.told.is_some() {
            answered.insert((&seen.room, seen.worker), seen);
        }
    }
    faults
}

/// The ledger has every result once, and nothing waits for it.
fn unrecorded(world: &World, results: &[&DismissResult]) -> Vec<String> {
    let mut faults = Vec::new();
    if world.queue.unrecorded() > 0 {
        faults.push(format!("{} results wait for the ledger", world.queue.unrecorded()));
    }
    let all = world.ledger.history(&HistoryFilter::default(), None, u32::MAX).now_or_never().unwrap().unwrap();
    let known: BTreeMap<(&str, u32), Outcome> =
        all.iter().map(|result| ((result.job_id.as_str(), result.run), result.outcome)).collect();
    for result in results {
        if !known.contains_key(&(result.job_id.as_str(), result.run)) {
            faults.push(format!("{} is not in the ledger", result.job_id));
        }
    }
    if known.len() != all.len() {
        faults.push("the ledger has a result twice".into());
    }
    faults
}
