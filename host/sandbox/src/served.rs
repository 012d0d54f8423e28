//! A plugin as callers see it: each call runs in the lane that the plugin has earned ([`crate::lane`]).

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use catalyst_domain::provider::{
    Advice, Asked as Wanted, Bundle, Diagnostic, Endpoints, Estimate, LeftoverQuery, LeftoverSearch, Probe,
    ProbeResponse, RenderContext, Verdict,
};
use catalyst_domain::{Finding, Request};
use tracing::Instrument;
use tracing::field::Empty;

use crate::bind::Settings;
use crate::call::Asked;
use crate::error::{CallError, CallFailure, Function};
use crate::lane::Standing;
use crate::load::Shared;
use crate::memo::Answer;
use crate::provider::Plugin;

/// Where the spans of plugin calls come from. They say which plugin and which function, and nothing of what it was asked.
pub const CALL_SPANS: &str = "catalyst_sandbox::calls";

/// A plugin that serves. Cheap to share; each call is independent of all others, and dropping it ends it.
pub struct Provider {
    plugin: Arc<Plugin>,
    shared: Arc<Shared>,
    standing: Arc<Standing>,
    /// Machine code that was made for it and is not kept yet.
    made: Mutex<Option<Vec<u8>>>,
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.plugin.fmt(f)
    }
}

/// What is known of it without a call.
impl Deref for Provider {
    type Target = Plugin;

    fn deref(&self) -> &Plugin {
        &self.plugin
    }
}

impl Provider {
    pub(crate) fn new(plugin: Plugin, shared: Arc<Shared>, standing: Arc<Standing>, made: Option<Vec<u8>>) -> Self {
        Self { plugin: Arc::new(plugin), shared, standing, made: Mutex::new(made) }
    }

    pub(crate) fn take_made(&self) -> Option<Vec<u8>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// All findings on a request.
    ///
    /// # Errors
    /// When the plugin gives no answer, or one that breaks the rules; so for all calls below.
    pub async fn validate(&self, request: &Request) -> Result<Vec<Finding>, CallError> {
        self.validate_partial(request, &[]).await
    }

    /// All findings on a request of which the host left out what it refuses already: `left_out` are RFC 6901 pointers of it. A
    /// plugin that cannot be told of them (contract 1.0) would remark on what is only left out, so of its findings the errors
    /// alone count then.
    pub async fn validate_partial(&self, request: &Request, left_out: &[String]) -> Result<Vec<Finding>, CallError> {
        let asked = self.caller().ask(Function::Validate, &(request, left_out));
        let call = |plugin: Arc<Plugin>| {
            let (request, left_out) = (request.clone(), left_out.to_vec());
            async move { plugin.validate(asked, &request, &left_out).await }
        };
        let mut findings = self.call(asked, call).await?;
        if !left_out.is_empty() && !self.plugin.knows_what_is_left_out() {
            findings.retain(Finding::is_error);
        }
        Ok(findings)
    }

    /// The bundle of a request, its paths, variables and configuration checked ([`crate::policy`]); or the findings that
    /// refuse the request.
    pub async fn render(
        &self,
        request: &Request,
        context: &RenderContext,
    ) -> Result<Result<Bundle, Vec<Finding>>, CallError> {
        // What is granted decides on what is rendered, so an answer is remembered under the grants that it passed.
        let rights = self.rights();
        let asked = self.caller().ask(Function::Render, &(request, context, rights.fingerprint()));
        let call = |plugin: Arc<Plugin>| {
            let (request, context, rights) = (request.clone(), context.clone(), Arc::clone(&rights));
            async move { plugin.render(asked, &request, &context, rights).await }
        };
        self.call(asked, call).await
    }

    /// Endpoints from the text of `tofu output -json`, from which the caller has removed the sensitive outputs; or the
    /// plugin's reason why there are none.
    pub async fn read_outputs(&self, outputs: &str) -> Result<Result<Endpoints, String>, CallError> {
        let asked = self.caller().ask(Function::ReadOutputs, &outputs);
        let call = |plugin: Arc<Plugin>| {
            let outputs = outputs.to_owned();
            async move { plugin.read_outputs(asked, &outputs).await }
        };
        self.call(asked, call).await
    }

