//! `GET /metrics`, in the format that is asked for.

use crate::app::App;
use crate::metrics::TextFormat;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// The numbers of now.
pub async fn metrics(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    app.metrics.ask_disks().await;
    let format = preferred(&headers);
    ([(header::CONTENT_TYPE, format.content_type())], format.of(app.metrics.text(&app))).into_response()
}

/// The format that a scraper likes better (RFC 9110, section 12.5.1). OpenMetrics where it does not say, likes both as much, or takes
/// neither.
fn preferred(headers: &HeaderMap) -> TextFormat {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let ranges: Vec<MediaRange<'_>> = values.flat_map(|value| value.split(',')).filter_map(MediaRange::parse).collect();
    let (classic, open) = (weight(&ranges, "text", "plain"), weight(&ranges, "application", "openmetrics-text"));
    if classic > open { TextFormat::Classic } else { TextFormat::OpenMetrics }
}

/// What a client takes, and how much it likes it, from 0 to 1. Versions and other parameters are passed over: there is one of each.
#[derive(Clone, Copy)]
struct MediaRange<'a> {
    kind: &'a str,
    subtype: &'a str,
    weight: f32,
}

impl<'a> MediaRange<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let given = parts.find_map(|part| part.split_once('=').filter(|(name, _)| name.eq_ignore_ascii_case("q")));
        let weight = given.map_or(Some(1.0), |(_, weight)| weight.parse().ok())?;
        (0.0..=1.0).contains(&weight).then_some(Self { kind, subtype, weight })
    }
}

/// How much a type is liked, by the range that names it most closely; 0 where none does.
fn weight(ranges: &[MediaRange<'_>], kind: &str, subtype: &str) -> f32 {
    let by = |kind: &str, subtype: &str| {
        let is_it = |range: &&MediaRange<'_>| {
            range.kind.eq_ignore_ascii_case(kind) && range.subtype.eq_ignore_ascii_case(subtype)
        };
        ranges.iter().filter(is_it).map(|range| range.weight).reduce(f32::max)
    };
    by(kind, subtype).or_else(|| by(kind, "*")).or_else(|| by("*", "*")).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn asked(accept: &[&'static str]) -> TextFormat {
        let mut headers = HeaderMap::new();
        for value in accept {
            headers.append(header::ACCEPT, HeaderValue::from_static(value));
        }
        preferred(&headers)
    }

    #[test]
    fn a_scraper_gets_the_format_that_it_likes_better() {
        use TextFormat::{Classic, OpenMetrics};
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
            application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, format) in [
            (&[][..], OpenMetrics),
            (&["*/*"], OpenMetrics),
            (&["text/plain;version=0.0.4"], Classic),
            (&["Text/Plain; Q=0.5, */*; q=0.1"], Classic),
            (&["text/*;q=0.9", "application/openmetrics-text;q=0.8"], Classic),
            (&["text/plain, application/openmetrics-text"], OpenMetrics),
            (&["text/plain;q=0.3, application/*;q=0.4"], OpenMetrics),
            (&["text/plain;q=0, */*"], OpenMetrics),
            (&["application/openmetrics-text;q=0, */*;q=0.1"], Classic),
            (&[prometheus], OpenMetrics),
            (&["application/json"], OpenMetrics),
            (&["text/plain;q=2, text/plain;q=x, nonsense"], OpenMetrics),
        ] {
            assert_eq!(asked(accept), format, "{accept:?}");
        }
    }
}
