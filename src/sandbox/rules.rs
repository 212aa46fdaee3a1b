//! Faults asked for by a file, or switched at run time.
//!
//! A list of rules in TOML or JSON. The first rule that applies decides; a room's own prefixes count only where none
//! does. Every condition that is left out holds.
//!
//! ```toml
//! [[rule]]
//! name = "outage"          # shown in the log; default "rule 1", "rule 2" …
//! cloud = "volcengine"     # or "huawei", "iam" (token calls)
//! app = "app-1"
//! room = "incident-*"      # `*` stands for any text
//! after = "5s"             # since the rules were set
//! until = "20s"
//! nth = "3-5"              # of the requests that fit all of the above: "3", "3-5", "3-"
//! every = 10               # the 10th, the 20th … of them
//! chance = 0.05            # of them; needs a seed, so that a run can be repeated
//! seed = 7
//! do = "slow200-fail503"   # a fault as in a room's name; "fail500x1" fails the first request of each room
//!
//! [[rule]]
//! qps = 10                 # instead of `do`: throttled beyond 10 in any one second, by this rule's own count
//! ```
//!
//! In JSON: `{"rule": [{"do": "fail500"}]}`. Token calls have no room: for them `nth` counts, and `x<n>` does not.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::faults::{Effect, Happening, Plan, Trouble};
use super::quota::{Admission, Quota};
use super::record::Cloud;

/// A checked list of rules.
#[derive(Debug, Clone, Default)]
pub struct Rules(Vec<Rule>);

/// Why a text is no list of rules.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RulesError(String);

/// One rule as it is written.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cloud: Option<Cloud>,
    #[serde(skip_serializing_if = "Option::is_none")]
    app: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nth: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    every: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chance: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#do: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    qps: Option<u32>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    rule: Vec<Spec>,
}

#[derive(Debug, Clone)]
struct Rule {
    name: String,
    spec: Spec,
    after: Duration,
    until: Option<Duration>,
    nth: std::ops::RangeInclusive<u64>,
    does: Does,
}

#[derive(Debug, Clone)]
enum Does {
    Plan(Plan),
    Throttle(u32),
}

/// What a rule looks at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate<'a> {
    pub cloud: Cloud,
    pub app: &'a str,
    pub room: &'a str,
    /// Which request of its room it is, counted from 1.
    pub nth_of_room: u64,
    /// Since the sandbox started.
    pub arrived: Duration,
}

/// Rules in force, with their counts.
pub(super) struct Active {
    since: Duration,
    rules: Vec<(Rule, State)>,
}

struct State {
    fitted: u64,
    quota: Quota,
    dice: fastrand::Rng,
}

impl Rules {
    /// Reads JSON if the text begins with `{`, else TOML.
    pub fn parse(text: &str) -> Result<Self, RulesError> {
        let file: File = if text.trim_start().starts_with('{') {
            serde_json::from_str(text).map_err(|error| RulesError(error.to_string()))?
        } else {
            toml::from_str(text).map_err(|error| RulesError(error.to_string()))?
        };
        let rules = file.rule.into_iter().enumerate().map(|(index, spec)| {
            let name = spec.name.clone().unwrap_or_else(|| format!("rule {}", index + 1));
            Rule::new(name.clone(), spec).map_err(|fault| RulesError(format!("{name}: {fault}")))
        });
        Ok(Self(rules.collect::<Result<_, _>>()?))
    }
}

