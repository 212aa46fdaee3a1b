//! A batch in words: the same ones in `list`, `show`, `watch` and `cancel`.

use std::time::Duration;

use jiff::Timestamp;

use crate::app::board::{BatchState, BatchView};
use crate::app::cli::signature::told;
use crate::app::cli::table::or_dash;

pub const TITLES: [&str; 7] = ["BATCH", "STATE", "SETTLED", "OF", "FAILED", "CREATED", "ENDS"];
/// No column of a list is wider, but for the last.
pub const WIDEST: usize = 64;

/// One line of a list.
pub fn cells(view: &BatchView, now: Timestamp) -> [String; 7] {
    let batch = &view.batch;
    [
        batch.id.to_string(),
        state(view).to_owned(),
        view.over.to_string(),
        or_dash(batch.size.as_ref()),
        view.failed.to_string(),
        format!("{:.0}", batch.created_at),
        end(view, now),
    ]
}

/// All that is known, a line each.
pub fn whole(view: &BatchView, now: Timestamp) -> Vec<String> {
    let batch = &view.batch;
    let mut lines = vec![
        format!("batch      {}", batch.id),
        format!("state      {}, created at {:.0}", state(view), batch.created_at),
        format!("settled    {}", settled(view)),
    ];
    lines.extend(batch.cancelled.as_ref().map(|act| format!("cancelled  {}", told(act))));
    lines.extend(batch.parts.iter().map(|part| {
        let jobs = part.jobs.map_or_else(|| "some".to_owned(), |jobs| jobs.to_string());
        format!("part       {jobs} {} at {}", part.lane, part.provider)
    }));
    if is_open(view) {
        lines.push(format!("pace       {:.1}/s", pace(view)));
        lines.push(format!("ends       {}", end(view, now)));
    } else {
        lines.extend(batch.last_settled_at.map(|last| format!("ended      at {last:.0}")));
    }
    lines
}

/// What is settled, how, and of how many.
pub fn settled(view: &BatchView) -> String {
    let outcomes: Vec<String> = view.batch.settled.iter().map(|(outcome, jobs)| format!("{jobs} {outcome}")).collect();
    let outcomes = if outcomes.is_empty() { String::new() } else { format!(": {}", outcomes.join(", ")) };
    match view.batch.size {
        Some(size) => format!("{} of {size}{outcomes}", view.over),
        None => format!("{}, total unknown{outcomes}", view.over),
    }
}

/// Behind how many are settled of how many: pace, failures, end.
pub fn sentence(view: &BatchView, now: Timestamp) -> String {
    let cancelling = match view.state {
        BatchState::Cancelling => ", being cancelled",
        BatchState::Running | BatchState::Idle | BatchState::Finished | BatchState::Cancelled => "",
    };
    format!("{:.1}/s, {} failed{cancelling}, ends {}", pace(view), view.failed, end(view, now))
}

pub fn state(view: &BatchView) -> &'static str {
    match view.state {
        BatchState::Running => "running",
        BatchState::Idle => "idle",
        BatchState::Cancelling => "being cancelled",
        BatchState::Finished => "finished",
        BatchState::Cancelled => "cancelled",
    }
}

/// Whether anything of it may still come.
pub fn is_open(view: &BatchView) -> bool {
    match view.state {
        BatchState::Running | BatchState::Idle | BatchState::Cancelling => true,
        BatchState::Finished | BatchState::Cancelled => false,
    }
}

/// Jobs a second.
fn pace(view: &BatchView) -> f64 {
    view.pace.unwrap_or_default()
}

/// When it is over, or was, or why nobody can tell.
fn end(view: &BatchView, now: Timestamp) -> String {
    if !is_open(view) {
        return view.batch.last_settled_at.map_or_else(|| "ended".to_owned(), |last| format!("ended at {last:.0}"));
    }
    match (view.eta_seconds, &view.why) {
        (Some(seconds), _) => {
            let until = Duration::from_secs(seconds);
            let at = now.checked_add(until).map(|at| format!(" at {}", clock(at, now))).unwrap_or_default();
            format!("in {}{at}", humantime::format_duration(until))
        }
        (None, Some(why)) => format!("unknown: {why}"),
        (None, None) => "unknown".to_owned(),
    }
}

