//! Common ground of the hostile guests: the contract's bindings, and a well-behaved answer to every call, of which each
//! guest spoils one.

/// Generated from `wit/provisioner-1.0`.
#[expect(missing_docs, reason = "generated code; the WIT text is the documentation")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../../../wit/provisioner-1.0",
        world: "provisioner",
        pub_export_macro: true,
        default_bindings_module: "catalyst_hostile_guests::bindings",
    });
}

use std::marker::PhantomData;

use bindings::catalyst::provisioner::bundle::{File, RenderContext, Rendered, SecretVariable};
use bindings::catalyst::provisioner::credentials::{Header, Probe, ProbeResponse, Verdict};
use bindings::catalyst::provisioner::descriptor::{
    Catalogue, Provider, Secret, SecretRole, SecretSource, TofuProvider,
};
use bindings::catalyst::provisioner::findings::{Finding, Severity};
use bindings::catalyst::provisioner::outcome::{
    Advice, Asked, CostLine, Diagnostic, DiagnosticKind, Endpoints, Estimate,
};
use bindings::catalyst::provisioner::request::DeploymentRequest;

/// A guest: what is not overridden behaves.
pub trait Guest {
    /// Who this is.
    fn describe() -> Provider {
        provider("hostile")
    }

    /// Findings.
    fn validate(_request: DeploymentRequest) -> Vec<Finding> {
        Vec::new()
    }

    /// A small bundle.
    fn render(_request: DeploymentRequest, _context: RenderContext) -> Result<Rendered, Vec<Finding>> {
        Ok(rendered("main.tf"))
    }
}

/// Answers the contract with a [`Guest`].
pub struct Component<G>(PhantomData<G>);

impl<G: Guest> bindings::exports::catalyst::provisioner::cloud::Guest for Component<G> {
    fn describe() -> Provider {
        G::describe()
    }

    fn validate(request: DeploymentRequest) -> Vec<Finding> {
        G::validate(request)
    }

    fn render(request: DeploymentRequest, context: RenderContext) -> Result<Rendered, Vec<Finding>> {
        G::render(request, context)
    }

    fn read_outputs(outputs: String) -> Result<Endpoints, String> {
        if outputs.is_empty() {
            return Err("the outputs are empty".into());
        }
        Ok(Endpoints {
            control_plane_ip: "192.0.2.1".into(),
            // Tests of its checks give the address; OpenTofu gives an object.
            load_balancer_ip: if outputs.starts_with('{') { "192.0.2.2".into() } else { outputs },
            kubeconfig_hosts: vec!["192.0.2.1".into()],
            console_url: "https://console.example.org".into(),
        })
    }

    fn diagnose(diagnostic: Diagnostic, _asked: Asked) -> Advice {
        Advice {
            kind: DiagnosticKind::Quota,
            retryable: false,
            what_happened: diagnostic.summary,
            what_to_do: diagnostic.address.unwrap_or_default(),
            alternatives: Vec::new(),
        }
    }

    fn estimate(request: DeploymentRequest) -> Result<Estimate, String> {
        let lines = vec![CostLine { label: request.extra, quantity: 3, monthly_cents: 499 }];
        Ok(Estimate { currency: "EUR".into(), as_of: "2020-01-01".into(), lines, unknown: Vec::new() })
    }

    fn credential_probe(_settings: String) -> Result<Vec<Probe>, String> {
        let header = Header { name: "Authorization".into(), value: "Bearer {{secret:token}}".into() };
        let url = "https://api.cloud.example/v1/servers".into();
        Ok(vec![Probe { method: "GET".into(), url, headers: vec![header], body: None }])
    }

    fn judge_credentials(responses: Vec<ProbeResponse>) -> Verdict {
        match responses.first().map(|response| response.status) {
            Some(200) => Verdict::Accepted("listed servers".into()),
            Some(_) => Verdict::Rejected("was refused".into()),
            None => Verdict::Unreachable("no answer".into()),
        }
    }
}

/// A sound description with one secret of each source.
pub fn provider(id: &str) -> Provider {
    let secret = |name: &str, source, role| Secret {
        name: name.into(),
        source,
        role,
        required: true,
        min_length: 64,
        max_length: 64,
        label: name.into(),
        refused_prefixes: Vec::new(),
    };
    Provider {
        id: id.into(),
        display_name: "A hostile cloud".into(),
        version: "0.1.0".into(),
        secrets: vec![
            secret("token", SecretSource::Request("hostileToken".into()), SecretRole::Ordinary),
            secret("bearer", SecretSource::Minted, SecretRole::KubeconfigBearer),
        ],
        tofu_providers: vec![TofuProvider { source: "acme/cloud".into(), version: "1.2.3".into() }],
        bearer_resource: None,
        catalogue: Catalogue {
            as_of: "2020-01-01".into(),
            currency: "EUR".into(),
            regions: Vec::new(),
            machine_types: Vec::new(),
        },
        user_data_limit: 32_768,
        // The one key of a request that a guest of these reads.
        settings_schema: r#"{"type":"object","properties":{"module":{"type":"string"}}}"#.into(),
        api_hosts: vec!["api.cloud.example".into()],
    }
}

/// A bundle of one file.
pub fn rendered(path: &str) -> Rendered {
    Rendered {
        files: vec![File { path: path.into(), mode: 0o104_755, content: b"terraform {}\n".to_vec() }],
        variables: r#"{"region":"r1"}"#.into(),
        secret_variables: vec![SecretVariable { secret: "token".into(), variable: "cloud_token".into() }],
        deployment_id_variable: Some("deployment_id".into()),
        user_data: Vec::new(),
        warnings: Vec::new(),
    }
}

/// A warning that carries a text out.
pub fn says(text: impl Into<String>) -> Vec<Finding> {
    vec![Finding { pointer: String::new(), code: "says".into(), message: text.into(), severity: Severity::Warning }]
}
