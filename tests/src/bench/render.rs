//! A full render in the sandbox, against the same Rust natively and against OpenTofu filling the same templates.

use crate::figure::{Figure, Goal, percentile};
use crate::requests::{context, distinct, to_host};
use anyhow::{Context, ensure};
use catalyst_domain::Request;
use catalyst_domain::provider::Bundle;
use catalyst_plugin_hetzner::{Hetzner, template_variables};
use catalyst_plugin_sdk::testing::{self, Case};
use catalyst_plugin_sdk::{DeploymentRequest, Provisioner, Rendered};
use catalyst_sandbox::Provider;
use std::time::{Duration, Instant};

/// Renders of each kind: enough for a steady 99th percentile, and a second or two.
const RENDERS: usize = 2_000;
/// Renders before the first one that counts.
const WARM_UP: usize = 100;
/// Expressions for one `tofu console`, so that its start is a small part.
const EXPRESSIONS: usize = 100;

/// Wasm with a fresh instance for each render, native and OpenTofu. Every input is another one.
pub async fn measure() -> anyhow::Result<Vec<Figure>> {
    let (_folder, provider) = crate::calls::provider("hetzner").await?;
    let inputs = distinct(WARM_UP + RENDERS);
    let pairs: Vec<(DeploymentRequest, Request)> =
        inputs.into_iter().map(|input| Ok((input.clone(), to_host(&input)?))).collect::<anyhow::Result<_>>()?;
    let (mut wasm, mut native) = (Vec::new(), Vec::new());
    for (index, (for_native, for_wasm)) in pairs.iter().enumerate() {
        // One after the other, so that both see the same machine.
        let (in_wasm, bundle) = in_wasm(&provider, for_wasm).await?;
        let (natively, rendered) = natively(for_native)?;
        ensure!(same(&bundle, &rendered), "wasm and native disagree on {}", for_native.sovereign_fqdn);
        if index >= WARM_UP {
            wasm.push(in_wasm);
            native.push(natively);
        }
    }
    wasm.sort();
    native.sort();
    let console = in_console(&pairs)?;
    let (wasm_50, wasm_99) = (percentile(&wasm, 50), percentile(&wasm, 99));
    let (native_50, native_99) = (percentile(&native, 50), percentile(&native, 99));
    Ok(vec![
        Figure::time("render p50, wasm, fresh instance", wasm_50)
            .against("native p50", native_50.as_secs_f64())
            .goal(Goal::RatioAtMost(1.5)),
        Figure::time("render p99, wasm, fresh instance", wasm_99).against("native p99", native_99.as_secs_f64()),
        Figure::time("render p50, wasm, OpenTofu's work", wasm_50)
            .against("tofu console, same templates", console.as_secs_f64())
            .goal(Goal::AtMost(0.5e-3)),
    ])
}

async fn in_wasm(provider: &Provider, request: &Request) -> anyhow::Result<(Duration, Bundle)> {
    let context = context();
    let begun = Instant::now();
    let bundle = provider.render(request, &context).await?;
    let took = begun.elapsed();
    Ok((took, bundle.map_err(|findings| anyhow::anyhow!("refused: {findings:?}"))?))
}

fn natively(request: &DeploymentRequest) -> anyhow::Result<(Duration, Rendered)> {
    let context = crate::requests::plugin_context();
    let begun = Instant::now();
    let rendered = Hetzner::render(request, &context);
    let took = begun.elapsed();
    Ok((took, rendered.map_err(|_| anyhow::anyhow!("refused natively"))?))
}

fn same(bundle: &Bundle, rendered: &Rendered) -> bool {
    let files = bundle.files.iter().map(|file| (&file.path, &file.content));
    files.eq(rendered.files.iter().map(|file| (&file.path, &file.content)))
}

/// Seconds that OpenTofu takes to fill the templates of one bundle; its own start is taken off.
fn in_console(pairs: &[(DeploymentRequest, Request)]) -> anyhow::Result<Duration> {
    let module = concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/hetzner");
    let mut cases = Vec::new();
    let mut renders = 0_u32;
    for (request, _) in pairs {
        if cases.len() >= EXPRESSIONS {
            break;
        }
        let templates = template_variables(request, &crate::requests::plugin_context());
        for (path, variables) in templates.map_err(|_| anyhow::anyhow!("refused natively"))? {
            let template = std::fs::read_to_string(format!("{module}/{path}")).context("a template of the module")?;
            cases.push(Case { template, variables: variables.to_json(|_| "0123456789abcdef".repeat(4)) });
        }
        renders += 1;
    }
    let trivial = [Case { template: String::new(), variables: serde_json::json!({}) }];
    let begun = Instant::now();
    testing::templatefile(&trivial)?;
    let start = begun.elapsed();
    let begun = Instant::now();
    testing::templatefile(&cases)?;
    Ok(begun.elapsed().saturating_sub(start) / renders)
}
