//! One operation on its way into the document. An operation may answer one status with several shapes; they are gathered
//! here and written as one response.

use super::super::body::POST_LIMIT;
use super::super::error::ApiError;
use super::super::header_fault::HeaderFault;
use super::super::routes::{Needs, RULES};
use super::super::serve::Limits;
use super::super::too_many::TooMany;
use super::super::wire::Problem;
use super::{READ_COOKIE, TOKEN};
use crate::audit::AuditError;
use std::collections::BTreeMap;
use std::time::Duration;
use utoipa::ToSchema;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{OperationBuilder, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{AnyOfBuilder, Object, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{HttpMethod, Ref, RefOr, Required};

/// Schemas by name.
pub type Schemas = Vec<(String, RefOr<Schema>)>;

const JSON: &str = "application/json";

/// One operation.
pub struct Route {
    method: &'static str,
    path: &'static str,
    operation: OperationBuilder,
    responses: BTreeMap<String, Answer>,
    schemas: Schemas,
}

/// What one status says.
#[derive(Default)]
struct Answer {
    words: Vec<String>,
    /// Content type and shape.
    contents: Vec<(&'static str, RefOr<Schema>)>,
    headers: BTreeMap<String, String>,
}

impl Route {
    /// An operation without parameters and answers; everything can at least break.
    pub fn new(place: (&'static str, &'static str), tag: &str, id: &str, summary: &str) -> Self {
        let operation = OperationBuilder::new().tag(tag).operation_id(Some(id)).summary(Some(summary));
        let (method, path) = place;
        let route = Self { method, path, operation, responses: BTreeMap::new(), schemas: Vec::new() };
        route.fails([ApiError::Panicked]).guarded()
    }

    /// What the table of routes asks of a caller, and what whoever has less is told.
    fn guarded(mut self) -> Self {
        let Some(rule) = RULES.iter().find(|rule| (rule.method, rule.path) == self.place()) else { return self };
        let faults = HeaderFault::ALL.into_iter().filter(|fault| rule.can_answer(*fault));
        self = self.fails(faults.map(ApiError::Header));
        if rule.action.is_some() {
            self = self.fails([audit_unavailable()]);
        }
        if let Some(kind) = rule.rate {
            self = self.fails([ApiError::TooMany(kind.example())]);
        }
        self = self.fails([ApiError::TooMany(TooMany::InFlight(Limits::default().per_address)), ApiError::NoPlace]);
        match rule.needs {
            Needs::Nothing | Needs::NodeBearer => return self,
            Needs::OrReadToken(..) => self = self.bearer(TOKEN).bearer(READ_COOKIE),
            Needs::Scope(_) | Needs::Either(..) => self = self.bearer(TOKEN),
        }
        self.fails([
            ApiError::MissingToken,
            ApiError::InvalidToken,
            ApiError::TooManyWrongTokens(Duration::from_secs(1)),
            ApiError::Forbidden(rule.needs),
            ApiError::AuthUnavailable,
            ApiError::AuthBlind,
        ])
    }

    /// Method and path.
    pub fn place(&self) -> (&'static str, &'static str) {
        (self.method, self.path)
    }

    /// More words than the summary.
    pub fn says(mut self, words: &str) -> Self {
        self.operation = self.operation.description(Some(words));
        self
    }

    /// Needs the bearer of this name.
    pub fn bearer(mut self, name: &str) -> Self {
        self.operation = self.operation.security(SecurityRequirement::new(name, Vec::<String>::new()));
        self
    }

    /// A parameter.
    pub fn takes(mut self, parameter: Parameter) -> Self {
        self.operation = self.operation.parameter(parameter);
        self
    }

    /// A JSON body, with what every reading of one can answer.
    pub fn reads<T: ToSchema>(mut self, required: Required, words: &str) -> Self {
        let content = ContentBuilder::new().schema(Some(self.named::<T>())).build();
        let body = RequestBodyBuilder::new().description(Some(words)).required(Some(required)).content(JSON, content);
        self.operation = self.operation.request_body(Some(body.build()));
        self
    }

    /// A body of another type.
    pub fn reads_other(mut self, content_type: &str, schema: Object, words: &str) -> Self {
        let content = ContentBuilder::new().schema(Some(schema)).build();
        let body = RequestBodyBuilder::new().description(Some(words)).required(Some(Required::True));
        self.operation = self.operation.request_body(Some(body.content(content_type, content).build()));
        self
    }

    /// What the reading of a POST body can answer.
    pub fn body_faults(self) -> Self {
        self.fails([
            ApiError::BodyUnreadable,
            ApiError::BodyTooSlow(Duration::from_secs(20)),
            ApiError::BodyTooLarge(POST_LIMIT),
        ])
    }

    /// An answer in JSON.
    pub fn answers<T: ToSchema>(mut self, status: u16, words: &str) -> Self {
        let schema = self.named::<T>();
        self.put(status.to_string(), words, Some((JSON, schema)))
    }

    /// An answer of another type; `None` has no body.
    pub fn answers_other(self, status: u16, words: &str, content: Option<(&'static str, Object)>) -> Self {
        self.put(status.to_string(), words, content.map(|(kind, schema)| (kind, schema.into())))
    }

    /// An answer in JSON that somebody else chose, with a status of their choice.
    pub fn answers_otherwise(self, words: &str, schema: Object) -> Self {
        self.put("default".to_owned(), words, Some((JSON, schema.into())))
    }

    /// A header that goes with a status.
    pub fn with_header(mut self, status: u16, name: &str, words: &str) -> Self {
        self.responses.entry(status.to_string()).or_default().headers.insert(name.to_owned(), words.to_owned());
        self
    }

    /// Failures, each as a handler would give it.
    pub fn fails(mut self, errors: impl IntoIterator<Item = ApiError>) -> Self {
        for error in errors {
            let headers = header_names(&error);
            let (status, problem) = error.parts();
            let schema = self.named::<Problem>();
            self = self.put(status.as_u16().to_string(), &words(&problem), Some((JSON, schema)));
            for name in headers {
                self = self.with_header(status.as_u16(), name, header_words(name));
            }
        }
        self
    }

    fn put(mut self, status: String, words: &str, content: Option<(&'static str, RefOr<Schema>)>) -> Self {
        let answer = self.responses.entry(status).or_default();
        answer.words.push(words.to_owned());
        if let Some(content) = content.filter(|content| !answer.contents.contains(content)) {
            answer.contents.push(content);
        }
        self
    }

    fn named<T: ToSchema>(&mut self) -> RefOr<Schema> {
        T::schemas(&mut self.schemas);
        self.schemas.push((T::name().into_owned(), T::schema()));
        Ref::from_schema_name(T::name()).into()
    }

    /// Path, operation under its method, and the schemas that it refers to.
    pub fn finish(self) -> (&'static str, PathItem, Schemas) {
        let method = match self.method {
            "POST" => HttpMethod::Post,
            "PUT" => HttpMethod::Put,
            "DELETE" => HttpMethod::Delete,
            _ => HttpMethod::Get,
        };
        let mut operation = self.operation;
        for (status, answer) in self.responses {
            operation = operation.response(status, answer.finish());
        }
        (self.path, PathItem::new(method, operation), self.schemas)
    }
}

impl Answer {
    fn finish(self) -> Response {
        let mut response = ResponseBuilder::new().description(list(&self.words));
        let mut by_type: BTreeMap<&str, Vec<RefOr<Schema>>> = BTreeMap::new();
        for (kind, schema) in self.contents {
            by_type.entry(kind).or_default().push(schema);
        }
        for (kind, mut schemas) in by_type {
            let schema = match (schemas.pop(), schemas.is_empty()) {
                (Some(only), true) => only,
                (last, _) => {
                    let any = schemas.into_iter().chain(last).fold(AnyOfBuilder::new(), AnyOfBuilder::item);
                    any.into()
                }
            };
            response = response.content(kind, ContentBuilder::new().schema(Some(schema)).build());
        }
        let headers = self.headers.into_iter().chain([("X-Request-Id".to_owned(), "Names the request.".to_owned())]);
        for (name, words) in headers {
            let header = HeaderBuilder::new().schema(Some(text())).description(Some(words));
            response = response.header(name, header.build());
        }
        response.build()
    }
}

/// One failure as a response of its own.
pub fn failure_response(error: ApiError) -> Response {
    let mut answer = Answer::default();
    for name in header_names(&error) {
        answer.headers.insert(name.to_owned(), header_words(name).to_owned());
    }
    answer.words.push(words(&error.parts().1));
    answer.contents.push((JSON, Ref::from_schema_name(Problem::name()).into()));
    answer.finish()
}

/// What is answered where nothing can be written down.
pub fn audit_unavailable() -> ApiError {
    ApiError::AuditUnavailable(AuditError("no space left on device".to_owned()))
}

/// A path parameter.
pub fn in_path(name: &str, words: &str, schema: impl Into<RefOr<Schema>>) -> Parameter {
    parameter(name, words, ParameterIn::Path, Required::True, schema)
}

/// A query parameter that may be left out.
pub fn in_query(name: &str, words: &str, schema: impl Into<RefOr<Schema>>) -> Parameter {
    parameter(name, words, ParameterIn::Query, Required::False, schema)
}

/// A header that may be left out.
pub fn in_header(name: &str, words: &str, schema: impl Into<RefOr<Schema>>) -> Parameter {
    parameter(name, words, ParameterIn::Header, Required::False, schema)
}

fn parameter(
    name: &str,
    words: &str,
    place: ParameterIn,
    required: Required,
    schema: impl Into<RefOr<Schema>>,
) -> Parameter {
    let parameter = ParameterBuilder::new().name(name).parameter_in(place).required(required);
    parameter.description(Some(words)).schema(Some(schema)).build()
}

/// Any text.
pub fn text() -> Object {
    Object::with_type(Type::String)
}

/// Text of this form (ECMA-262).
pub fn text_like(pattern: &str) -> Object {
    ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern)).build()
}

/// One of these words.
pub fn one_of(words: impl IntoIterator<Item = &'static str>) -> Object {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words)).build()
}

/// A whole number within bounds.
pub fn number(least: u32, most: Option<u32>) -> Object {
    ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(least)).maximum(most).build()
}

/// Any object.
pub fn any_object() -> Object {
    Object::with_type(Type::Object)
}

/// Anything.
pub fn anything() -> Object {
    Object::with_type(SchemaType::AnyValue)
}

fn list(words: &[String]) -> String {
    match words {
        [only] => only.clone(),
        many => many.iter().map(|one| format!("- {one}")).collect::<Vec<_>>().join("\n"),
    }
}

/// The code and what goes with it; a sentence alone where there is no code.
fn words(problem: &Problem) -> String {
    match &problem.detail {
        Some(detail) => format!("`{}`: {detail}", problem.error),
        None => problem.error.clone(),
    }
}

fn header_names(error: &ApiError) -> Vec<&'static str> {
    let mut names: Vec<&str> = Vec::new();
    for name in error.headers().keys() {
        names.extend(HEADERS.iter().map(|(known, _)| *known).filter(|known| known.eq_ignore_ascii_case(name.as_str())));
    }
    names
}

fn header_words(name: &str) -> &'static str {
    HEADERS.iter().find(|(known, _)| *known == name).map_or("", |(_, words)| words)
}

/// Headers that a failure may bring.
const HEADERS: [(&str, &str); 4] = [
    ("Allow", "A right method; one header for each."),
    ("Connection", "`close`: the rest of the body is not waited for."),
    ("Retry-After", "Seconds after which it may be tried again."),
    ("WWW-Authenticate", "`Bearer`."),
];
