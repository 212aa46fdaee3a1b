//! How the words of the ledger stand in its tables.

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::fault::Trouble;

/// Nanoseconds since 1970; what is centuries away stands at the edge.
pub fn nanoseconds(moment: Timestamp) -> i64 {
    let nanoseconds = moment.as_nanosecond();
    i64::try_from(nanoseconds).unwrap_or(if nanoseconds < 0 { i64::MIN } else { i64::MAX })
}

/// The moment that stands there.
pub fn moment(nanoseconds: i64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(nanoseconds)).expect("all of them lie within some centuries")
}

/// A count, as far as the column goes.
pub fn count(jobs: u64) -> i64 {
    i64::try_from(jobs).unwrap_or(i64::MAX)
}

/// A NUL is escaped in it, which no text may hold here.
pub fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("our own words have a form in JSON")
}

/// The other way; `what` says what should stand there.
pub fn read<T: DeserializeOwned>(what: &'static str, json: &str) -> Result<T, Trouble> {
    serde_json::from_str(json).map_err(|error| Trouble::Unreadable(what, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_kept_to_the_nanosecond_and_in_order() {
        for nanoseconds in [i64::MIN, -1, 0, 1, 1_750_000_000_123_456_789, i64::MAX] {
            assert_eq!(super::nanoseconds(moment(nanoseconds)), nanoseconds);
        }
        assert_eq!((nanoseconds(Timestamp::MIN), nanoseconds(Timestamp::MAX)), (i64::MIN, i64::MAX));
    }

    #[test]
    fn no_nul_reaches_a_text() {
        assert!(!json(&"a\0b").contains('\0'));
        assert_eq!(read::<String>("a text", &json(&"a\0b")).unwrap(), "a\0b");
        assert!(matches!(read::<String>("a text", "{"), Err(Trouble::Unreadable("a text", _))));
    }
}
