//! Prometheus' classic text format (0.0.4), for scrapers that do not read OpenMetrics: the same samples, with what is said of a
//! metric under the name of its samples. <https://prometheus.io/docs/instrumenting/exposition_formats/>

use std::fmt::Write as _;

/// How the numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextFormat {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The format from before it.
    Classic,
}

impl TextFormat {
    /// Its media type.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// A text of [`super::Metrics::text`] in this format.
    pub fn of(self, open_metrics: String) -> String {
        match self {
            Self::OpenMetrics => open_metrics,
            Self::Classic => classic(&open_metrics),
        }
    }
}

fn classic(open_metrics: &str) -> String {
    let (mut text, mut help) = (String::with_capacity(open_metrics.len()), None);
    for line in open_metrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
        } else if let Some((family, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let (suffix, kind) = match kind {
                "counter" => ("_total", kind),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                _ => ("", kind),
            };
            // Writing into a string fails never.
            if let Some((_, words)) = help.take().filter(|(of, _)| *of == family) {
                let _ = writeln!(text, "# HELP {family}{suffix} {words}");
            }
            let _ = writeln!(text, "# TYPE {family}{suffix} {kind}");
        } else if !line.starts_with('#') {
            let _ = writeln!(text, "{line}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: &str = "# HELP a_build What runs.\n# TYPE a_build info\na_build_info{version=\"1\"} 1\n\
        # HELP a_requests Answered.\n# TYPE a_requests counter\na_requests_total{route=\"# TYPE x\"} 3\n\
        # HELP a_seconds Time.\n# TYPE a_seconds histogram\n# UNIT a_seconds seconds\na_seconds_sum 0.5\na_seconds_count 1\n\
        a_seconds_bucket{le=\"+Inf\"} 1\n# HELP a_now Going on.\n# TYPE a_now gauge\na_now 0\n# TYPE a_b unknown\na_b 1\n# EOF\n";

    #[test]
    fn the_samples_are_the_same_and_a_metric_is_named_as_they_are() {
        let wanted = "# HELP a_build_info What runs.\n# TYPE a_build_info gauge\na_build_info{version=\"1\"} 1\n\
            # HELP a_requests_total Answered.\n# TYPE a_requests_total counter\na_requests_total{route=\"# TYPE x\"} 3\n\
            # HELP a_seconds Time.\n# TYPE a_seconds histogram\na_seconds_sum 0.5\na_seconds_count 1\n\
            a_seconds_bucket{le=\"+Inf\"} 1\n# HELP a_now Going on.\n# TYPE a_now gauge\na_now 0\n# TYPE a_b untyped\na_b 1\n";
        assert_eq!(TextFormat::Classic.of(OPEN.to_owned()), wanted);
        assert_eq!(TextFormat::OpenMetrics.of(OPEN.to_owned()), OPEN);
    }
}
