//! OpenMetrics 1.0 text over what the registry gathered.

use std::fmt::Write;

use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

use super::exemplar::{Exemplar, Exemplars, Series};

/// Writes `families` with their exemplars: counters, gauges and histograms, as no other types are declared.
pub(super) fn encode(families: &[MetricFamily], exemplars: &Exemplars) -> String {
    let mut text = Text { out: String::new() };
    for family in families {
        text.family(family, exemplars);
    }
    text.out.push_str("# EOF\n");
    text.out
}

struct Text {
    out: String,
}

impl Text {
    fn family(&mut self, family: &MetricFamily, exemplars: &Exemplars) {
        let full = family.name();
        let (name, kind) = match family.get_field_type() {
            MetricType::COUNTER => (full.strip_suffix("_total").unwrap_or(full), "counter"),
            MetricType::HISTOGRAM => (full, "histogram"),
            MetricType::GAUGE | MetricType::SUMMARY | MetricType::UNTYPED => (full, "gauge"),
        };
        self.push(format_args!("# TYPE {name} {kind}\n"));
        self.push(format_args!("# HELP {name} {}\n", escaped(family.help())));
        for metric in family.get_metric() {
            match family.get_field_type() {
                MetricType::COUNTER => {
                    let exemplar = exemplars.of(&Series::counter(full, pairs(metric)));
                    self.sample(name, "_total", metric, None, metric.get_counter().get_value(), exemplar);
                }
                MetricType::HISTOGRAM => self.histogram(name, metric, exemplars),
                MetricType::GAUGE | MetricType::SUMMARY | MetricType::UNTYPED => {
                    self.sample(name, "", metric, None, metric.get_gauge().get_value(), None);
                }
            }
        }
    }

    fn histogram(&mut self, name: &str, metric: &Metric, exemplars: &Exemplars) {
        let histogram = metric.get_histogram();
        let bounded = histogram.get_bucket().iter().map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()));
        // The registry leaves out the last bucket, which holds everything.
        let last = (f64::INFINITY, histogram.get_sample_count());
        for (bound, count) in bounded.filter(|(bound, _)| bound.is_finite()).chain([last]) {
            let exemplar = exemplars.of(&Series::bucket(name, pairs(metric), bound));
            self.sample(name, "_bucket", metric, Some(bound), count as f64, exemplar);
        }
        self.sample(name, "_count", metric, None, histogram.get_sample_count() as f64, None);
        self.sample(name, "_sum", metric, None, histogram.get_sample_sum(), None);
    }

    fn sample(
        &mut self,
        name: &str,
        suffix: &str,
        metric: &Metric,
        bound: Option<f64>,
        value: f64,
        exemplar: Option<Exemplar>,
    ) {
        self.push(format_args!("{name}{suffix}"));
        let bound = bound.map(canonical);
        let bound = bound.as_deref().map(|bound| ("le", bound));
        let labels: Vec<_> = pairs(metric).chain(bound).collect();
        if !labels.is_empty() {
            self.labels(&labels);
        }
        self.push(format_args!(" {}", number(value)));
        if let Some(exemplar) = exemplar {
            self.out.push_str(" # ");
            let labels: Vec<_> = exemplar.labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
            self.labels(&labels);
            let seconds = exemplar.at_ms as f64 / 1000.0;
            self.push(format_args!(" {} {seconds:.3}", number(exemplar.value)));
        }
        self.out.push('\n');
    }

    fn labels(&mut self, labels: &[(&str, &str)]) {
        let mut separator = '{';
        for (name, value) in labels {
            self.push(format_args!("{separator}{name}=\"{}\"", escaped(value)));
            separator = ',';
        }
        self.out.push('}');
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        self.out.write_fmt(text).expect("a string takes all text");
    }
}

fn pairs(metric: &Metric) -> impl Iterator<Item = (&str, &str)> {
    metric.get_label().iter().map(|pair: &LabelPair| (pair.name(), pair.value()))
}

fn escaped(text: &str) -> String {
    text.replace('\\', r"\\").replace('\n', r"\n").replace('"', "\\\"")
}

fn number(value: f64) -> String {
    if value.is_infinite() { infinity(value) } else { value.to_string() }
}

/// Bounds are part of a series' name, so the format fixes how they are written: `1.0`, never `1`.
fn canonical(bound: f64) -> String {
    if bound.is_infinite() { infinity(bound) } else { format!("{bound:?}") }
}

fn infinity(value: f64) -> String {
    if value.is_sign_positive() { "+Inf".to_owned() } else { "-Inf".to_owned() }
}
