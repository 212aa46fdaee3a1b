//! `batch watch`: looks every second until the batch is over.

use std::process::ExitCode;
use std::time::Duration;

use super::{look, text, unknown};
use crate::app::board::BatchView;
use crate::app::cli::desk::Desk;
use crate::app::cli::out::{self, tell};
use crate::app::cli::progress::Progress;
use crate::app::cli::signals;
use crate::model::ids::BatchId;
use crate::pipeline::stop::Stop;
use crate::ports::ledger::LedgerError;

/// Between two looks.
const EACH: Duration = Duration::from_secs(1);

/// Why the watching ended.
enum Ended {
    Over(Box<BatchView>),
    Unknown,
    Stopped,
}

pub async fn watch(desk: &Desk, id: &BatchId) -> anyhow::Result<ExitCode> {
    let (stop, _watching) = signals::watch("watching ends; the batch goes on")?;
    let mut progress = Progress::new(desk.clock.elapsed());
    let ended = follow(desk, id, stop, &mut progress).await;
    progress.end();
    match ended? {
        Ended::Over(view) => {
            out::print(text::whole(&view, desk.clock.now()).into_iter());
            Ok(if view.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Ended::Unknown => {
            tell!("roomsweep: {}", unknown(id));
            Ok(ExitCode::FAILURE)
        }
        Ended::Stopped => Ok(ExitCode::from(signals::INTERRUPTED)),
    }
}

/// A ledger that is away is waited for: the batch goes on without it.
async fn follow(desk: &Desk, id: &BatchId, mut stop: Stop, progress: &mut Progress) -> Result<Ended, LedgerError> {
    let mut last: Option<BatchView> = None;
    loop {
        let looked = tokio::select! {
            looked = look(desk, id) => looked,
            () = stop.asked() => return Ok(Ended::Stopped),
        };
        let away = match looked {
            Ok(None) => return Ok(Ended::Unknown),
            Ok(Some(view)) if !text::is_open(&view) => {
                progress.draw(view.batch.size, view.over, "over", desk.clock.elapsed());
                return Ok(Ended::Over(Box::new(view)));
            }
            Ok(Some(view)) => {
                last = Some(view);
                None
            }
            Err(error @ LedgerError::Away(_)) => Some(error),
            Err(error @ LedgerError::Refused(_)) => return Err(error),
        };
        let (size, over) = last.as_ref().map(|view| (view.batch.size, view.over)).unwrap_or_default();
        let said = match (away, &last) {
            (Some(error), _) => error.to_string(),
            (None, Some(view)) => text::sentence(view, desk.clock.now()),
            (None, None) => String::new(),
        };
        progress.draw(size, over, &said, desk.clock.elapsed());
        tokio::select! {
            () = tokio::time::sleep(EACH) => {}
            () = stop.asked() => return Ok(Ended::Stopped),
        }
    }
}
