//! The commands of OpenTofu and their arguments, by version.

use super::stage::PLAN_FILE;
use crate::egress::Reach;
use catalyst_domain::phase;
use std::fmt;

/// One command of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunStep {
    /// `tofu init`, and everything that is prepared before it.
    Init,
    /// `tofu plan`.
    Plan,
    /// `tofu apply` of the saved plan.
    Apply,
    /// `tofu output`.
    Output,
    /// `tofu destroy`.
    Destroy,
}

impl RunStep {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Init, Self::Plan, Self::Apply, Self::Output, Self::Destroy];

    /// Its name on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Plan => "plan",
            Self::Apply => "apply",
            Self::Output => "output",
            Self::Destroy => "destroy",
        }
    }

    /// The phase whose marker stands before it.
    pub fn phase(self) -> &'static str {
        match self {
            Self::Init => phase::TOFU_INIT,
            Self::Plan => phase::TOFU_PLAN,
            Self::Apply => phase::TOFU_APPLY,
            Self::Output => phase::TOFU_OUTPUT,
            Self::Destroy => phase::TOFU_DESTROY,
        }
    }

    /// What it may reach.
    pub fn reach(self) -> Reach {
        match self {
            Self::Init => Reach::Install,
            Self::Plan | Self::Apply | Self::Output | Self::Destroy => Reach::Cloud,
        }
    }

    /// What it does, as in "still applying".
    pub(super) fn doing(self) -> &'static str {
        match self {
            Self::Init => "initialising",
            Self::Plan => "planning",
            Self::Apply => "applying",
            Self::Output => "reading the outputs",
            Self::Destroy => "destroying",
        }
    }

    /// Its arguments; `more` are options of a plan.
    pub(super) fn arguments(self, version: &Version, more: &[String]) -> Vec<String> {
        // The backend's address is another one in each run, so what an earlier init remembered of it is of no use.
        let arguments: &[&str] = match self {
            Self::Init if version.reports_init() => &["init", "-json", "-reconfigure", "-input=false", "-no-color"],
            Self::Init => &["init", "-reconfigure", "-input=false", "-no-color"],
            Self::Plan => &["plan", "-json", "-input=false", "-no-color"],
            Self::Apply => &["apply", "-json", "-input=false", "-no-color", PLAN_FILE],
            Self::Output => &["output", "-json", "-no-color"],
            Self::Destroy => &["destroy", "-json", "-input=false", "-no-color", "-auto-approve"],
        };
        let mut arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
        if self == Self::Plan {
            arguments.push(format!("-out={PLAN_FILE}"));
            arguments.extend_from_slice(more);
        }
        arguments
    }
}

impl fmt::Display for RunStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Version of the OpenTofu binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    text: String,
    number: (u32, u32),
}

impl Version {
    /// Reads `1.12.6` and the like; what follows the minor number does not matter.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let major = parts.next()?.parse().ok()?;
        let minor = parts.next()?.split('-').next()?.parse().ok()?;
        Some(Self { text: text.to_owned(), number: (major, minor) })
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// The oldest version whose flags and messages the engine knows.
    pub(super) fn is_accepted(&self) -> bool {
        self.number >= (1, 6)
    }

    /// The version the engine is tested with.
    pub(super) fn is_current(&self) -> bool {
        self.number >= (1, 12)
    }

    /// Whether `init` writes JSON.
    pub(super) fn reports_init(&self) -> bool {
        self.is_current()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_judged_by_their_first_two_numbers() {
        let judged = |text| Version::parse(text).map(|v| (v.is_accepted(), v.is_current()));
        assert_eq!(judged("1.12.6"), Some((true, true)));
        assert_eq!(judged("1.13.0-dev"), Some((true, true)));
        assert_eq!(judged("1.6"), Some((true, false)));
        assert_eq!(judged("1.5.7"), Some((false, false)));
        assert_eq!(judged("0.99.0"), Some((false, false)));
        assert_eq!(judged("nonsense"), None);
    }

    #[test]
    fn an_older_version_initialises_without_json() {
        let old = Version::parse("1.8.0").unwrap();
        assert!(!RunStep::Init.arguments(&old, &[]).contains(&"-json".to_owned()));
        assert!(RunStep::Plan.arguments(&old, &[]).contains(&"-json".to_owned()));
    }
}
