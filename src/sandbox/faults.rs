//! Faults asked for by a room's name, and the words that rules use for them.
//!
//! A room ID may begin with any number of prefixes, each ended by `-`. `<n>` is a number; `x<n>` behind a prefix makes
//! it happen on the first n requests of that room only. Chained prefixes happen one after another:
//! `throttled1-fail500x2-gone-a` is throttled once, fails twice, and is gone from the fourth request on. `slow` delays
//! whatever else the room's name says.
//!
#![doc = concat!("```text\n", include_str!("faults.txt"), "```")]
//!
//! Only requests that are signed well, well formed and within the quota are counted and meet a fault.

use std::time::Duration;

use http::StatusCode;

/// The table of prefixes, for people.
pub const FAULTS_HELP: &str = include_str!("faults.txt");

/// What happens instead of the answer that was due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    Hang,
    Reset,
    Close,
    Garbage,
    Forbidden,
    Say(Trouble),
}

/// What each cloud has words of its own for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    Fail(StatusCode),
    ErrorIn200,
    Throttled,
    Gone,
    BadParam,
    NoAuth,
    Stale,
    Foreign,
    NoApi,
}

/// A fault, or only a delay, as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    what: What,
    /// None is for ever.
    times: Option<u64>,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Slow(Duration),
    Effect(Effect),
}

/// What happens to the requests of one room, one after another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    steps: Vec<Step>,
}

/// What happens to one request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Happening {
    pub delay: Duration,
    pub effect: Option<Effect>,
    /// The prefixes at work, joined by `-`; None if there are none.
    pub name: Option<String>,
}

impl Plan {
    /// What the name of a room asks for: its leading prefixes.
    pub fn of_room(room: &str) -> Self {
        let mut pieces: Vec<_> = room.split('-').collect();
        pieces.pop(); // The last piece has no `-` behind it, so it is no prefix.
        Self { steps: pieces.into_iter().map_while(step).collect() }
    }

    /// Prefixes joined by `-`, without a room behind them.
    pub fn parse(text: &str) -> Result<Self, String> {
        let steps = text.split('-').map(|piece| step(piece).ok_or_else(|| format!("{piece:?} is no fault")));
        Ok(Self { steps: steps.collect::<Result<_, _>>()? })
    }

    /// What happens to the `nth` request, counted from 1.
    pub fn at(&self, nth: u64) -> Happening {
        let mut happening = Happening::default();
        let mut names = Vec::new();
        let mut left = nth;
        for step in &self.steps {
            match step.what {
                What::Slow(delay) => {
                    if step.times.is_none_or(|times| nth <= times) {
                        happening.delay += delay;
                        names.push(step.text.as_str());
                    }
                }
                What::Effect(effect) => match (happening.effect, step.times) {
                    (Some(_), _) => {}
                    (None, Some(times)) if left > times => left -= times,
                    (None, _) => {
                        happening.effect = Some(effect);
                        names.push(step.text.as_str());
                    }
                },
            }
        }
        happening.name = (!names.is_empty()).then(|| names.join("-"));
        happening
    }
}

const LONGEST_DELAY: u64 = 600_000;

/// One prefix without its `-`.
fn step(text: &str) -> Option<Step> {
    let plain = [
        ("error200", Effect::Say(Trouble::ErrorIn200)),
        ("hang", Effect::Hang),
        ("reset", Effect::Reset),
        ("close", Effect::Close),
        ("garbage", Effect::Garbage),
        ("forbidden", Effect::Forbidden),
        ("gone", Effect::Say(Trouble::Gone)),
        ("badparam", Effect::Say(Trouble::BadParam)),
        ("noauth", Effect::Say(Trouble::NoAuth)),
        ("stale", Effect::Say(Trouble::Stale)),
        ("foreign", Effect::Say(Trouble::Foreign)),
        ("noapi", Effect::Say(Trouble::NoApi)),
    ];
    let made = |what: What, times: Option<u64>| Some(Step { what, times, text: text.to_owned() });
    if let Some(rest) = text.strip_prefix("fail") {
        let (status, rest) = number(rest)?;
        let status = u16::try_from(status).ok().filter(|status| (500..600).contains(status))?;
        let trouble = Trouble::Fail(StatusCode::from_u16(status).ok()?);
        made(What::Effect(Effect::Say(trouble)), times(rest)?)
    } else if let Some(rest) = text.strip_prefix("slow") {
        let (millis, rest) = number(rest)?;
        (millis <= LONGEST_DELAY).then_some(())?;
        made(What::Slow(Duration::from_millis(millis)), times(rest)?)
    } else if let Some(rest) = text.strip_prefix("throttled") {
        let times = match number(rest) {
            Some((times, "")) if times > 0 => Some(times),
            Some(_) => return None,
            None => times(rest)?,
        };
        made(What::Effect(Effect::Say(Trouble::Throttled)), times)
    } else {
        let (name, effect) = plain.into_iter().find(|(name, _)| text.starts_with(name))?;
        made(What::Effect(effect), times(&text[name.len()..])?)
    }
}

