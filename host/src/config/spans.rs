//! Whether and where spans go, by the variables that OpenTelemetry has agreed on. What would be understood otherwise elsewhere
//! is refused, not guessed. No text of a value is repeated in an error: an endpoint and a header may hold a password.

use super::{ConfigError, Env, invalid};
use crate::outbound::{HeaderMap, HeaderName, HeaderValue, Url};
use crate::telemetry::{Sampling, Settings};
use percent_encoding::percent_decode_str;
use std::time::Duration;

/// Where a collector listens that nobody named.
const DEFAULT_ENDPOINT: &str = "http://localhost:4318";
/// Below an endpoint that serves all signals.
const PATH: &str = "v1/traces";
/// What is kept of a trace where nothing else is said.
const DEFAULT_SAMPLER: &str = "parentbased_always_on";

impl Env<'_> {
    /// Where spans go; `None` where nobody asked for them.
    pub(super) fn spans(&self) -> Result<Option<Settings>, ConfigError> {
        let disabled = self.get("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        if disabled || !self.spans_are_asked_for()? {
            return Ok(None);
        }
        for name in ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"] {
            self.must_be(name, "http/protobuf")?;
        }
        for name in ["OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"] {
            self.must_be(name, "none")?;
        }
        Ok(Some(Settings {
            endpoint: self.endpoint()?,
            headers: self.headers()?,
            timeout: self.export_timeout()?,
            sampling: self.sampling()?,
            resource: self.resource()?,
        }))
    }

    fn spans_are_asked_for(&self) -> Result<bool, ConfigError> {
        let endpoint = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
        match self.get("OTEL_TRACES_EXPORTER") {
            None => Ok(endpoint.iter().any(|name| self.get(name).is_some())),
            Some("otlp") => Ok(true),
            Some("none") => Ok(false),
            Some(_) => Err(invalid("OTEL_TRACES_EXPORTER", "must be otlp or none")),
        }
    }

    fn must_be(&self, name: &'static str, only: &str) -> Result<(), ConfigError> {
        match self.get(name) {
            Some(value) if value != only => {
                Err(ConfigError { name, why: format!("must be {only}; nothing else is spoken") })
            }
            _ => Ok(()),
        }
    }

    /// The one for traces as it is; the one for everything with the path that the protocol has for traces.
    fn endpoint(&self) -> Result<Url, ConfigError> {
        let (name, text) = match self.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") {
            Some(text) => ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", text.to_owned()),
            None => {
                let base = self.get("OTEL_EXPORTER_OTLP_ENDPOINT").unwrap_or(DEFAULT_ENDPOINT);
                ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("{}/{PATH}", base.trim_end_matches('/')))
            }
        };
        let url = Url::parse(&text).ok().filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
        url.ok_or_else(|| invalid(name, "must be an http or https URL"))
    }

    fn headers(&self) -> Result<HeaderMap, ConfigError> {
        let name = match self.get("OTEL_EXPORTER_OTLP_TRACES_HEADERS") {
            Some(_) => "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
            None => "OTEL_EXPORTER_OTLP_HEADERS",
        };
        let mut headers = HeaderMap::new();
        for (key, value) in pairs(name, self.get(name))? {
            let wrong = || invalid(name, "must be headers such as api-key=abc,x-tenant=1");
            let key = HeaderName::from_bytes(key.as_bytes()).map_err(|_| wrong())?;
            let mut value = HeaderValue::from_str(&value).map_err(|_| wrong())?;
            value.set_sensitive(true);
            headers.insert(key, value);
        }
        Ok(headers)
    }

    fn export_timeout(&self) -> Result<Duration, ConfigError> {
        let name = match self.get("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT") {
            Some(_) => "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
            None => "OTEL_EXPORTER_OTLP_TIMEOUT",
        };
        let millis = self.get(name).unwrap_or("10000").parse().ok().filter(|millis| *millis > 0);
        millis
            .map(Duration::from_millis)
            .ok_or_else(|| invalid(name, "must be milliseconds, a whole number above zero"))
    }

    fn sampling(&self) -> Result<Sampling, ConfigError> {
        let name = self.get("OTEL_TRACES_SAMPLER").unwrap_or(DEFAULT_SAMPLER);
        let (own, by_parent) = name.strip_prefix("parentbased_").map_or((name, false), |own| (own, true));
        let share = match own {
            "always_on" => 1.0,
            "always_off" => 0.0,
            "traceidratio" => {
                let share = self.get("OTEL_TRACES_SAMPLER_ARG").unwrap_or("1").parse().ok();
                let share = share.filter(|share| (0.0..=1.0).contains(share));
                share.ok_or_else(|| invalid("OTEL_TRACES_SAMPLER_ARG", "must be a number from 0 to 1"))?
            }
            _ => {
                let why = "must be always_on, always_off, traceidratio, or one of them after parentbased_";
                return Err(invalid("OTEL_TRACES_SAMPLER", why));
            }
        };
        Ok(Sampling { share, by_parent })
    }

    fn resource(&self) -> Result<Vec<(String, String)>, ConfigError> {
        let mut resource = pairs("OTEL_RESOURCE_ATTRIBUTES", self.get("OTEL_RESOURCE_ATTRIBUTES"))?;
        let version = env!("CARGO_PKG_VERSION");
        for (key, value) in [("service.name", "catalyst"), ("service.version", version)] {
            if !resource.iter().any(|(known, _)| known == key) {
                resource.push((key.to_owned(), value.to_owned()));
            }
        }
        if let Some(name) = self.get("OTEL_SERVICE_NAME") {
            resource.retain(|(key, _)| key != "service.name");
            resource.push(("service.name".to_owned(), name.to_owned()));
        }
        Ok(resource)
    }
}

