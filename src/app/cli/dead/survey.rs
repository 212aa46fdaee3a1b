//! What matches, counted before anything is done.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use super::act::Deed;
use crate::model::dead::{DeadLetter, Filter, Mark};
use crate::model::ids::ProviderName;

/// What is to be counted.
pub struct Question<'a> {
    pub deed: Deed,
    pub filter: Filter,
    pub limit: u64,
    pub now: Timestamp,
    /// That may be meant; empty where any may be.
    pub providers: &'a [ProviderName],
}

/// What was counted; no bodies.
#[derive(Default)]
pub struct Survey {
    seen: u64,
    matched: u64,
    outcomes: BTreeMap<&'static str, u64>,
    providers: BTreeMap<String, u64>,
    /// Why some of those that match cannot be redriven.
    cannot: BTreeMap<String, u64>,
    /// What is to be done, by mark; letters that agree in everything share one.
    pub chosen: HashMap<Mark, u64>,
}

impl Survey {
    pub fn note(&mut self, letter: &DeadLetter, question: &Question<'_>) {
        self.seen += 1;
        let summary = letter.summary();
        if !question.filter.matches(&summary, question.now) {
            return;
        }
        self.matched += 1;
        *self.outcomes.entry(summary.outcome.map_or("of unknown outcome", |outcome| outcome.as_str())).or_default() +=
            1;
        let provider = summary.provider.map_or_else(|| "no provider".to_owned(), |name| format!("at {name}"));
        *self.providers.entry(provider).or_default() += 1;
        match hindrance(letter, question) {
            Some(why) => *self.cannot.entry(why).or_default() += 1,
            None if self.chosen() < question.limit => *self.chosen.entry(letter.mark).or_default() += 1,
            None => {}
        }
    }

    /// How many are to be done.
    pub fn chosen(&self) -> u64 {
        self.chosen.values().sum()
    }

    /// How many match and cannot be done.
    pub fn cannot(&self) -> u64 {
        self.cannot.values().sum()
    }

    /// Who matches, and what of that can be done.
    pub fn sentence(&self) -> String {
        let mut said = format!("{} of {} dead letters match", self.matched, self.seen);
        if self.matched > 0 {
            said.push_str(&format!(": {}; {}", list(&self.outcomes), list(&self.providers)));
        }
        if self.cannot() > 0 {
            said.push_str(&format!("\n{} cannot be redriven and stay: {}", self.cannot(), list(&self.cannot)));
        }
        said
    }
}

fn hindrance(letter: &DeadLetter, question: &Question<'_>) -> Option<String> {
    match question.deed {
        Deed::Purge => None,
        Deed::Redrive => match letter.redrive(question.now) {
            Err(_) if letter.unreadable.is_some() => Some("unreadable".to_owned()),
            Err(_) => Some("no job".to_owned()),
            Ok(redrive) if question.providers.is_empty() || question.providers.contains(&redrive.job.provider) => None,
            Ok(redrive) => Some(format!("of provider {}, which is not configured", redrive.job.provider)),
        },
    }
}

fn list<K: std::fmt::Display>(counts: &BTreeMap<K, u64>) -> String {
    let parts: Vec<String> = counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::model::result::Outcome;

    fn letter(mark: u128, provider: &str, outcome: Outcome) -> DeadLetter {
        let body = format!(r#"{{"provider":"{provider}","app_id":"a","room_id":"r"}}"#);
        DeadLetter {
            mark: Mark(mark),
            body: body.into_bytes(),
            job_id: None,
            outcome: Some(outcome),
            error: String::new(),
            settled_at: None,
            last_run: None,
            properties: Value::Null,
            unreadable: None,
        }
    }

    fn survey(deed: Deed, limit: u64, letters: &[DeadLetter]) -> Survey {
        let providers = ["volcengine", "huawei"].map(|name| ProviderName::parse(name).unwrap());
        let question =
            Question { deed, filter: Filter::default(), limit, now: Timestamp::UNIX_EPOCH, providers: &providers };
        let mut survey = Survey::default();
        letters.iter().for_each(|letter| survey.note(letter, &question));
        survey
    }

    fn letters() -> Vec<DeadLetter> {
        let no_job = DeadLetter { body: b"nonsense".to_vec(), ..letter(5, "", Outcome::Invalid) };
        vec![
            letter(1, "volcengine", Outcome::Exhausted),
            letter(1, "volcengine", Outcome::Exhausted),
            letter(2, "huawei", Outcome::Rejected),
            letter(3, "nobody", Outcome::Invalid),
            no_job,
        ]
    }

    #[test]
    fn all_that_match_are_counted_and_what_cannot_be_redriven_is_said() {
        let survey = survey(Deed::Redrive, u64::MAX, &letters());
        let said = "5 of 5 dead letters match: 2 exhausted, 2 invalid, 1 rejected; 1 at huawei, 1 at nobody, 2 at \
                    volcengine, 1 no provider\n2 cannot be redriven and stay: 1 no job, 1 of provider nobody, which is \
                    not configured";
        assert_eq!(survey.sentence(), said);
        assert_eq!(survey.chosen, HashMap::from([(Mark(1), 2), (Mark(2), 1)]), "letters that agree count each");
    }

    #[test]
    fn whatever_matches_can_be_purged() {
        let survey = survey(Deed::Purge, u64::MAX, &letters());
        assert_eq!((survey.chosen(), survey.cannot()), (5, 0));
    }

    #[test]
    fn a_limit_takes_the_first_that_can_be_done() {
        let mut reversed = letters();
        reversed.reverse();
        let survey = survey(Deed::Redrive, 2, &reversed);
        assert_eq!(survey.chosen, HashMap::from([(Mark(2), 1), (Mark(1), 1)]));
        assert!(survey.sentence().starts_with("5 of 5"));
    }
}