    /// Plain words for one diagnostic of OpenTofu, in a run that was to build what was wanted.
    pub async fn diagnose(&self, diagnostic: &Diagnostic, wanted: &Wanted) -> Result<Advice, CallError> {
        let asked = self.caller().ask(Function::Diagnose, &(diagnostic, wanted));
        let call = |plugin: Arc<Plugin>| {
            let (diagnostic, wanted) = (diagnostic.clone(), wanted.clone());
            async move { plugin.diagnose(asked, &diagnostic, &wanted).await }
        };
        self.call(asked, call).await
    }

    /// Monthly cost of a request, or the plugin's reason why it is not known.
    pub async fn estimate(&self, request: &Request) -> Result<Result<Estimate, String>, CallError> {
        let asked = self.caller().ask(Function::Estimate, request);
        let call = |plugin: Arc<Plugin>| {
            let request = request.clone();
            async move { plugin.estimate(asked, &request).await }
        };
        self.call(asked, call).await
    }

    /// What to ask the cloud to prove a credential, only https to the declared hosts; or why that is not possible.
    /// `settings` are the keys of the plugin's schema that came with the credential; they choose among those hosts.
    pub async fn credential_probe(&self, settings: &Settings) -> Result<Result<Vec<Probe>, String>, CallError> {
        let asked = self.caller().ask(Function::CredentialProbe, settings);
        let call = |plugin: Arc<Plugin>| {
            let settings = settings.clone();
            async move { plugin.credential_probe(asked, &settings).await }
        };
        self.call(asked, call).await
    }

    /// What the cloud's answers, in the order of the probes, prove.
    pub async fn judge_credentials(&self, responses: &[ProbeResponse]) -> Result<Verdict, CallError> {
        let asked = self.caller().ask(Function::JudgeCredentials, &responses);
        let call = |plugin: Arc<Plugin>| {
            let responses = responses.to_vec();
            async move { plugin.judge_credentials(asked, &responses).await }
        };
        self.call(asked, call).await
    }

    /// What to ask the cloud about what a destroy left there, only https to the declared hosts; or why that is not possible. Only of
    /// a plugin that searches (see `searches_leftovers`).
    pub async fn leftover_probe(&self, query: &LeftoverQuery) -> Result<Result<Vec<Probe>, String>, CallError> {
        let asked = self.caller().ask(Function::LeftoverProbe, query);
        let call = |plugin: Arc<Plugin>| {
            let query = query.clone();
            async move { plugin.leftover_probe(asked, &query).await }
        };
        self.call(asked, call).await
    }

    /// What the cloud's answers, in the order of the probes, show of it.
    pub async fn judge_leftovers(
        &self,
        query: &LeftoverQuery,
        responses: &[ProbeResponse],
    ) -> Result<LeftoverSearch, CallError> {
        let asked = self.caller().ask(Function::JudgeLeftovers, &(query, responses));
        let call = |plugin: Arc<Plugin>| {
            let (query, responses) = (query.clone(), responses.to_vec());
            async move { plugin.judge_leftovers(asked, &query, &responses).await }
        };
        self.call(asked, call).await
    }

    /// What is remembered, and what the breaker refuses, waits for no lane.
    async fn call<T: Answer, F>(&self, asked: Asked, make: impl Fn(Arc<Plugin>) -> F) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, CallError>> + Send + 'static,
    {
        if let Some(known) = self.caller().recall(&asked) {
            return known;
        }
        let (id, function) = (&self.descriptor().id, asked.function());
        let span = tracing::info_span!(target: CALL_SPANS, "plugin call", plugin.id = id, plugin.function = %function, otel.status_code = Empty);
        let answer = self.made(asked, make).instrument(span.clone()).await;
        if answer.is_err() {
            span.record("otel.status_code", "ERROR");
        }
        answer
    }

    async fn made<T: Answer, F>(&self, asked: Asked, make: impl Fn(Arc<Plugin>) -> F) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, CallError>> + Send + 'static,
    {
        self.caller().check(asked)?;
        let is_fault = |error: &CallError| error.reason.is_strike();
        let call = || make(Arc::clone(&self.plugin));
        let answer = self.shared.lanes.run(&self.standing, call, is_fault).await;
        answer.unwrap_or_else(|stopped| Err(self.caller().failed(asked, CallFailure::Host(stopped.to_string()))))
    }
}
