//! What can be said of the body of a create without creating anything: which provider makes it, what is secret in it, and
//! everything that is wrong with it, the host's findings and the provider's at once.

use super::Driver;
use super::create::CreateFault;
use catalyst_domain::provider::Descriptor;
use catalyst_domain::request::{self, DomainMode, GatheredFindings, Parsed, nearest};
use catalyst_domain::{Finding, Request, Secrets};
use catalyst_sandbox::{CallError, JudgedSettings, Provider};
use serde_json::{Map, Value};
use std::sync::Arc;

/// A body as it was understood: by whom it is made, without its secrets, and all that is wrong with it.
pub(super) struct Examined {
    pub(super) provider: Arc<Provider>,
    pub(super) request: Request,
    pub(super) secrets: Secrets,
    pub(super) findings: Vec<Finding>,
}

/// A body that was read, its secrets parted.
pub(super) struct Taken {
    provider: Arc<Provider>,
    pub(super) request: Request,
    secrets: Secrets,
    /// Fields that could not be read; they are blank in the request.
    wrong_types: Vec<Finding>,
    /// About keys that nobody knows, and about secrets.
    findings: Vec<Finding>,
    pub(super) approved_render_digest: String,
}

impl Taken {
    /// Whether a field of it could not be read.
    pub(super) fn is_unread(&self) -> bool {
        !self.wrong_types.is_empty()
    }
}

impl Driver {
    /// Everything that can be said of a body; the findings in the contract's order.
    ///
    /// # Errors
    /// [`CreateFault::Findings`] when it is no JSON or names no provider; [`CreateFault::Provider`].
    pub(super) async fn examine_body(&self, body: &[u8]) -> Result<Examined, CreateFault> {
        self.examine(self.take(body)?).await
    }

    pub(super) fn take(&self, body: &[u8]) -> Result<Taken, CreateFault> {
        let mut parsed = request::parse(body).map_err(|error| CreateFault::Findings(error.0))?;
        let wrong_types = parsed.take_wrong_types();
        let approved_render_digest = parsed.approved_render_digest().to_owned();
        let providers = self.sandbox.providers();
        let all: Vec<&Descriptor> = providers.iter().map(|provider| provider.descriptor()).collect();
        let provider = match self.choose(&parsed) {
            Ok(provider) => provider,
            Err(finding) => {
                let mut gathered = GatheredFindings::new(wrong_types);
                gathered.add(parsed.unknown_keys(None, &all));
                gathered.add_rules(&parsed.without_extra());
                gathered.add(finding);
                return Err(CreateFault::Findings(gathered.finish(&Secrets::default())));
            }
        };
        let unknown = parsed.unknown_keys(Some(provider.descriptor()), &all);
        let (request, secrets, mut findings) = parsed.split(provider.descriptor(), &self.secret_keys());
        findings.extend(unknown);
        Ok(Taken { provider, request, secrets, wrong_types, findings, approved_render_digest })
    }

    pub(super) async fn examine(&self, taken: Taken) -> Result<Examined, CreateFault> {
        let Taken { provider, request, secrets, wrong_types, mut findings, .. } = taken;
        findings.extend(self.pool_rule(&request));
        findings.extend(self.names.managed.judge_pool(&request));
        let mut gathered = GatheredFindings::new(wrong_types);
        gathered.add(findings);
        let asked = async {
            let question = Question::of(&provider, &request, &mut gathered).await?;
            let destinations = self.settings.destinations.with_fixed(provider.rights().addresses());
            gathered.add(destinations.judge(question.settings(), provider.descriptor()).await);
            question.ask(&provider, &mut gathered).await
        };
        match asked.await {
            // What else is wrong is no less so where the provider has no answer.
            Err(error) if !gathered.has_errors() => Err(CreateFault::Provider(error.to_string())),
            Ok(()) | Err(_) => {
                let findings = gathered.finish(&secrets);
                Ok(Examined { provider, request, secrets, findings })
            }
        }
    }

    /// The provider of `regions[0]`; else the default; else the one whose secrets the body carries.
    fn choose(&self, parsed: &Parsed) -> Result<Arc<Provider>, Option<Finding>> {
        let ids: Vec<String> = self.sandbox.providers().iter().map(|p| p.descriptor().id.clone()).collect();
        let known = || ids.join(", ");
        if let Some(id) = parsed.provider() {
            let meant = nearest(id, ids.iter().map(String::as_str)).map(|id| format!("; the nearest one is {id}"));
            let message = || format!("region[0]: provider must be one of {}{}", known(), meant.unwrap_or_default());
            let unknown = || Some(Finding::error("/regions/0/provider", "unknown-provider", message()));
            return self.sandbox.provider(id).ok_or_else(unknown);
        }
        if parsed.has_regions() {
            // The rule that a slot needs a provider speaks for itself.
            return Err(None);
        }
        if let Some(id) = &self.settings.default_provider {
            let message = || format!("the default provider {id} is not loaded; name one of {} in regions", known());
            return self.sandbox.provider(id).ok_or_else(|| Some(Finding::error("/regions", "no-provider", message())));
        }
        let mut carried = self.sandbox.providers();
        carried.retain(|p| p.descriptor().request_secrets().any(|(_, key)| parsed.carries(key)));
        match (carried.pop(), carried.is_empty()) {
            (Some(provider), true) => Ok(provider),
            _ => {
                let message = format!("regions: name a provider in regions[0].provider: one of {}", known());
                Err(Some(Finding::error("/regions", "no-provider", message)))
            }
        }
    }

    fn pool_rule(&self, request: &Request) -> Option<Finding> {
        let missing = request.domain_mode() == DomainMode::Pool && self.settings.ghcr_pull_token.is_blank();
        let message =
            "sovereignDomainMode: pool mode needs CATALYST_GHCR_PULL_TOKEN on the server; see docs/SECRET-ROTATION.md";
        missing.then(|| Finding::error("/sovereignDomainMode", "no-pull-token", message))
    }
}

/// What a provider is asked about a request: the request without what does not fit the provider's settings schema, and what it is
/// without.
pub struct Question {
    request: Request,
    left_out: Vec<String>,
    missing: Vec<Finding>,
}

impl Question {
    /// Adds what the host's rules and the provider's settings schema say of a request.
    ///
    /// # Errors
    /// When the settings could not be judged.
    pub async fn of(
        provider: &Provider,
        request: &Request,
        gathered: &mut GatheredFindings,
    ) -> Result<Self, CallError> {
        gathered.add_rules(request);
        let JudgedSettings { findings, missing, unfit } = provider.judge_settings(&request.extra).await?;
        gathered.add(findings);
        let mut left_out = gathered.unread();
        left_out.extend(unfit.iter().map(|key| request::pointer_to("", key)));
        let mut request = request.clone();
        request.extra.retain(|key, _| !unfit.contains(key));
        Ok(Self { request, left_out, missing })
    }

    /// The settings that fit.
    pub fn settings(&self) -> &Map<String, Value> {
        &self.request.extra
    }

    /// Adds what the provider says. Of a setting that is missing it may have better words than the schema.
    ///
    /// # Errors
    /// When it gives no answer.
    pub async fn ask(self, provider: &Provider, gathered: &mut GatheredFindings) -> Result<(), CallError> {
        let answer = provider.validate_partial(&self.request, &self.left_out).await;
        let failed = answer.map(|findings| gathered.add_of_provider(findings));
        gathered.add_where_nothing_is_said(self.missing);
        failed
    }
}
