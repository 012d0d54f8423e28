//! A plugin as callers see it: each call runs in the lane that the plugin has earned ([`crate::lane`]).

use std::ops::Deref;
use std::sync::Arc;

use catalyst_domain::provider::{
    Advice, Asked, Bundle, Diagnostic, Endpoints, Estimate, Probe, ProbeResponse, RenderContext, Verdict,
};
use catalyst_domain::{Finding, Request};
use tracing::Instrument;
use tracing::field::Empty;

use crate::bind::Settings;
use crate::error::{CallError, CallFailure, Function};
use crate::lane::Standing;
use crate::load::Shared;
use crate::provider::Plugin;
use crate::words;

/// Where the spans of plugin calls come from. They say which plugin and which function, and nothing of what it was asked.
pub const CALL_SPANS: &str = "catalyst_sandbox::calls";

/// A plugin that serves. Cheap to share; each call is independent of all others, and dropping it ends it.
pub struct Provider {
    plugin: Arc<Plugin>,
    shared: Arc<Shared>,
    standing: Standing,
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
    pub(crate) fn new(plugin: Plugin, shared: Arc<Shared>, standing: Standing) -> Self {
        Self { plugin: Arc::new(plugin), shared, standing }
    }

    /// All findings on a request.
    ///
    /// # Errors
    /// When the plugin gives no answer, or one that breaks the rules; so for all calls below.
    pub async fn validate(&self, request: &Request) -> Result<Vec<Finding>, CallError> {
        let (plugin, request) = (Arc::clone(&self.plugin), request.clone());
        self.run(Function::Validate, words::findings, async move { plugin.validate(&request).await }).await
    }

    /// The bundle of a request, its paths, variables and configuration checked ([`crate::policy`]); or the findings that
    /// refuse the request.
    pub async fn render(
        &self,
        request: &Request,
        context: &RenderContext,
    ) -> Result<Result<Bundle, Vec<Finding>>, CallError> {
        let (plugin, request, context) = (Arc::clone(&self.plugin), request.clone(), context.clone());
        self.run(Function::Render, words::rendered, async move { plugin.render(&request, &context).await }).await
    }

    /// Endpoints from the text of `tofu output -json`, from which the caller has removed the sensitive outputs; or the
    /// plugin's reason why there are none.
    pub async fn read_outputs(&self, outputs: &str) -> Result<Result<Endpoints, String>, CallError> {
        let (plugin, outputs) = (Arc::clone(&self.plugin), outputs.to_owned());
        self.run(Function::ReadOutputs, words::reason, async move { plugin.read_outputs(&outputs).await }).await
    }

    /// Plain words for one diagnostic of OpenTofu, in a run that was to build what is in `asked`.
    pub async fn diagnose(&self, diagnostic: &Diagnostic, asked: &Asked) -> Result<Advice, CallError> {
        let (plugin, diagnostic, asked) = (Arc::clone(&self.plugin), diagnostic.clone(), asked.clone());
        self.run(Function::Diagnose, words::advice, async move { plugin.diagnose(&diagnostic, &asked).await }).await
    }

    /// Monthly cost of a request, or the plugin's reason why it is not known.
    pub async fn estimate(&self, request: &Request) -> Result<Result<Estimate, String>, CallError> {
        let (plugin, request) = (Arc::clone(&self.plugin), request.clone());
        self.run(Function::Estimate, words::estimate, async move { plugin.estimate(&request).await }).await
    }

    /// What to ask the cloud to prove a credential, only https to the declared hosts; or why that is not possible.
    pub async fn credential_probe(&self, settings: &Settings) -> Result<Result<Vec<Probe>, String>, CallError> {
        let (plugin, settings) = (Arc::clone(&self.plugin), settings.clone());
        self.run(Function::CredentialProbe, words::reason, async move { plugin.credential_probe(&settings).await })
            .await
    }

    /// What the cloud's answers, in the order of the probes, prove.
    pub async fn judge_credentials(&self, responses: &[ProbeResponse]) -> Result<Verdict, CallError> {
        let (plugin, responses) = (Arc::clone(&self.plugin), responses.to_vec());
        self.run(Function::JudgeCredentials, words::verdict, async move { plugin.judge_credentials(&responses).await })
            .await
    }

    async fn run<T: Send + 'static>(
        &self,
        function: Function,
        clean: impl FnOnce(&mut T),
        call: impl Future<Output = Result<T, CallError>> + Send + 'static,
    ) -> Result<T, CallError> {
        let is_fault = |error: &CallError| !matches!(error.reason, CallFailure::Host(_));
        let id = &self.descriptor().id;
        let span = tracing::info_span!(target: CALL_SPANS, "plugin call", plugin.id = id, plugin.function = %function, otel.status_code = Empty);
        let run = self.shared.lanes.run(&self.standing, call, is_fault).instrument(span.clone());
        let answer = run.await.unwrap_or_else(|stopped| {
            let plugin = self.descriptor().id.clone();
            Err(CallError { plugin, function, reason: CallFailure::Host(stopped.to_string()) })
        });
        if answer.is_err() {
            span.record("otel.status_code", "ERROR");
        }
        answer.map(|mut value| {
            clean(&mut value);
            value
        })
    }
}
