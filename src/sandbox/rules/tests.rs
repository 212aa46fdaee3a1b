use super::*;

fn candidate(room: &str, millis: u64) -> Candidate<'_> {
    Candidate { cloud: Cloud::Volcengine, app: "app", room, nth_of_room: 1, arrived: Duration::from_millis(millis) }
}

fn active(text: &str) -> Active {
    Active::new(Rules::parse(text).unwrap(), Duration::from_secs(1))
}

/// What happens to rooms that arrive one after another, a second after the rules were set.
fn names(text: &str, rooms: &[&str]) -> Vec<String> {
    let mut active = active(text);
    let name = |happening: Happening| happening.name.unwrap_or_default();
    rooms.iter().map(|room| active.choose(&candidate(room, 2000)).map(name).unwrap_or_default()).collect()
}

#[test]
fn the_first_rule_that_applies_decides() {
    let text = r#"
        [[rule]]
        room = "a*"
        do = "gone"
        [[rule]]
        name = "rest"
        do = "fail500"
    "#;
    assert_eq!(names(text, &["a1", "b1"]), ["rule 1: gone", "rest: fail500"]);
}

#[test]
fn a_rule_whose_fault_is_used_up_leaves_the_request_to_the_next() {
    let mut active = active(r#"{"rule": [{"do": "fail500x1"}, {"do": "gone"}]}"#);
    let second = Candidate { nth_of_room: 2, ..candidate("a", 2000) };
    assert_eq!(active.choose(&candidate("a", 2000)).unwrap().name.unwrap(), "rule 1: fail500x1");
    assert_eq!(active.choose(&second).unwrap().name.unwrap(), "rule 2: gone");
}

#[test]
fn cloud_and_application_are_compared() {
    assert_eq!(names(r#"{"rule": [{"cloud": "huawei", "do": "gone"}]}"#, &["a"]), [""]);
    assert_eq!(names(r#"{"rule": [{"cloud": "volcengine", "do": "gone"}]}"#, &["a"]), ["rule 1: gone"]);
    assert_eq!(names(r#"{"rule": [{"app": "other", "do": "gone"}]}"#, &["a"]), [""]);
}

#[test]
fn nth_and_every_count_what_fits_otherwise() {
    let check = |condition: &str, expected: [u8; 6]| {
        let text = format!(r#"{{"rule": [{{"room": "a*", {condition}, "do": "gone"}}]}}"#);
        let rooms = ["a1", "b", "a2", "a3", "b", "a4"];
        let hit: Vec<u8> = names(&text, &rooms).iter().map(|name| u8::from(!name.is_empty())).collect();
        assert_eq!(hit, expected, "{condition}");
    };
    check(r#""nth": "2""#, [0, 0, 1, 0, 0, 0]);
    check(r#""nth": "2-3""#, [0, 0, 1, 1, 0, 0]);
    check(r#""nth": "3-""#, [0, 0, 0, 1, 0, 1]);
    check(r#""every": 2"#, [0, 0, 1, 0, 0, 1]);
}

#[test]
fn time_counts_from_when_the_rules_were_set() {
    let mut active = active(r#"{"rule": [{"after": "500ms", "until": "1s", "do": "gone"}]}"#);
    let mut hits = |millis: u64| active.choose(&candidate("a", millis)).is_some();
    assert_eq!([1499, 1500, 1999, 2000].map(&mut hits), [false, true, true, false]);
}

#[test]
fn a_seeded_chance_is_the_same_in_every_run() {
    let text = r#"{"rule": [{"chance": 0.3, "seed": 7, "do": "gone"}]}"#;
    let rooms = ["a"; 1000];
    let first = names(text, &rooms);
    assert_eq!(first, names(text, &rooms));
    assert_ne!(first, names(&text.replace('7', "8"), &rooms));
    let hits = first.iter().filter(|name| !name.is_empty()).count();
    assert!((250..350).contains(&hits), "{hits}");
}

#[test]
fn a_rate_throttles_what_is_beyond_it() {
    assert_eq!(names(r#"{"rule": [{"qps": 2}]}"#, &["a"; 3]), ["", "", "rule 1: qps"]);
}

#[test]
fn a_faulty_rule_is_refused_by_name() {
    let check = |rule: &str, expected: &str| {
        let error = Rules::parse(&format!(r#"{{"rule": [{{{rule}}}]}}"#)).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    };
    check(r#""room": "a""#, "rule 1: needs either `do` or `qps`");
    check(r#""do": "gone", "qps": 1"#, "rule 1: needs either `do` or `qps`");
    check(r#""name": "n", "do": "boom""#, r#"n: do: "boom" is no fault"#);
    check(r#""do": "gone", "chance": 0.5"#, "rule 1: `chance` and `seed` need each other");
    check(r#""do": "gone", "chance": 1.5, "seed": 1"#, "rule 1: chance: must be from 0 to 1");
    check(r#""do": "gone", "nth": "0""#, "rule 1: nth: must be like 3, 3-5 or 3-");
    check(r#""do": "gone", "nth": "5-3""#, "rule 1: nth:");
    check(r#""do": "gone", "every": 0"#, "rule 1: every:");
    check(r#""do": "gone", "after": "soon""#, "rule 1: after:");
    check(r#""do": "gone", "cluod": "huawei""#, "unknown field `cluod`");
    check(r#""do": "gone", "cloud": "azure""#, "unknown variant `azure`");
}

#[test]
fn a_star_stands_for_any_text() {
    let check = |pattern: &str, text: &str, expected: bool| {
        assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
    };
    check("a", "a", true);
    check("a", "ab", false);
    check("a*", "abc", true);
    check("*c", "abc", true);
    check("a*c", "abc", true);
    check("a*b*c", "a-b-b-c", true);
    check("a*b*c", "a-c", false);
    check("ab*ba", "aba", false);
    check("*", "", true);
}
