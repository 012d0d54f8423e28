//! Monthly cost, by the prices that a request gives: there is no price list of all clouds.

use catalyst_plugin_sdk::{CostLine, DeploymentRequest, Estimate, Findings};

use crate::plan;

pub(crate) fn monthly(request: &DeploymentRequest) -> Result<Estimate, String> {
    let mut findings = Findings::new();
    let plan = plan::read(request, &mut findings);
    if findings.has_errors() {
        return Err("the request has errors; its cost is not known".to_owned());
    }
    let settings = &plan.settings;
    let prices = settings.flavours.iter().filter(|flavour| flavour.monthly_cents.is_some()).count();
    let (Some(currency), Some(as_of), 1..) = (&settings.currency, &settings.prices_as_of, prices) else {
        return Err("prices differ from cloud to cloud; give them in openstackFlavors (monthlyCents), with \
                    openstackCurrency and openstackPricesAsOf"
            .to_owned());
    };
    let workers = u32::try_from(plan.worker_count).unwrap_or(0);
    let groups = [
        ("control plane", &plan.control_plane_size, plan.control_plane_count()),
        ("worker", &plan.worker_size, workers),
    ];
    let (mut lines, mut unknown) = (Vec::new(), Vec::new());
    for (role, name, quantity) in groups {
        if quantity == 0 {
            continue;
        }
        match settings.flavour(name).and_then(|flavour| flavour.monthly_cents) {
            Some(monthly_cents) => lines.push(CostLine { label: format!("{role} {name}"), quantity, monthly_cents }),
            None => unknown.push(format!("{quantity} × {role} {name}")),
        }
    }
    if settings.boot_volume_gib.is_some_and(|size| size > 0) {
        unknown.push("volumes to boot from".to_owned());
    }
    if plan.octavia {
        unknown.push("load balancer".to_owned());
    }
    unknown.push("floating IP, router, traffic, tax".to_owned());
    Ok(Estimate { currency: currency.clone(), as_of: as_of.clone(), lines, unknown })
}
