//! `POST /api/v1/previews`: what a create would do. Nothing is created, and nothing secret is kept or answered.

use super::body;
use super::error::ApiError;
use super::query::Query;
use crate::app::App;
use crate::driver::preview::{Comparison, Preview, PreviewFault, PreviewedRender};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use catalyst_domain::provider::{BundleFile, Estimate};
use catalyst_domain::{DeploymentId, Finding};
use serde_json::{Value, json};
use std::sync::Arc;

/// Findings, and without an error among them the whole render. `?against=<id>` compares it with a deployment's.
pub async fn preview(State(app): State<Arc<App>>, mut query: Query, body: Body) -> Result<Json<Value>, ApiError> {
    let against = query.take("against");
    query.end()?;
    let against = against.map(|id| DeploymentId::parse(&id)).transpose().map_err(|_| ApiError::UnknownDeployment)?;
    let body = body::read(body, body::POST_LIMIT, ApiError::BodyTooLarge).await?;
    let preview = app.driver.preview(&body, against.as_ref()).await?;
    Ok(Json(answer(&preview)))
}

fn answer(preview: &Preview) -> Value {
    let mut answer = json!({
        "valid": !preview.findings.iter().any(Finding::is_error),
        "provider": preview.provider,
        "findings": preview.findings,
    });
    if let Some(render) = &preview.render {
        answer["render"] = rendered(render);
    }
    if let Some(against) = &preview.against {
        answer["against"] = comparison(against);
    }
    answer
}

fn rendered(render: &PreviewedRender) -> Value {
    let bundle = &render.bundle;
    let holes: Vec<Value> =
        bundle.secret_variables.iter().map(|hole| json!({"secret": hole.secret, "variable": hole.variable})).collect();
    let sizes: Vec<Value> = bundle
        .user_data
        .iter()
        .map(|size| {
            let left = i64::from(size.limit) - i64::from(size.bytes);
            json!({"node": size.node, "bytes": size.bytes, "limit": size.limit, "left": left})
        })
        .collect();
    json!({
        "digest": render.digest,
        "files": bundle.files.iter().map(file).collect::<Vec<_>>(),
        "variables": bundle.variables,
        "secretVariables": holes,
        "deploymentIdVariable": bundle.deployment_id_variable,
        "userData": sizes,
        "warnings": bundle.warnings,
        "estimate": match &render.estimate {
            Ok(known) => estimate(known),
            Err(why) => json!({"unavailable": why}),
        },
    })
}

fn file(file: &BundleFile) -> Value {
    let mode = format!("{:04o}", file.mode);
    match std::str::from_utf8(&file.content) {
        Ok(text) => json!({"path": file.path, "mode": mode, "text": text}),
        Err(_) => json!({"path": file.path, "mode": mode, "base64": STANDARD.encode(&file.content)}),
    }
}

fn estimate(estimate: &Estimate) -> Value {
    let total: u64 = estimate.lines.iter().map(|l| u64::from(l.quantity) * u64::from(l.monthly_cents)).sum();
    let lines: Vec<Value> = estimate
        .lines
        .iter()
        .map(|l| json!({"label": l.label, "quantity": l.quantity, "monthlyCents": l.monthly_cents}))
        .collect();
    json!({
        "currency": estimate.currency, "asOf": estimate.as_of, "lines": lines, "unknown": estimate.unknown,
        "monthlyCents": total,
    })
}

fn comparison(against: &Comparison) -> Value {
    let files: Vec<Value> = against
        .files
        .iter()
        .map(|file| {
            let mut one = json!({"path": file.path, "change": file.change});
            if let Some(unified) = &file.unified {
                one["diff"] = json!(unified);
            }
            one
        })
        .collect();
    let variables: Vec<Value> = against
        .variables
        .iter()
        .map(|(name, before, after)| json!({"name": name, "before": before, "after": after}))
        .collect();
    json!({
        "id": against.id, "digest": against.digest, "files": files, "variables": variables,
        "servers": against.consequences,
    })
}

impl From<PreviewFault> for ApiError {
    fn from(fault: PreviewFault) -> Self {
        match fault {
            PreviewFault::Create(fault) => fault.into(),
            PreviewFault::Unknown => Self::UnknownDeployment,
            PreviewFault::NothingRendered => Self::NothingRendered,
            PreviewFault::Storage(error) => Self::Storage(error),
        }
    }
}
