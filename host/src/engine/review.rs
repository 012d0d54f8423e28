//! What a plan is shown to before it is applied: whoever decides about servers stands outside of the engine, and may ask for another
//! plan.

use async_trait::async_trait;
use catalyst_domain::Secrets;
use catalyst_domain::replace::PlannedChange;
use std::fmt;
use std::sync::Arc;

/// How the plan of an apply is made, and who looks at it.
#[derive(Clone, Default)]
pub struct PlanSettings {
    /// Whether the module is told that the cluster exists already.
    pub cluster_exists: bool,
    /// Secrets that take the place of the run's own where a review asks for that.
    pub renewed: Secrets,
    /// Who looks at the plan; it is applied as it is where nobody does.
    pub reviewer: Option<Arc<dyn PlanReviewer>>,
}

/// Looks at a plan.
#[async_trait]
pub trait PlanReviewer: Send + Sync {
    /// Called after a plan was made and before anything is applied. It is not called again for the plan that it asks for. The run waits
    /// for it, within its budget.
    ///
    /// # Errors
    /// Why nothing is applied, in words.
    async fn review(&self, plan: &[PlannedChange]) -> Result<Reviewed, String>;
}

/// What becomes of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reviewed {
    /// It is applied.
    Apply,
    /// Another one is made, and applied.
    PlanAgain {
        /// Exact addresses of the resource instances that it replaces, whatever else it does.
        replace: Vec<String>,
        /// Whether it is made with [`PlanSettings::renewed`].
        renew_secrets: bool,
        /// Whether the module is told that the cluster exists already.
        cluster_exists: bool,
    },
}

impl fmt::Debug for PlanSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlanSettings").field("cluster_exists", &self.cluster_exists).finish_non_exhaustive()
    }
}
