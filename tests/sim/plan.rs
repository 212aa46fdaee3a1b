//! What a seed stands for: clouds, jobs, and all that goes wrong, and when.

use std::time::Duration;

use fastrand::Rng;

pub const MS: Duration = Duration::from_millis(1);
pub const SECOND: Duration = Duration::from_secs(1);
/// What a cloud asks for.
pub const MOST_RETRY_AFTER: Duration = Duration::from_secs(4);

/// Moments are since the start of the run.
pub struct Plan {
    pub clouds: Vec<CloudPlan>,
    pub workers: usize,
    pub jobs: Vec<JobPlan>,
    /// In the order of time.
    pub events: Vec<(Duration, Event)>,
    /// When which batch is cancelled.
    pub cancels: Vec<(Duration, String)>,
    /// From when to when which cloud is paused.
    pub pauses: Vec<(Duration, Duration, usize)>,
    /// How long the ledger takes to answer.
    pub ledger: Duration,
    /// After this nothing goes wrong any more, but for what single rooms do.
    pub faults_end: Duration,
    /// How likely a call to the queue loses its connection until then.
    pub cuts: f64,
    /// How long the queue takes to confirm, at most; and how likely it takes much longer.
    pub confirm: Duration,
    pub slow_confirms: f64,
    /// How long a worker takes to see that it was cut off, at most.
    pub notice: Duration,
    pub grace: Duration,
    pub max_attempts: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Volcengine,
    Huawei,
}

#[derive(Debug, Clone)]
pub struct CloudPlan {
    pub name: &'static str,
    pub dialect: Dialect,
    pub qps: u32,
    pub max_in_flight: usize,
    pub timeout: Duration,
    pub max_transit: Duration,
    /// Before a request is written, at most.
    pub connect: Duration,
    /// From its arrival to its reply: as a rule, and at most.
    pub usual: Duration,
    pub slowest: Duration,
    /// How likely a single request meets trouble until the faults end.
    pub trouble: f64,
    pub phases: Vec<(Duration, Duration, Phase)>,
}

/// What a cloud does to all requests for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Failing,
    Unreachable,
    Silent,
    Throttling,
    Refusing,
    Misconfigured,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Dismissed,
    Gone,
    Failed,
    Unreadable,
    Throttled {
        retry_after: Option<u64>,
    },
    ThrottledInside200,
    Rejected,
    Refused,
    Misconfigured,
    /// A page of a firewall.
    Forbidden,
}

impl Answer {
    /// Whether it tells of what all jobs share.
    pub fn is_refusal(self) -> bool {
        matches!(self, Answer::Refused | Answer::Misconfigured | Answer::Forbidden)
    }
}

#[derive(Debug, Clone, Copy)]
pub enum Event {
    /// A worker's connection goes.
    Cut(usize),
    /// All connections go, and there is none for a while.
    BrokerAway(Duration),
    /// Results are refused for a while.
    ResultsFull(Duration),
    LeadLost(usize),
    /// A worker ends at once; another one starts after a while.
    Kill(usize, Duration),
    /// A worker is asked to stop; another one starts after a while.
    Stop(usize, Duration),
    /// The clock of a worker's host is set: so many seconds ahead of the right time.
    ClockSet(usize, i64),
}

#[derive(Debug, Clone)]
pub struct JobPlan {
    pub id: String,
    pub room: String,
    pub put: Duration,
    pub into: Into,
    pub kind: Kind,
    pub cloud: usize,
    pub urgent: bool,
    pub not_before: Option<Duration>,
    pub expires_at: Option<Duration>,
    /// What the cloud says to its first requests, and then always.
    pub first: Vec<Answer>,
    pub last: Answer,
}