impl Rule {
    fn new(name: String, spec: Spec) -> Result<Self, String> {
        let does = match (&spec.r#do, spec.qps) {
            (Some(text), None) => Does::Plan(Plan::parse(text).map_err(|fault| format!("do: {fault}"))?),
            (None, Some(qps)) => Does::Throttle(qps),
            _ => return Err("needs either `do` or `qps`".to_owned()),
        };
        match (spec.chance, spec.seed) {
            (None, None) => {}
            (Some(chance), Some(_)) if (0.0..=1.0).contains(&chance) => {}
            (Some(_), Some(_)) => return Err("chance: must be from 0 to 1".to_owned()),
            _ => return Err("`chance` and `seed` need each other".to_owned()),
        }
        if spec.every == Some(0) {
            return Err("every: must be above 0".to_owned());
        }
        let duration = |name: &str, text: &Option<String>| {
            let parse = |text: &String| humantime::parse_duration(text).map_err(|fault| format!("{name}: {fault}"));
            text.as_ref().map(parse).transpose()
        };
        let (after, until) = (duration("after", &spec.after)?.unwrap_or_default(), duration("until", &spec.until)?);
        let nth = spec.nth.as_deref().map_or(Some(1..=u64::MAX), range).ok_or("nth: must be like 3, 3-5 or 3-")?;
        Ok(Self { name, spec, after, until, nth, does })
    }

    fn fits(&self, candidate: &Candidate, since: Duration) -> bool {
        let age = candidate.arrived.saturating_sub(since);
        self.spec.cloud.is_none_or(|cloud| cloud == candidate.cloud)
            && self.spec.app.as_ref().is_none_or(|app| app == candidate.app)
            && self.spec.room.as_ref().is_none_or(|room| glob(room, candidate.room))
            && age >= self.after
            && self.until.is_none_or(|until| age < until)
    }
}

impl Active {
    /// Puts rules in force at `since`, a time since the sandbox started.
    pub(super) fn new(rules: Rules, since: Duration) -> Self {
        let state = |rule: &Rule| State {
            fitted: 0,
            quota: Quota::new(match &rule.does {
                Does::Plan(_) => None,
                Does::Throttle(qps) => Some(*qps),
            }),
            dice: fastrand::Rng::with_seed(rule.spec.seed.unwrap_or_default()),
        };
        let rules = rules.0.into_iter().map(|rule| (state(&rule), rule)).map(|(state, rule)| (rule, state)).collect();
        Self { since, rules }
    }

    /// What the first rule that applies does to a request; None if none does.
    pub(super) fn choose(&mut self, candidate: &Candidate) -> Option<Happening> {
        let since = self.since;
        self.rules.iter_mut().find_map(|(rule, state)| {
            if !rule.fits(candidate, since) {
                return None;
            }
            state.fitted += 1;
            let turn = rule.nth.contains(&state.fitted) && rule.spec.every.is_none_or(|n| state.fitted % n == 0);
            let lucky = rule.spec.chance.is_none_or(|chance| state.dice.f64() < chance);
            if !turn || !lucky {
                return None;
            }
            let happening = match &rule.does {
                Does::Plan(plan) => plan.at(candidate.nth_of_room),
                Does::Throttle(_) => match state.quota.admit(nanos(candidate.arrived)) {
                    Admission::Admitted => Happening::default(),
                    Admission::OverQuota => Happening {
                        effect: Some(Effect::Say(Trouble::Throttled)),
                        name: Some("qps".to_owned()),
                        ..Happening::default()
                    },
                },
            };
            let name = happening.name.as_ref()?;
            Some(Happening { name: Some(format!("{}: {name}", rule.name)), ..happening })
        })
    }

    /// The rules as they were written, for showing.
    pub(super) fn to_json(&self) -> String {
        let file = File { rule: self.rules.iter().map(|(rule, _)| rule.spec.clone()).collect() };
        serde_json::to_string_pretty(&file).expect("rules are made of plain values")
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// `3`, `3-5` or `3-`.
fn range(text: &str) -> Option<std::ops::RangeInclusive<u64>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let first: u64 = first.trim().parse().ok()?;
    let last = match last.trim() {
        "" => u64::MAX,
        last => last.parse().ok()?,
    };
    (1 <= first && first <= last).then_some(first..=last)
}

/// Whether `*` in the pattern, standing for any text, can make it the text.
fn glob(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = pieces.next_back() else { return rest.is_empty() };
    for piece in pieces {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests;
