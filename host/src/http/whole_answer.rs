//! An answer in bytes, for a connection that no handler gets to see.

use super::error::ApiError;
use axum::http::{HeaderValue, header};

/// An answer for a connection that gets no place, whole and with its head: there is nobody else who could write it.
pub fn whole_answer(error: ApiError) -> String {
    let mut headers = error.headers();
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let (status, problem) = error.parts();
    // A struct of strings always serialises.
    let body = serde_json::to_string(&problem).unwrap_or_default();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    let reason = status.canonical_reason().unwrap_or_default();
    let mut answer = format!("HTTP/1.1 {} {reason}\r\n", status.as_u16());
    for (name, value) in &headers {
        answer.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap_or_default()));
    }
    answer + "\r\n" + &body
}

#[cfg(test)]
mod tests {
    use super::super::too_many::TooMany;
    use super::*;

    #[test]
    fn an_answer_without_a_handler_says_its_true_length() {
        for (error, status, code) in [
            (ApiError::NoPlace, "503 Service Unavailable", "too-many-connections"),
            (ApiError::TooMany(TooMany::InFlight(2_048)), "429 Too Many Requests", "too-many-connections"),
        ] {
            let answer = whole_answer(error);
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{head}");
            assert!(
                head.contains(&format!("content-length: {}", body.len())) && head.contains("retry-after: 5"),
                "{head}"
            );
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(body["error"], code);
        }
    }
}