/// Leading digits, and what follows them.
fn number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

/// Nothing (for ever) or `x` and a number above 0; the outer None is neither.
fn times(text: &str) -> Option<Option<u64>> {
    if text.is_empty() {
        return Some(None);
    }
    match number(text.strip_prefix('x')?)? {
        (times, "") if times > 0 => Some(Some(times)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The faults of the first requests of a room, as names.
    fn names(room: &str, requests: u64) -> Vec<String> {
        (1..=requests).map(|nth| Plan::of_room(room).at(nth).name.unwrap_or_default()).collect()
    }

    #[test]
    fn a_counted_fault_is_used_up_and_an_uncounted_one_never() {
        assert_eq!(names("fail500x2-a", 4), ["fail500x2", "fail500x2", "", ""]);
        assert_eq!(names("hang-a", 3), ["hang"; 3]);
        assert_eq!(names("throttled1-a", 2), ["throttled1", ""]);
        assert_eq!(names("throttled-a", 2), ["throttled", "throttled"]);
    }

    #[test]
    fn chained_faults_happen_one_after_another() {
        let expected = ["throttled1", "fail503x2", "fail503x2", "gone", "gone"];
        assert_eq!(names("throttled1-fail503x2-gone-a", 5), expected);
    }

    #[test]
    fn a_delay_adds_to_whatever_happens() {
        let plan = Plan::of_room("slow200x2-fail500x1-slow1-a");
        let check = |nth: u64, millis: u64, effect: Option<Effect>| {
            let happening = plan.at(nth);
            assert_eq!((happening.delay, happening.effect), (Duration::from_millis(millis), effect), "{nth}");
        };
        check(1, 201, Some(Effect::Say(Trouble::Fail(StatusCode::INTERNAL_SERVER_ERROR))));
        check(2, 201, None);
        check(3, 1, None);
    }

    #[test]
    fn a_name_that_only_resembles_a_prefix_asks_for_nothing() {
        for room in [
            "room",
            "hang",
            "hanging-a",
            "fail-a",
            "fail404-a",
            "fail500x0-a",
            "slow-a",
            "slow9999999-a",
            "throttled0-a",
            "throttled1x2-a",
            "gonex-a",
            "a-gone-b",
            "error201-a",
        ] {
            assert_eq!(Plan::of_room(room), Plan::default(), "{room}");
        }
    }

    #[test]
    fn a_rule_names_what_is_no_fault() {
        assert_eq!(Plan::parse("slow5-explode").unwrap_err(), r#""explode" is no fault"#);
        assert_eq!(Plan::parse("").unwrap_err(), r#""" is no fault"#);
    }

    #[test]
    fn every_row_of_the_table_is_a_prefix() {
        let rows: Vec<_> = FAULTS_HELP.lines().filter(|line| !line.starts_with(' ')).collect();
        assert_eq!(rows.len(), 15);
        for row in rows {
            let prefix = row.split_whitespace().next().unwrap();
            let example = prefix.replace("<status>", "503").replace("<ms>", "100").replace("<n>", "2");
            assert_eq!(Plan::of_room(&format!("{example}a")).steps.len(), 1, "{row}");
        }
    }
}