impl JobPlan {
    pub fn batch(&self) -> String {
        format!("b{}", self.room.len())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Into {
    Intake,
    Lane,
    OtherLane,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Ordinary,
    Garbage,
    UnknownProvider,
    ForeignApp,
    /// The queue gave it up.
    Poison,
}

fn chance(rng: &mut Rng, likely: f64) -> bool {
    unit(rng) < likely
}

/// From 0 to 1.
pub fn unit(rng: &mut Rng) -> f64 {
    f64::from(rng.u32(..)) / f64::from(u32::MAX)
}

pub fn up_to(rng: &mut Rng, most: Duration) -> Duration {
    most.mul_f64(unit(rng))
}

fn between(rng: &mut Rng, least: u64, most: u64) -> Duration {
    Duration::from_millis(rng.u64(least..=most))
}

fn pick<T: Copy>(rng: &mut Rng, of: &[T]) -> T {
    of[rng.usize(..of.len())]
}

impl Plan {
    /// How far the clock of a worker is behind the right time, at most.
    pub fn behind(&self) -> Duration {
        self.clock_sets().map(|ahead| Duration::from_secs(ahead.min(0).unsigned_abs())).max().unwrap_or_default()
    }

    /// How far each clock is set ahead of the right time, in seconds.
    pub fn clock_sets(&self) -> impl Iterator<Item = i64> {
        self.events.iter().filter_map(|(_, event)| match event {
            Event::ClockSet(_, ahead) => Some(*ahead),
            Event::Cut(_)
            | Event::BrokerAway(_)
            | Event::ResultsFull(_)
            | Event::LeadLost(_)
            | Event::Kill(..)
            | Event::Stop(..) => None,
        })
    }

    pub fn of(seed: u64) -> Self {
        let acts = &mut Rng::with_seed(seed ^ 0xac75);
        let clocks = &mut Rng::with_seed(seed ^ 0xc10c);
        let rng = &mut Rng::with_seed(seed);
        let workers = pick(rng, &[1, 1, 1, 2, 2, 3]);
        let faults_end = between(rng, 20_000, 90_000);
        let (clouds, clock_sets) = (clouds(rng, workers, faults_end), clock_sets(clocks, workers, faults_end));
        // Many are dear, and few seeds need them.
        let most = pick(rng, &[40, 40, 40, 40, 60, 150]);
        let count = rng.usize(30..=most);
        let mut jobs: Vec<JobPlan> = (0..count).map(|n| job(rng, n, clouds.len(), faults_end)).collect();
        let outcasts = &mut Rng::with_seed(seed ^ 0x0ca5);
        let events = events(rng, outcasts, workers, clouds.len(), faults_end, clock_sets);
        let calm = calm(&events, faults_end);
        for index in 0..clouds.len() {
            if chance(outcasts, 0.4) {
                let from = jobs.len();
                outcast(outcasts, &mut jobs, index);
                jobs.extend((0..WITNESSES).map(|n| witness(from + n, index, calm + WITNESS_PAUSE * n as u32)));
            }
        }
        Self {
            workers,
            jobs,
            events,
            cancels: cancels(acts, faults_end),
            pauses: pauses(acts, clouds.len(), faults_end),
            ledger: pick(acts, &[1, 50, 1_000]) * MS,
            faults_end,
            cuts: pick(rng, &[0.0, 0.0, 0.001, 0.005, 0.02]),
            confirm: pick(rng, &[1, 2, 20, 200]) * MS,
            slow_confirms: pick(rng, &[0.0, 0.0, 0.01, 0.05]),
            // With the longest transit and the wait to connect less than the second that a successor waits beside the
            // window of the quota.
            notice: if workers == 1 { pick(rng, &[0, 300, 5_000]) * MS } else { pick(rng, &[0, 200]) * MS },
            grace: pick(rng, &[1, 5, 25]) * SECOND,
            clouds,
            max_attempts: 8,
        }
    }
}

fn clouds(rng: &mut Rng, workers: usize, faults_end: Duration) -> Vec<CloudPlan> {
    let dialects = [("volc", Dialect::Volcengine), ("hw", Dialect::Huawei), ("volc2", Dialect::Volcengine)];
    let count = rng.usize(1..=3);
    dialects[..count]
        .iter()
        .map(|&(name, dialect)| {
            let phases = if chance(rng, 0.5) { 0 } else { rng.usize(1..=2) };
            CloudPlan {
                name,
                dialect,
                qps: pick(rng, &[1, 3, 5, 10, 20, 60]),
                max_in_flight: pick(rng, &[1, 4, 16, 64]),
                timeout: pick(rng, &[2, 10]) * SECOND,
                max_transit: pick(rng, &[50, 200, 500]) * MS,
                connect: pick(rng, &[0, 0, 50, if workers == 1 { 3_000 } else { 100 }]) * MS,
                usual: pick(rng, &[1, 10, 50, 500, 3_000]) * MS,
                slowest: pick(rng, &[1, 12]) * SECOND,
                trouble: pick(rng, &[0.0, 0.02, 0.1]),
                phases: (0..phases).map(|_| phase(rng, faults_end)).collect(),
            }
        })
        .collect()
}

fn phase(rng: &mut Rng, faults_end: Duration) -> (Duration, Duration, Phase) {
    let from = up_to(rng, faults_end);
    let to = (from + between(rng, 2_000, 60_000)).min(faults_end);
    let of = [
        Phase::Failing,
        Phase::Unreachable,
        Phase::Silent,
        Phase::Throttling,
        Phase::Refusing,
        Phase::Refusing,
        Phase::Misconfigured,
    ];
    (from, to, pick(rng, &of))
}

fn clock_sets(rng: &mut Rng, workers: usize, faults_end: Duration) -> Vec<(Duration, Event)> {
    let count = pick(rng, &[0, 0, 1, 3]);
    (0..count)
        .map(|_| {
            let ahead = pick(rng, &[-300, -60, -1, 0, 1, 60, 300]);
            (up_to(rng, faults_end), Event::ClockSet(rng.usize(..workers), ahead))
        })
        .collect()
}

/// Good jobs that come late, so that there is somebody to disprove what bad ones are refused.
const WITNESSES: usize = 12;
const WITNESS_PAUSE: Duration = Duration::from_secs(30);

/// When nothing goes wrong any more, and results are taken.
pub fn calm(events: &[(Duration, Event)], faults_end: Duration) -> Duration {
    let ends = events.iter().map(|(at, event)| match event {
        Event::ResultsFull(pause) => *at + *pause,
        Event::Cut(_)
        | Event::BrokerAway(_)
        | Event::LeadLost(_)
        | Event::Kill(..)
        | Event::Stop(..)
        | Event::ClockSet(..) => *at,
    });
    ends.fold(faults_end, Duration::max)
}

/// One or two jobs are refused for ever, with words that are meant for all.
fn outcast(rng: &mut Rng, jobs: &mut [JobPlan], cloud: usize) {
    let many = rng.usize(1..=2);
    let mine = jobs.iter_mut().filter(|job| job.cloud == cloud && job.kind == Kind::Ordinary);
    for job in mine.take(many) {
        (job.first, job.last) = (Vec::new(), pick(rng, &[Answer::Refused, Answer::Misconfigured, Answer::Forbidden]));
    }
}

fn witness(n: usize, cloud: usize, put: Duration) -> JobPlan {
    JobPlan {
        id: format!("j{n}"),
        // Of a batch that nobody cancels.
        room: format!("witness-{n}"),
        put,
        into: Into::Intake,
        kind: Kind::Ordinary,
        cloud,
        urgent: false,
        not_before: None,
        expires_at: None,
        first: Vec::new(),
        last: Answer::Dismissed,
    }
}

/// `long` draws what few runs have: a queue of results that is full for an hour.
fn events(
    rng: &mut Rng,
    long: &mut Rng,
    workers: usize,
    clouds: usize,
    faults_end: Duration,
    clock_sets: Vec<(Duration, Event)>,
) -> Vec<(Duration, Event)> {
    let count = pick(rng, &[0, 0, 1, 2, 4, 8]);
    let mut events: Vec<(Duration, Event)> = (0..count)
        .map(|_| {
            let worker = rng.usize(..workers);
            let event = match rng.u32(..12) {
                0..=3 => Event::Cut(worker),
                4 => Event::BrokerAway(between(rng, 100, 15_000)),
                5..=6 => {
                    let usual = between(rng, 1_000, 15_000);
                    Event::ResultsFull(if chance(long, 0.1) { usual * 400 } else { usual })
                }
                7..=8 => Event::LeadLost(rng.usize(..clouds)),
                9..=10 => Event::Kill(worker, between(rng, 0, 5_000)),
                _ => Event::Stop(worker, between(rng, 0, 3_000)),
            };
            (up_to(rng, faults_end), event)
        })
        .collect();
    events.extend(clock_sets);
    events.sort_by_key(|(at, _)| *at);
    events
}

fn cancels(rng: &mut Rng, faults_end: Duration) -> Vec<(Duration, String)> {
    let batches: &[u32] = pick(rng, &[&[][..], &[2], &[3], &[4, 2]]);
    batches.iter().map(|batch| (up_to(rng, faults_end), format!("b{batch}"))).collect()
}

fn pauses(rng: &mut Rng, clouds: usize, faults_end: Duration) -> Vec<(Duration, Duration, usize)> {
    let count = pick(rng, &[0, 0, 1]);
    let pause = |cloud| {
        let from = up_to(rng, faults_end);
        (from, (from + between(rng, 1_000, 30_000)).min(faults_end), cloud)
    };
    (0..clouds).take(count).map(pause).collect()
}

fn job(rng: &mut Rng, n: usize, clouds: usize, faults_end: Duration) -> JobPlan {
    let put = if chance(rng, 0.6) { up_to(rng, 2 * SECOND) } else { up_to(rng, faults_end) };
    let kind = match rng.u32(..40) {
        0 => Kind::Garbage,
        1 => Kind::UnknownProvider,
        2 => Kind::ForeignApp,
        3 => Kind::Poison,
        _ => Kind::Ordinary,
    };
    let into = match (kind, rng.u32(..10)) {
        (Kind::Garbage | Kind::UnknownProvider | Kind::Poison, _) | (_, 0..=5) => Into::Intake,
        (_, 6..=8) => Into::Lane,
        _ => Into::OtherLane,
    };
    let not_before = chance(rng, 0.15).then(|| put + up_to(rng, 40 * SECOND));
    let expires_at = chance(rng, 0.15).then(|| not_before.unwrap_or(put) + up_to(rng, 60 * SECOND));
    let troubles = if chance(rng, 0.6) { 0 } else { rng.usize(1..=5) };
    let last = match rng.u32(..20) {
        0..=2 => Answer::Gone,
        3..=4 => Answer::Rejected,
        5 => Answer::Failed,
        _ => Answer::Dismissed,
    };
    JobPlan {
        id: format!("j{n}"),
        room: format!("r{n}"),
        put,
        into,
        kind,
        cloud: rng.usize(..clouds),
        urgent: chance(rng, 0.3),
        not_before,
        expires_at,
        first: (0..troubles).map(|_| trouble(rng)).collect(),
        last,
    }
}

fn trouble(rng: &mut Rng) -> Answer {
    match rng.u32(..8) {
        0..=2 => Answer::Failed,
        3 => Answer::Unreadable,
        4..=5 => Answer::Throttled { retry_after: None },
        6 => Answer::Throttled { retry_after: Some(rng.u64(1..=MOST_RETRY_AFTER.as_secs())) },
        _ => Answer::ThrottledInside200,
    }
}
