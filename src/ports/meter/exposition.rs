//! Which of the two text formats a scraper gets.

/// A format in which metrics can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposition {
    PrometheusText,
    /// With exemplars.
    OpenMetrics,
}

impl Exposition {
    pub fn content_type(self) -> &'static str {
        match self {
            Exposition::PrometheusText => "text/plain; version=0.0.4; charset=utf-8",
            Exposition::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// OpenMetrics only for those who name it and like it no less than plain text.
    pub fn negotiate(accept_header: Option<&str>) -> Self {
        let ranges: Vec<Range<'_>> = accept_header.unwrap_or_default().split(',').filter_map(Range::parse).collect();
        let best = |media: &str, versions: &[&str]| -> Option<f32> {
            let fits = |range: &&Range<'_>| range.names(media) && range.version.is_none_or(|v| versions.contains(&v));
            ranges.iter().filter(fits).map(|range| range.quality).reduce(f32::max)
        };
        let open = best("application/openmetrics-text", &["1.0.0", "0.0.1"]).unwrap_or(0.0);
        let plain = best("text/plain", &["0.0.4"]).or_else(|| best("text/*", &[])).or_else(|| best("*/*", &[]));
        if open > 0.0 && open >= plain.unwrap_or(0.0) { Exposition::OpenMetrics } else { Exposition::PrometheusText }
    }
}

/// One element of an `Accept` header.
struct Range<'a> {
    media: &'a str,
    version: Option<&'a str>,
    quality: f32,
}

impl<'a> Range<'a> {
    /// None where it is not understood.
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let mut range = Self { media: parts.next()?, version: None, quality: 1.0 };
        for part in parts {
            let Some((name, value)) = part.split_once('=') else { continue };
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "q" => range.quality = value.parse().ok().filter(|q| (0.0..=1.0).contains(q))?,
                "version" => range.version = Some(value),
                _ => {}
            }
        }
        Some(range)
    }

    fn names(&self, media: &str) -> bool {
        self.media.eq_ignore_ascii_case(media)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_goes_to_those_who_ask_for_it() {
        let check = |accept: &str, expected: Exposition| {
            assert_eq!(Exposition::negotiate(Some(accept)), expected, "{accept}");
        };
        use Exposition::{OpenMetrics, PrometheusText};
        check("", PrometheusText);
        check("*/*", PrometheusText);
        check("text/html,application/xhtml+xml,*/*;q=0.8", PrometheusText);
        check("application/openmetrics-text", OpenMetrics);
        check("Application/OpenMetrics-Text; Version=\"1.0.0\"", OpenMetrics);
        check("application/openmetrics-text; version=2.0.0", PrometheusText);
        check("application/openmetrics-text;q=0", PrometheusText);
        check("application/openmetrics-text;q=nonsense", PrometheusText);
        check("application/openmetrics-text;q=7", PrometheusText);
        check("text/plain;q=0.9,application/openmetrics-text;q=0.1", PrometheusText);
        check("text/plain;q=0.5,application/openmetrics-text;q=0.5", OpenMetrics);
        check("*/*;q=0.9,application/openmetrics-text;q=0.8", PrometheusText);
        check("*/*,text/plain;q=0.1,application/openmetrics-text;q=0.8", OpenMetrics);
        // As Prometheus sends it, now and before 2.36.
        check(
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;q=0.4,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            OpenMetrics,
        );
        check("application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", OpenMetrics);
        assert_eq!(Exposition::negotiate(None), PrometheusText);
    }
}
