//! `redrive` and `purge`: count, ask, and do what was counted.

use std::collections::HashMap;
use std::process::ExitCode;

use super::filter::Filters;
use super::survey::{Question, Survey};
use super::{Chosen, Office};
use crate::app::cli::ask;
use crate::app::cli::out::{say, tell};
use crate::app::cli::progress::{Progress, Stage};
use crate::model::dead::{DeadLetter, Mark};
use crate::pipeline::stop::Stop;
use crate::ports::clock::Clock;
use crate::ports::dead::{Fate, Sorter};

/// What is done with those that match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    Redrive,
    Purge,
}

impl Deed {
    fn question(self, many: u64) -> String {
        match self {
            Deed::Redrive => format!("Redrive {many} of them?"),
            Deed::Purge => format!("Purge {many} of them for good?"),
        }
    }

    fn done(self) -> &'static str {
        match self {
            Deed::Redrive => "redriven",
            Deed::Purge => "purged",
        }
    }
}

pub async fn run(office: &Office, deed: Deed, asked: &Chosen) -> anyhow::Result<ExitCode> {
    let survey = survey(office, deed, &asked.filters).await?;
    if office.stop.is_asked() {
        return Ok(ExitCode::FAILURE);
    }
    tell!("{}", survey.sentence());
    let many = survey.chosen();
    if many == 0 {
        say!("0 {}", deed.done());
        return Ok(if survey.cannot() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    if !asked.yes
        && let Some(why) = ask::refused(deed.question(many), &office.stop).await?
    {
        tell!("roomsweep: {why}; nothing was {}", deed.done());
        return Ok(ExitCode::FAILURE);
    }
    let mut clerk = Clerk::new(office, deed, survey);
    let ended = office.dead.sort(&mut clerk).await;
    let done = clerk.end();
    say!("{done} {}", deed.done());
    if let Err(error) = ended {
        let rest = "the others are still dead letters, or both; the same command again goes on";
        return Err(anyhow::Error::new(error).context(rest));
    }
    if done == many {
        return Ok(ExitCode::SUCCESS);
    }
    if !office.stop.is_asked() {
        tell!("roomsweep: {} were no longer there: somebody else has them", many - done);
    }
    Ok(ExitCode::FAILURE)
}

async fn survey(office: &Office, deed: Deed, filters: &Filters) -> anyhow::Result<Survey> {
    let question = Question {
        deed,
        filter: filters.filter(),
        limit: filters.limit(),
        now: office.clock.now(),
        providers: &office.providers,
    };
    let mut survey = Survey::default();
    let mut note = |letter: &DeadLetter| {
        survey.note(letter, &question);
        std::ops::ControlFlow::Continue(())
    };
    office.look(&mut note).await?;
    Ok(survey)
}

/// Decides by what was counted.
struct Clerk {
    deed: Deed,
    chosen: HashMap<Mark, u64>,
    /// How many of them were not met yet.
    left: u64,
    stage: Stage,
    progress: Progress,
    clock: Clock,
    stop: Stop,
}

impl Clerk {
    fn new(office: &Office, deed: Deed, survey: Survey) -> Self {
        let total = survey.chosen();
        Self {
            deed,
            chosen: survey.chosen,
            left: total,
            stage: Stage { total, done: 0, failed: 0 },
            progress: Progress::new(office.clock.elapsed()),
            clock: office.clock.clone(),
            stop: office.stop.clone(),
        }
    }

    /// How many were done.
    fn end(self) -> u64 {
        self.progress.clear();
        self.stage.done
    }
}

impl Sorter for Clerk {
    fn decide(&mut self, letter: &DeadLetter) -> Fate {
        if self.left == 0 || self.stop.is_asked() {
            return Fate::Stop;
        }
        let Some(count) = self.chosen.get_mut(&letter.mark).filter(|count| **count > 0) else { return Fate::Keep };
        let fate = match self.deed {
            Deed::Purge => Fate::Purge,
            Deed::Redrive => match letter.redrive(self.clock.now()) {
                Ok(redrive) => Fate::Redrive(Box::new(redrive)),
                Err(_) => return Fate::Keep,
            },
        };
        *count -= 1;
        self.left -= 1;
        fate
    }

    fn done(&mut self, many: u64) {
        self.stage.done += many;
        self.progress.show(self.stage, self.clock.elapsed(), "");
    }
}
