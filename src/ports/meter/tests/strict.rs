//! A reader of OpenMetrics 1.0 text that panics at whatever the format forbids.

use std::collections::{BTreeMap, BTreeSet};

pub type Labels = BTreeMap<String, String>;

#[derive(Debug, Clone)]
pub struct Sample {
    pub name: String,
    pub labels: Labels,
    pub value: f64,
    pub exemplar: Option<Exemplar>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    pub labels: Labels,
    pub value: f64,
    pub seconds: f64,
}

#[derive(Debug, Clone)]
pub struct Family {
    pub kind: String,
    pub samples: Vec<Sample>,
}

pub fn parse(text: &str) -> BTreeMap<String, Family> {
    let body = text.strip_suffix("# EOF\n").expect("ends with # EOF");
    assert!(body.is_empty() || body.ends_with('\n'));
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    for line in body.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect(line);
            assert!(matches!(kind, "counter" | "gauge" | "histogram"), "{line}");
            assert!(!name.ends_with("_total"), "{line}");
            let family = Family { kind: kind.to_owned(), samples: Vec::new() };
            assert!(families.insert(name.to_owned(), family).is_none(), "a family stands twice: {line}");
            current = name.to_owned();
        } else if let Some(rest) = line.strip_prefix("# HELP ") {
            assert!(rest.starts_with(&format!("{current} ")), "{line}");
            assert!(families[&current].samples.is_empty(), "help after samples: {line}");
        } else {
            let family = families.get_mut(&current).unwrap_or_else(|| panic!("no family: {line}"));
            let sample = Cursor { rest: line, line }.sample();
            let suffix = sample.name.strip_prefix(&current).unwrap_or_else(|| panic!("foreign sample: {line}"));
            let (allowed, may_have_exemplar): (&[&str], &[&str]) = match family.kind.as_str() {
                "counter" => (&["_total"], &["_total"]),
                "histogram" => (&["_bucket", "_count", "_sum"], &["_bucket"]),
                _ => (&[""], &[]),
            };
            assert!(allowed.contains(&suffix), "{line}");
            assert!(sample.exemplar.is_none() || may_have_exemplar.contains(&suffix), "{line}");
            family.samples.push(sample);
        }
    }
    for (name, family) in &families {
        check_family(name, family);
    }
    families
}

fn check_family(name: &str, family: &Family) {
    let mut seen = BTreeSet::new();
    for sample in &family.samples {
        assert!(seen.insert((&sample.name, &sample.labels)), "{name}: a sample stands twice: {sample:?}");
    }
    if family.kind != "histogram" {
        return;
    }
    let mut groups: BTreeMap<Labels, Vec<&Sample>> = BTreeMap::new();
    for sample in &family.samples {
        let mut labels = sample.labels.clone();
        labels.remove("le");
        groups.entry(labels).or_default().push(sample);
    }
    for samples in groups.values() {
        let count = samples.iter().find(|s| s.name.ends_with("_count")).expect("a count").value;
        assert!(samples.iter().any(|s| s.name.ends_with("_sum")));
        let (mut last_bound, mut last_count) = (f64::NEG_INFINITY, 0.0);
        for bucket in samples.iter().filter(|s| s.name.ends_with("_bucket")) {
            let le = &bucket.labels["le"];
            let bound: f64 = if le == "+Inf" { f64::INFINITY } else { le.parse().unwrap() };
            assert!(le == "+Inf" || le.contains('.'), "{name}: {le} is not canonical");
            assert!(bound > last_bound && bucket.value >= last_count, "{name}: {bucket:?}");
            if let Some(exemplar) = &bucket.exemplar {
                assert!(exemplar.value > last_bound && exemplar.value <= bound, "{name}: {bucket:?}");
            }
            (last_bound, last_count) = (bound, bucket.value);
        }
        assert_eq!((last_bound, last_count), (f64::INFINITY, count), "{name}");
    }
}

struct Cursor<'a> {
    rest: &'a str,
    line: &'a str,
}

impl Cursor<'_> {
    fn sample(mut self) -> Sample {
        let name = self.until(['{', ' ']);
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "{}", self.line);
        let labels = if self.rest.starts_with('{') { self.labels() } else { Labels::new() };
        self.expect(" ");
        let value = self.number();
        let exemplar = self.rest.starts_with(" # ").then(|| {
            self.expect(" # ");
            let labels = self.labels();
            let length: usize = labels.iter().map(|(n, v)| n.chars().count() + v.chars().count()).sum();
            assert!(length <= 128, "exemplar of {length} characters: {}", self.line);
            self.expect(" ");
            let value = self.number();
            self.expect(" ");
            Exemplar { labels, value, seconds: self.number() }
        });
        assert!(self.rest.is_empty(), "left over {:?} of {}", self.rest, self.line);
        Sample { name, labels, value, exemplar }
    }

    fn labels(&mut self) -> Labels {
        let mut labels = Labels::new();
        self.expect("{");
        while !self.rest.starts_with('}') {
            if !labels.is_empty() {
                self.expect(",");
            }
            let name = self.until(['=']);
            self.expect("=\"");
            let mut value = String::new();
            loop {
                match self.next() {
                    '"' => break,
                    '\\' => value.push(match self.next() {
                        'n' => '\n',
                        c @ ('"' | '\\') => c,
                        c => panic!("escaped {c:?}: {}", self.line),
                    }),
                    c => value.push(c),
                }
            }
            assert!(labels.insert(name, value).is_none(), "a label stands twice: {}", self.line);
        }
        self.expect("}");
        labels
    }

    fn number(&mut self) -> f64 {
        let text = self.until([' ']);
        match text.as_str() {
            "+Inf" => f64::INFINITY,
            "-Inf" => f64::NEG_INFINITY,
            plain => {
                assert!(plain.starts_with(|c: char| c.is_ascii_digit() || c == '-'), "{}", self.line);
                plain.parse().expect(self.line)
            }
        }
    }

    fn until<const N: usize>(&mut self, ends: [char; N]) -> String {
        let at = self.rest.find(ends).unwrap_or(self.rest.len());
        let (head, rest) = self.rest.split_at(at);
        assert!(!head.is_empty(), "{}", self.line);
        self.rest = rest;
        head.to_owned()
    }

    fn expect(&mut self, text: &str) {
        self.rest = self.rest.strip_prefix(text).unwrap_or_else(|| panic!("no {text:?} at {:?}", self.rest));
    }

    fn next(&mut self) -> char {
        let c = self.rest.chars().next().expect(self.line);
        self.rest = &self.rest[c.len_utf8()..];
        c
    }
}
