//! `batch cancel`: says what it means, asks, and has what was not sent not be sent.

use std::process::ExitCode;

use super::{Cancel, look, text};
use crate::app::board::BatchView;
use crate::app::cli::ask;
use crate::app::cli::desk::Desk;
use crate::app::cli::out::{say, tell};
use crate::app::cli::signals;
use crate::app::cli::signature::told;
use crate::model::ids::BatchId;
use crate::model::ledger::Act;

pub async fn cancel(desk: &Desk, args: &Cancel, act: &Act) -> anyhow::Result<ExitCode> {
    let id = &args.id;
    let (stop, _watching) = signals::watch("stopping; once more to end at once")?;
    let view = look(desk, id).await?;
    if let Some(before) = view.as_ref().and_then(|view| view.batch.cancelled.as_ref()) {
        say!("{id} is cancelled already, {}", told(before));
        return Ok(ExitCode::SUCCESS);
    }
    tell!("{}", standing(id, view.as_ref()));
    let refused = if args.yes { None } else { ask::refused(question(id, view.as_ref()), &stop).await? };
    if stop.is_asked() {
        return Ok(ExitCode::from(signals::INTERRUPTED));
    }
    if let Some(why) = refused {
        tell!("roomsweep: {why}; nothing was cancelled");
        return Ok(ExitCode::FAILURE);
    }
    desk.ledger.cancel(id, act).await?;
    say!("{id} is cancelled, {}: within 2 s no worker sends anything of it any more", told(act));
    Ok(ExitCode::SUCCESS)
}

/// What is settled and what is left.
fn standing(id: &BatchId, view: Option<&BatchView>) -> String {
    match view {
        None => format!("the ledger knows no batch {id}: if jobs of it come, they will end cancelled"),
        Some(view) => {
            let left = match view.left {
                Some(left) => format!("{left} left"),
                None => "nobody knows how many are left".to_owned(),
            };
            format!("{id} is {}; settled: {}; {left}", text::state(view), text::settled(view))
        }
    }
}

fn question(id: &BatchId, view: Option<&BatchView>) -> String {
    match view.and_then(|view| view.left) {
        Some(left) => format!("Cancel the {left} that are left of {id}?"),
        None => format!("Cancel all that is left of {id}?"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;

    use super::*;
    use crate::model::ledger::Batch;
    use crate::model::result::Outcome;

    #[test]
    fn before_a_question_is_asked_it_is_said_what_is_settled_and_left() {
        let id = BatchId::parse("b").unwrap();
        let check = |size: Option<u64>, expected: &str, asked: &str| {
            let batch = Batch {
                id: id.clone(),
                size,
                parts: vec![],
                created_at: Timestamp::UNIX_EPOCH,
                cancelled: None,
                settled: BTreeMap::from([(Outcome::Dismissed, 2), (Outcome::Rejected, 1)]),
                settled_by_provider: BTreeMap::new(),
                first_settled_at: None,
                last_settled_at: None,
                recent: 0,
            };
            let view = BatchView::of(batch, &[], Timestamp::UNIX_EPOCH);
            assert_eq!(standing(&id, Some(&view)), expected);
            assert_eq!(question(&id, Some(&view)), asked);
        };
        check(
            Some(9),
            "b is running; settled: 3 of 9: 2 dismissed, 1 rejected; 6 left",
            "Cancel the 6 that are left of b?",
        );
        check(
            None,
            "b is idle; settled: 3, total unknown: 2 dismissed, 1 rejected; nobody knows how many are left",
            "Cancel all that is left of b?",
        );
        let unknown = "the ledger knows no batch b: if jobs of it come, they will end cancelled";
        assert_eq!(
            (standing(&id, None).as_str(), question(&id, None).as_str()),
            (unknown, "Cancel all that is left of b?")
        );
    }
}
