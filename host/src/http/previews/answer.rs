//! The shape of a preview's answer. A digest, a file or a variable is here only when the request was rendered.

use crate::driver::preview::{Comparison, FileDiff, Preview, PreviewedRender};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use catalyst_domain::Finding;
use catalyst_domain::compare::Consequence;
use catalyst_domain::provider::{self, BundleFile};
use catalyst_domain::record::ProviderRef;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// What a create would do.
#[derive(Serialize, ToSchema)]
pub struct PreviewAnswer {
    /// Whether a create of the same body would be taken.
    valid: bool,
    /// The plugin that would render it.
    provider: ProviderRef,
    /// Errors and warnings.
    findings: Vec<Finding>,
    /// What would be applied; absent when a finding is an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    render: Option<Render>,
    /// Compared with the deployment that was named, if one was.
    #[serde(skip_serializing_if = "Option::is_none")]
    against: Option<Against>,
}

/// What would be applied. It holds no secret: what is secret is a hole with a name.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Render {
    /// SHA-256 of all of it; give it as `expectedRenderDigest` to create just this.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    digest: String,
    /// Files of the OpenTofu module.
    files: Vec<RenderedFile>,
    /// Variables that are known.
    #[schema(value_type = Object)]
    variables: Map<String, Value>,
    /// Variables that a secret fills.
    secret_variables: Vec<SecretHole>,
    /// The variable that the deployment's id fills.
    deployment_id_variable: Option<String>,
    /// Sizes of user data.
    user_data: Vec<UserDataBudget>,
    /// Remarks of the plugin.
    warnings: Vec<String>,
    /// Monthly cost.
    estimate: CostEstimate,
}

/// A file: `text`, or `base64` where it is none.
#[derive(Serialize, ToSchema)]
struct RenderedFile {
    /// Path in the module.
    path: String,
    /// Permissions, as four octal digits.
    #[schema(pattern = "^[0-7]{4,}$")]
    mode: String,
    /// Content.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// Content that is no UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

/// A variable that a secret fills.
#[derive(Serialize, ToSchema)]
struct SecretHole {
    /// Name of the secret.
    secret: String,
    /// Name of the variable.
    variable: String,
}

/// User data of one kind of node, in bytes.
#[derive(Serialize, ToSchema)]
struct UserDataBudget {
    /// Kind of node.
    node: String,
    /// Upper bound of what it will have.
    bytes: u32,
    /// What the cloud takes.
    limit: u32,
    /// What is left; negative when the cloud would refuse it.
    left: i64,
}

/// Monthly cost by the plugin's price list, or why there is none.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum CostEstimate {
    /// By the price list.
    Known(KnownCost),
    /// No estimate.
    Unknown(UnknownCost),
}

/// Monthly cost by the plugin's price list.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct KnownCost {
    /// ISO 4217 code.
    currency: String,
    /// Date of the prices.
    as_of: String,
    /// What it is made of.
    lines: Vec<CostItem>,
    /// What has no known price.
    unknown: Vec<String>,
    /// Sum of the lines, in hundredths of the currency.
    monthly_cents: u64,
}

/// Why there is no estimate.
#[derive(Serialize, ToSchema)]
struct UnknownCost {
    /// A sentence for a person.
    unavailable: String,
}

/// One line of an estimate.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CostItem {
    /// What it is.
    label: String,
    /// How many.
    quantity: u32,
    /// Price of one a month, in hundredths of the currency.
    monthly_cents: u32,
}

/// How the render differs from what a deployment was made of.
#[derive(Serialize, ToSchema)]
struct Against {
    /// The deployment.
    #[schema(pattern = "^[0-9a-f]{16}$")]
    id: String,
    /// Digest of what it was made of.
    digest: String,
    /// Files of either side.
    files: Vec<ComparedFile>,
    /// Variables that differ.
    variables: Vec<ComparedVariable>,
    /// What it would mean for servers that are there.
    servers: Vec<Consequence>,
}

/// One file of either side.
#[derive(Serialize, ToSchema)]
struct ComparedFile {
    /// Path in the module.
    path: String,
    /// `added`, `removed`, `changed` or `same`.
    change: &'static str,
    /// Unified diff; absent for equal files and for those that are no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    diff: Option<String>,
}

/// A variable that differs; `null` where it is absent.
#[derive(Serialize, ToSchema)]
struct ComparedVariable {
    /// Name.
    name: String,
    /// As the deployment has it.
    before: Option<Value>,
    /// As it would be.
    after: Option<Value>,
}

impl From<Preview> for PreviewAnswer {
    fn from(preview: Preview) -> Self {
        Self {
            valid: !preview.findings.iter().any(Finding::is_error),
            provider: preview.provider,
            findings: preview.findings,
            render: preview.render.map(Render::from),
            against: preview.against.map(Against::from),
        }
    }
}

impl From<PreviewedRender> for Render {
    fn from(render: PreviewedRender) -> Self {
        let bundle = render.bundle;
        let holes = bundle.secret_variables.into_iter();
        let sizes = bundle.user_data.into_iter();
        Self {
            digest: render.digest,
            files: bundle.files.into_iter().map(RenderedFile::from).collect(),
            variables: bundle.variables,
            secret_variables: holes.map(|hole| SecretHole { secret: hole.secret, variable: hole.variable }).collect(),
            deployment_id_variable: bundle.deployment_id_variable,
            user_data: sizes
                .map(|size| UserDataBudget {
                    left: i64::from(size.limit) - i64::from(size.bytes),
                    node: size.node,
                    bytes: size.bytes,
                    limit: size.limit,
                })
                .collect(),
            warnings: bundle.warnings,
            estimate: match render.estimate {
                Ok(known) => CostEstimate::Known(known.into()),
                Err(unavailable) => CostEstimate::Unknown(UnknownCost { unavailable }),
            },
        }
    }
}

impl From<BundleFile> for RenderedFile {
    fn from(file: BundleFile) -> Self {
        let (text, base64) = match String::from_utf8(file.content) {
            Ok(text) => (Some(text), None),
            Err(raw) => (None, Some(STANDARD.encode(raw.as_bytes()))),
        };
        Self { path: file.path, mode: format!("{:04o}", file.mode), text, base64 }
    }
}

impl From<provider::Estimate> for KnownCost {
    fn from(estimate: provider::Estimate) -> Self {
        let monthly_cents = estimate.lines.iter().map(|l| u64::from(l.quantity) * u64::from(l.monthly_cents)).sum();
        let item =
            |l: provider::CostLine| CostItem { label: l.label, quantity: l.quantity, monthly_cents: l.monthly_cents };
        Self {
            currency: estimate.currency,
            as_of: estimate.as_of,
            lines: estimate.lines.into_iter().map(item).collect(),
            unknown: estimate.unknown,
            monthly_cents,
        }
    }
}

impl From<Comparison> for Against {
    fn from(against: Comparison) -> Self {
        let file = |f: FileDiff| ComparedFile { path: f.path, change: f.change, diff: f.unified };
        let variables = against.variables.into_iter();
        Self {
            id: against.id.to_string(),
            digest: against.digest,
            files: against.files.into_iter().map(file).collect(),
            variables: variables.map(|(name, before, after)| ComparedVariable { name, before, after }).collect(),
            servers: against.consequences,
        }
    }
}
