//! `GET /api/v1/providers` and `/{id}`: which clouds this host can make, and what each plugin says of itself.

use super::error::ApiError;
use crate::app::App;
use axum::Json;
use axum::extract::{Path, State};
use catalyst_domain::provider::{Catalogue, Descriptor, SecretSource, SecretSpec};
use catalyst_sandbox::Provider;
use serde_json::{Value, json};
use std::sync::Arc;

/// All plugins that serve, and the files that do not.
pub async fn list(State(app): State<Arc<App>>) -> Json<Value> {
    let providers: Vec<Value> = app.sandbox.providers().iter().map(|provider| summary(provider)).collect();
    let failures: Vec<Value> = app.sandbox.failures().iter().map(failure).collect();
    Json(json!({"providers": providers, "failures": failures}))
}

/// One plugin with everything that it declares.
pub async fn get(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    let provider = app.sandbox.provider(&id).ok_or(ApiError::UnknownProvider)?;
    let mut answer = summary(&provider);
    answer["descriptor"] = descriptor(provider.descriptor());
    Ok(Json(answer))
}

fn summary(provider: &Provider) -> Value {
    let of = provider.descriptor();
    json!({
        "id": of.id,
        "displayName": of.display_name,
        "version": of.version,
        "file": provider.file_name(),
        "digest": provider.digest(),
        "interfaceVersion": provider.interface_version(),
        "imports": provider.imports(),
    })
}

fn failure(failure: &catalyst_sandbox::LoadFailure) -> Value {
    // Where our plugins lie is nobody's business.
    let file = failure.file.rsplit('/').next().unwrap_or_default();
    json!({"file": file, "error": failure.error, "previousServes": failure.previous_serves})
}

fn descriptor(of: &Descriptor) -> Value {
    let tofu: Vec<Value> =
        of.tofu_providers.iter().map(|p| json!({"source": p.source, "version": p.version})).collect();
    json!({
        "secrets": of.secrets.iter().map(secret).collect::<Vec<_>>(),
        "tofuProviders": tofu,
        "bearerResource": of.bearer_resource,
        "catalogue": catalogue(&of.catalogue),
        "userDataLimit": of.user_data_limit,
        "settingsSchema": serde_json::from_str::<Value>(&of.settings_schema).unwrap_or_default(),
        "apiHosts": of.api_hosts,
    })
}

fn secret(spec: &SecretSpec) -> Value {
    let source = match &spec.source {
        SecretSource::Request(key) => json!({"kind": "request", "key": key}),
        SecretSource::Host(name) => json!({"kind": "host", "name": name}),
        SecretSource::Minted => json!({"kind": "minted"}),
    };
    json!({
        "name": spec.name, "source": source, "role": spec.role, "required": spec.required, "label": spec.label,
        "minLength": spec.min_length, "maxLength": spec.max_length, "refusedPrefixes": spec.refused_prefixes,
    })
}

fn catalogue(of: &Catalogue) -> Value {
    let regions = of.regions.iter().map(
        |region| json!({"id": region.id, "displayName": region.display_name, "machineTypes": region.machine_types}),
    );
    let machines = of.machine_types.iter().map(|machine| {
        json!({
            "name": machine.name, "cores": machine.cores, "memoryGiB": machine.memory_gib, "diskGiB": machine.disk_gib,
            "arch": machine.arch, "monthlyCents": machine.monthly_cents, "retired": machine.retired,
            "successor": machine.successor,
        })
    });
    json!({
        "asOf": of.as_of, "currency": of.currency,
        "regions": regions.collect::<Vec<_>>(), "machineTypes": machines.collect::<Vec<_>>(),
    })
}