/// The time of day, in UTC; with its date where that is not today's.
fn clock(at: Timestamp, now: Timestamp) -> String {
    let today = at.strftime("%F").to_string() == now.strftime("%F").to_string();
    at.strftime(if today { "%TZ" } else { "%FT%TZ" }).to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::ids::{BatchId, ProviderName};
    use crate::model::job::Lane;
    use crate::model::ledger::{Act, Batch, Part};
    use crate::model::result::Outcome;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// Half-way at 60 a second, at the first minute's end.
    fn view() -> BatchView {
        let provider = ProviderName::parse("volcengine").unwrap();
        let batch = Batch {
            id: BatchId::parse("incident-42").unwrap(),
            size: Some(7200),
            parts: vec![Part { provider: provider.clone(), lane: Lane::Bulk, jobs: Some(7200) }],
            created_at: at(0),
            cancelled: None,
            settled: BTreeMap::from([(Outcome::Dismissed, 3590), (Outcome::Exhausted, 8), (Outcome::Cancelled, 2)]),
            settled_by_provider: BTreeMap::from([(provider, 3600)]),
            first_settled_at: Some(at(0)),
            last_settled_at: Some(at(60)),
            recent: 1800,
        };
        let (state, over, left) = (BatchState::Running, 3600, Some(3600));
        BatchView { batch, state, over, left, failed: 8, pace: Some(60.0), eta_seconds: Some(60), why: None }
    }

    #[test]
    fn a_batch_that_runs_tells_its_pace_and_its_end() {
        let shown = whole(&view(), at(61)).join("\n");
        let expected = "batch      incident-42\n\
                        state      running, created at 1970-01-01T00:00:00Z\n\
                        settled    3600 of 7200: 3590 dismissed, 8 exhausted, 2 cancelled\n\
                        part       7200 bulk at volcengine\n\
                        pace       60.0/s\n\
                        ends       in 1m at 00:02:01Z";
        assert_eq!(shown, expected);
        assert_eq!(sentence(&view(), at(61)), "60.0/s, 8 failed, ends in 1m at 00:02:01Z");
        let row = cells(&view(), at(61)).join("|");
        assert_eq!(row, "incident-42|running|3600|7200|8|1970-01-01T00:00:00Z|in 1m at 00:02:01Z");
    }

    #[test]
    fn a_batch_of_unknown_size_says_so() {
        let mut view = view();
        (view.batch.size, view.left) = (None, None);
        view.batch.parts[0].jobs = None;
        view.batch.settled.clear();
        view.over = 0;
        assert_eq!(settled(&view), "0, total unknown");
        assert!(whole(&view, at(61)).contains(&"part       some bulk at volcengine".to_owned()));
        assert_eq!(cells(&view, at(61))[3], "-");
    }

    #[test]
    fn an_end_that_nobody_can_tell_has_its_reason_instead() {
        let mut view = view();
        view.why = Some("volcengine is paused since 1970-01-01T00:00:59Z".into());
        (view.eta_seconds, view.pace) = (None, None);
        assert_eq!(end(&view, at(61)), "unknown: volcengine is paused since 1970-01-01T00:00:59Z");
        assert_eq!(sentence(&view, at(61)), format!("0.0/s, 8 failed, ends {}", end(&view, at(61))));
    }

    #[test]
    fn an_end_on_another_day_has_its_date() {
        let check = |seconds: u64, expected: &str| {
            let view = BatchView { eta_seconds: Some(seconds), ..view() };
            assert_eq!(end(&view, at(86_300)), expected);
        };
        check(99, "in 1m 39s at 23:59:59Z");
        check(100, "in 1m 40s at 1970-01-02T00:00:00Z");
        check(u64::MAX, &format!("in {}", humantime::format_duration(Duration::from_secs(u64::MAX))));
    }

    #[test]
    fn a_cancelled_batch_tells_by_whom_and_why_and_is_over_when_nothing_is_left() {
        let mut view = view();
        view.batch.cancelled = Some(Act { by: "ada@ops-1".into(), why: Some("wrong list".into()), at: at(50) });
        view.state = BatchState::Cancelling;
        assert_eq!(sentence(&view, at(61)), "60.0/s, 8 failed, being cancelled, ends in 1m at 00:02:01Z");
        let line = "cancelled  by ada@ops-1 at 1970-01-01T00:00:50Z (wrong list)".to_owned();
        assert!(whole(&view, at(61)).contains(&line));
        (view.state, view.left, view.eta_seconds) = (BatchState::Cancelled, Some(0), None);
        let shown = whole(&view, at(61)).join("\n");
        assert!(shown.ends_with("ended      at 1970-01-01T00:01:00Z") && !shown.contains("pace"), "{shown}");
        assert!(cells(&view, at(61))[6] == "ended at 1970-01-01T00:01:00Z" && !is_open(&view));
    }
}
