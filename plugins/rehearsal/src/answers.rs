//! What the rehearsal cloud answers after and beside a run: endpoints, advice, costs.

use catalyst_plugin_sdk::{
    Advice, Alternative, CostLine, DeploymentRequest, Diagnostic, DiagnosticKind, Endpoints, Estimate, Findings,
    Outputs,
};

use crate::descriptor::{AS_OF, CURRENCY, REGIONS};
use crate::plan;

pub(crate) fn endpoints(outputs: &Outputs) -> Result<Endpoints, String> {
    let control_plane_ip = outputs.address("control_plane_ip")?;
    let load_balancer_ip = outputs.address("load_balancer_ip")?;
    let mut kubeconfig_hosts = vec![load_balancer_ip.clone()];
    for host in [control_plane_ip.clone(), outputs.text("sovereign_fqdn")?] {
        if !kubeconfig_hosts.contains(&host) {
            kubeconfig_hosts.push(host);
        }
    }
    Ok(Endpoints { control_plane_ip, load_balancer_ip, kubeconfig_hosts, console_url: outputs.text("console_url")? })
}

pub(crate) fn advice(diagnostic: &Diagnostic) -> Advice {
    let text = format!("{}\n{}", diagnostic.summary, diagnostic.detail);
    let alternative = |region: &str| Alternative {
        region: Some(region.to_owned()),
        machine_type: None,
        reason: "the other make-believe place".to_owned(),
    };
    if text.contains("resource_unavailable") {
        return Advice {
            kind: DiagnosticKind::Capacity,
            retryable: text.contains("the next run passes"),
            what_happened: "The rehearsal was told to run out of machines.".to_owned(),
            what_to_do: "Retry when rehearsalFail was apply-once; otherwise create a deployment without rehearsalFail."
                .to_owned(),
            alternatives: REGIONS.iter().filter(|region| !text.contains(*region)).map(|r| alternative(r)).collect(),
        };
    }
    let configuration = ["Invalid value for variable", "No value for required variable"];
    let kind = if configuration.iter().any(|words| text.contains(words)) {
        DiagnosticKind::Configuration
    } else {
        DiagnosticKind::Other
    };
    Advice {
        kind,
        retryable: false,
        what_happened: diagnostic.summary.clone(),
        what_to_do: "Read OpenTofu's words; nothing outside this machine is involved.".to_owned(),
        alternatives: Vec::new(),
    }
}

pub(crate) fn estimate(request: &DeploymentRequest) -> Result<Estimate, String> {
    let mut findings = Findings::new();
    let plan = plan::read(request, &mut findings);
    if findings.has_errors() {
        return Err("the request has errors; its cost is not known".to_owned());
    }
    let line = |label: &str, quantity: u32| CostLine { label: label.to_owned(), quantity, monthly_cents: 0 };
    let mut lines = vec![line("make-believe server", if request.ha_enabled { 3 } else { 1 })];
    if let Ok(workers @ 1..) = u32::try_from(plan.worker_count) {
        lines.push(line("make-believe worker", workers));
    }
    lines.push(line("make-believe load balancer", 1));
    Ok(Estimate { currency: CURRENCY.to_owned(), as_of: AS_OF.to_owned(), lines, unknown: Vec::new() })
}
