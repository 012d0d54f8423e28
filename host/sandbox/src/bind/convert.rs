//! Between the types of the contract and the domain's own. Shapes only; rules are in `check`. Each version of the contract has records
//! of its own, of the same shape but for what it added, which the version's file converts: `rendered` here, and what a component says of
//! itself in `described`.

/// Makes the conversions for the types of one version. `cluster_exists_variable` and `nodes` of a bundle stand where it is called.
macro_rules! converted {
    ($($wit:ident)::+) => {
        use $($wit)::+ as wit;
        use catalyst_domain::provider as own;
        use catalyst_domain::request::DomainMode;
        use catalyst_domain::{Finding, Request, Severity};

        use crate::bind::Failed;

        pub(super) fn request(request: &Request) -> wit::request::DeploymentRequest {
            let slot = |slot: &catalyst_domain::request::RegionSlot| wit::request::RegionSlot {
                provider: slot.provider.clone(),
                cloud_region: slot.cloud_region.clone(),
                control_plane_size: slot.control_plane_size.clone(),
                worker_size: slot.worker_size.clone(),
                worker_count: slot.worker_count,
            };
            wit::request::DeploymentRequest {
                org_name: request.org_name.clone(),
                org_email: request.org_email.clone(),
                sovereign_fqdn: request.sovereign_fqdn.clone(),
                domain_mode: match request.domain_mode() {
                    DomainMode::Pool => wit::request::DomainMode::Pool,
                    DomainMode::Byo => wit::request::DomainMode::Byo,
                },
                pool_domain: request.sovereign_pool_domain.clone(),
                subdomain: request.sovereign_subdomain.clone(),
                region: request.region.clone(),
                control_plane_size: request.control_plane_size.clone(),
                worker_size: request.worker_size.clone(),
                worker_count: request.worker_count,
                ha_enabled: request.ha_enabled,
                regions: request.regions.iter().map(slot).collect(),
                ssh_public_key: request.ssh_public_key.clone(),
                extra: serde_json::Value::Object(request.extra.clone()).to_string(),
            }
        }

        pub(super) fn context(context: &own::RenderContext) -> wit::bundle::RenderContext {
            wit::bundle::RenderContext {
                public_url: context.public_url.clone(),
                gitops_repo_url: context.gitops_repo_url.clone(),
                gitops_branch: context.gitops_branch.clone(),
                present_secrets: context.present_secrets.clone(),
            }
        }

        pub(super) fn findings(findings: Vec<wit::findings::Finding>) -> Vec<Finding> {
            let one = |f: wit::findings::Finding| Finding {
                pointer: f.pointer,
                code: f.code,
                message: f.message,
                severity: match f.severity {
                    wit::findings::Severity::Error => Severity::Error,
                    wit::findings::Severity::Warning => Severity::Warning,
                },
            };
            findings.into_iter().map(one).collect()
        }

        pub(super) fn bundle(rendered: wit::bundle::Rendered) -> Result<own::Bundle, Failed> {
            let variables = crate::bind::variables(&rendered.variables)?;
            let file = |f: wit::bundle::File| own::BundleFile { path: f.path, mode: f.mode & 0o777, content: f.content };
            let secret = |s: wit::bundle::SecretVariable| own::SecretVariable { secret: s.secret, variable: s.variable };
            let size = |u: wit::bundle::UserDataSize| own::UserDataSize { node: u.node, bytes: u.bytes, limit: u.limit };
            let (cluster_exists_variable, nodes) = (cluster_exists_variable(&rendered), nodes(&rendered));
            Ok(own::Bundle {
                files: rendered.files.into_iter().map(file).collect(),
                variables,
                secret_variables: rendered.secret_variables.into_iter().map(secret).collect(),
                deployment_id_variable: rendered.deployment_id_variable,
                cluster_exists_variable,
                nodes,
                user_data: rendered.user_data.into_iter().map(size).collect(),
                warnings: rendered.warnings,
            })
        }

        pub(super) fn endpoints(endpoints: wit::outcome::Endpoints) -> own::Endpoints {
            own::Endpoints {
                control_plane_ip: endpoints.control_plane_ip,
                load_balancer_ip: endpoints.load_balancer_ip,
                kubeconfig_hosts: endpoints.kubeconfig_hosts,
                console_url: endpoints.console_url,
            }
        }

        pub(super) fn diagnostic(diagnostic: &own::Diagnostic) -> wit::outcome::Diagnostic {
            wit::outcome::Diagnostic {
                summary: diagnostic.summary.clone(),
                detail: diagnostic.detail.clone(),
                address: diagnostic.address.clone(),
            }
        }

        pub(super) fn asked(asked: &own::Asked) -> wit::outcome::Asked {
            wit::outcome::Asked {
                region: asked.region.clone(),
                control_plane_size: asked.control_plane_size.clone(),
                worker_size: asked.worker_size.clone(),
                worker_count: asked.worker_count,
                ha_enabled: asked.ha_enabled,
            }
        }

        pub(super) fn advice(advice: wit::outcome::Advice) -> own::Advice {
            use wit::outcome::DiagnosticKind as Kind;
            let alternative = |a: wit::outcome::Alternative| own::Alternative {
                region: a.region,
                machine_type: a.machine_type,
                reason: a.reason,
            };
            own::Advice {
                kind: match advice.kind {
                    Kind::Capacity => own::DiagnosticKind::Capacity,
                    Kind::Quota => own::DiagnosticKind::Quota,
                    Kind::Credentials => own::DiagnosticKind::Credentials,
                    Kind::RateLimit => own::DiagnosticKind::RateLimit,
                    Kind::Conflict => own::DiagnosticKind::Conflict,
                    Kind::Transient => own::DiagnosticKind::Transient,
                    Kind::Configuration => own::DiagnosticKind::Configuration,
                    Kind::Other => own::DiagnosticKind::Other,
                },
                retryable: advice.retryable,
                what_happened: advice.what_happened,
                what_to_do: advice.what_to_do,
                alternatives: advice.alternatives.into_iter().map(alternative).collect(),
            }
        }

        pub(super) fn estimate(estimate: wit::outcome::Estimate) -> own::Estimate {
            let line = |l: wit::outcome::CostLine| own::CostLine {
                label: l.label,
                quantity: l.quantity,
                monthly_cents: l.monthly_cents,
            };
            own::Estimate {
                currency: estimate.currency,
                as_of: estimate.as_of,
                lines: estimate.lines.into_iter().map(line).collect(),
                unknown: estimate.unknown,
            }
        }

        pub(super) fn probes(probes: Vec<wit::credentials::Probe>) -> Vec<own::Probe> {
            let one = |p: wit::credentials::Probe| own::Probe {
                method: p.method,
                url: p.url,
                headers: p.headers.into_iter().map(|h| (h.name, h.value)).collect(),
                body: p.body,
            };
            probes.into_iter().map(one).collect()
        }

        pub(super) fn responses(responses: &[own::ProbeResponse]) -> Vec<wit::credentials::ProbeResponse> {
            let one = |r: &own::ProbeResponse| wit::credentials::ProbeResponse { status: r.status, body: r.body.clone() };
            responses.iter().map(one).collect()
        }

        pub(super) fn verdict(verdict: wit::credentials::Verdict) -> own::Verdict {
            match verdict {
                wit::credentials::Verdict::Accepted(text) => own::Verdict::Accepted(text),
                wit::credentials::Verdict::Rejected(text) => own::Verdict::Rejected(text),
                wit::credentials::Verdict::Unreachable(text) => own::Verdict::Unreachable(text),
            }
        }
    };
}

pub(super) use converted;
