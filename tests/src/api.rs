//! A plain client of the API: what it sent and got is kept, so that a test can look for secrets in all of it.

use serde_json::Value;
use std::sync::Mutex;
use std::time::Duration;

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Body.
    pub body: String,
    headers: Vec<(String, String)>,
}

impl Answer {
    /// A header by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("{error} in the answer {}: {}", self.status, self.body))
    }
}

/// A client of one host.
pub struct Api {
    base: String,
    agent: ureq::Agent,
    seen: Mutex<Vec<String>>,
}

impl Api {
    /// A client of `http://<address>`.
    pub fn new(address: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(30)))
            .proxy(None)
            .build();
        Self { base: format!("http://{address}"), agent: config.new_agent(), seen: Mutex::default() }
    }

    /// `GET`.
    pub fn get(&self, path: &str) -> Answer {
        self.keep(self.agent.get(format!("{}{path}", self.base)).call())
    }

    /// `POST` of a body as it is.
    pub fn post(&self, path: &str, body: &str) -> Answer {
        self.keep(self.agent.post(format!("{}{path}", self.base)).send(body))
    }

    /// `POST` with one more header.
    pub fn post_with(&self, path: &str, header: (&str, &str), body: &str) -> Answer {
        self.keep(self.agent.post(format!("{}{path}", self.base)).header(header.0, header.1).send(body))
    }

    /// `DELETE` with a body, which may be empty.
    pub fn delete(&self, path: &str, body: &str) -> Answer {
        self.keep(self.agent.delete(format!("{}{path}", self.base)).force_send_body().send(body))
    }

    /// `PUT` of a kubeconfig with a header value.
    pub fn put(&self, path: &str, authorization: Option<&str>, body: &str) -> Answer {
        let mut request = self.agent.put(format!("{}{path}", self.base));
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        self.keep(request.send(body))
    }

    /// Every body that was received.
    pub fn everything(&self) -> String {
        self.seen.lock().unwrap().join("\n")
    }

    fn keep(&self, result: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Answer {
        let mut response = result.unwrap_or_else(|error| panic!("the host does not answer: {error}"));
        let body = response.body_mut().read_to_string().unwrap();
        self.seen.lock().unwrap().push(body.clone());
        let text = |value: &ureq::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = response.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        Answer { status: response.status().as_u16(), body, headers }
    }
}