/// `key=value` between commas, the values percent-encoded.
fn pairs(name: &'static str, text: Option<&str>) -> Result<Vec<(String, String)>, ConfigError> {
    let wrong = || invalid(name, "must be key=value pairs between commas");
    let pair = |pair: &str| {
        let (key, value) = pair.split_once('=').ok_or_else(wrong)?;
        let value = percent_decode_str(value.trim()).decode_utf8().map_err(|_| wrong())?;
        let key = key.trim();
        if key.is_empty() { Err(wrong()) } else { Ok((key.to_owned(), value.into_owned())) }
    };
    text.unwrap_or_default().split(',').filter(|part| !part.trim().is_empty()).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn spans(variables: &[(&str, &str)]) -> Result<Option<Settings>, ConfigError> {
        let map: BTreeMap<String, String> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Env(&map).spans()
    }

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://otel:4318/base/");

    #[test]
    fn spans_are_off_until_a_collector_or_the_exporter_is_named() {
        let traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://otel/own");
        for (given, endpoint) in [
            (&[][..], None),
            (&[("OTEL_SERVICE_NAME", "x"), ("OTEL_EXPORTER_OTLP_HEADERS", "a=b")], None),
            (&[ENDPOINT], Some("http://otel:4318/base/v1/traces")),
            (&[ENDPOINT, traces], Some("https://otel/own")),
            (&[("OTEL_TRACES_EXPORTER", "otlp")], Some("http://localhost:4318/v1/traces")),
            (&[ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")], None),
            (&[ENDPOINT, ("OTEL_SDK_DISABLED", "TRUE")], None),
            (&[ENDPOINT, ("OTEL_SDK_DISABLED", "false")], Some("http://otel:4318/base/v1/traces")),
            (&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")], None),
            // What is off is not judged.
            (&[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")], None),
        ] {
            let found = spans(given).unwrap().map(|settings| settings.endpoint.to_string());
            assert_eq!(found.as_deref(), endpoint, "{given:?}");
        }
    }

    #[test]
    fn everything_that_is_said_arrives() {
        let settings = spans(&[
            ENDPOINT,
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b%3D, x-tenant = 7 ,"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
            ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=prod,service.name=other"),
            ("OTEL_SERVICE_NAME", "catalyst-eu"),
        ]);
        let settings = settings.unwrap().unwrap();
        assert_eq!(
            (&settings.headers["api-key"], &settings.headers["x-tenant"]),
            (&"a b=".parse().unwrap(), &"7".parse().unwrap())
        );
        assert_eq!(settings.timeout, Duration::from_millis(2500));
        assert_eq!(settings.sampling, Sampling { share: 0.25, by_parent: true });
        let of =
            |key: &str| settings.resource.iter().filter(|(k, _)| k == key).map(|(_, v)| v.clone()).collect::<Vec<_>>();
        assert_eq!(of("service.name"), ["catalyst-eu"]);
        assert_eq!((of("deployment.environment.name"), of("service.version").len()), (vec!["prod".to_owned()], 1));
        assert!(!format!("{settings:?}").contains("a b"), "{settings:?}");
        let plain = spans(&[ENDPOINT]).unwrap().unwrap();
        assert_eq!(plain.sampling, Sampling { share: 1.0, by_parent: true });
        assert!(plain.resource.contains(&("service.name".to_owned(), "catalyst".to_owned())));
    }

    #[test]
    fn what_is_not_spoken_or_makes_no_sense_is_refused_by_its_name_and_never_repeated() {
        for (name, value) in [
            ("OTEL_TRACES_EXPORTER", "zipkin-7"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc-7"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json-7"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip-7"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "otel-7:4318"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "just-7"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a b=value-7"),
            ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "a=value-7%0A"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s-7"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "0"),
            ("OTEL_TRACES_SAMPLER", "jaeger_remote-7"),
            ("OTEL_RESOURCE_ATTRIBUTES", "=value-7"),
        ] {
            let error = spans(&[ENDPOINT, (name, value)]).unwrap_err();
            assert_eq!(error.name, name, "{value}");
            assert!(!error.to_string().contains("-7"), "{error}");
        }
        let ratio = ("OTEL_TRACES_SAMPLER", "traceidratio");
        for value in ["1.5", "-0.1", "much", "NaN"] {
            let error = spans(&[ENDPOINT, ratio, ("OTEL_TRACES_SAMPLER_ARG", value)]).unwrap_err();
            assert_eq!(error.name, "OTEL_TRACES_SAMPLER_ARG");
        }
    }
}
