//! The domains whose names we give out (contract 6.5). Pure: the values come from the configuration.

use catalyst_domain::request::DomainMode;
use catalyst_domain::{Finding, Request};
use std::collections::BTreeSet;

/// What holds when nothing is configured (contract 6.5).
const BUILT_IN: [&str; 2] = ["omani.works", "openova.io"];

/// A set of domains, lower-case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagedDomains(BTreeSet<String>);

impl ManagedDomains {
    /// `list` is `DYNADOT_MANAGED_DOMAINS`: names between commas or white space. If it yields none, `single`, which is
    /// `DYNADOT_DOMAIN`, counts alone; without either, the built-in two.
    pub fn from_config(list: Option<&str>, single: Option<&str>) -> Self {
        let mut names: BTreeSet<String> = split(list.unwrap_or_default());
        if names.is_empty() {
            names.extend(single.map(normal).filter(|name| !name.is_empty()));
        }
        if names.is_empty() {
            names.extend(BUILT_IN.map(str::to_owned));
        }
        Self(names)
    }

    /// Whether a domain is ours, in any case and with white space around it. A blank one is not.
    pub fn contains(&self, domain: &str) -> bool {
        self.0.contains(&normal(domain))
    }

    /// All of them, sorted.
    pub fn list(&self) -> Vec<&str> {
        self.0.iter().map(String::as_str).collect()
    }

    /// The remark on a request in pool mode whose pool is not ours: nobody would publish its name.
    pub fn judge_pool(&self, request: &Request) -> Option<Finding> {
        let pool = &request.sovereign_pool_domain;
        if request.domain_mode() != DomainMode::Pool || pool.trim().is_empty() || self.contains(pool) {
            return None;
        }
        let message =
            format!("sovereignPoolDomain: {:?} is not a managed pool domain; choose one of {}", normal(pool), {
                self.list().join(", ")
            });
        Some(Finding::error("/sovereignPoolDomain", "unsupported-pool", message))
    }
}

fn split(list: &str) -> BTreeSet<String> {
    list.split(|c: char| c == ',' || c.is_whitespace()).map(normal).filter(|name| !name.is_empty()).collect()
}

fn normal(domain: &str) -> String {
    domain.trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_wins_then_the_single_one_then_the_built_in() {
        let check = |list: Option<&str>, single: Option<&str>, expect: &[&str]| {
            assert_eq!(ManagedDomains::from_config(list, single).list(), expect, "{list:?} {single:?}");
        };
        check(None, None, &["omani.works", "openova.io"]);
        check(Some(""), Some(""), &["omani.works", "openova.io"]);
        check(Some(" ,, \n"), Some("  "), &["omani.works", "openova.io"]);
        check(None, Some(" One.Example "), &["one.example"]);
        check(Some(" , "), Some("one.example"), &["one.example"]);
        check(Some("b.example,A.example"), Some("one.example"), &["a.example", "b.example"]);
        check(Some("b.example\ta.example\nb.example, B.EXAMPLE"), None, &["a.example", "b.example"]);
        // The single one is one name, not a list.
        check(None, Some("a.example,b.example"), &["a.example,b.example"]);
    }

    #[test]
    fn a_look_up_ignores_case_and_space_and_refuses_blank() {
        let managed = ManagedDomains::from_config(None, None);
        assert!(managed.contains(" Omani.Works\n"));
        assert!(!managed.contains("sub.omani.works"));
        assert!(!managed.contains(""));
        assert!(!managed.contains("  "));
    }

    #[test]
    fn b5_a_pool_that_is_not_managed_refuses_the_request() {
        let managed = ManagedDomains::from_config(Some("pool.example"), None);
        let request = |mode: &str, pool: &str| Request {
            sovereign_domain_mode: mode.to_owned(),
            sovereign_pool_domain: pool.to_owned(),
            ..Request::default()
        };
        let finding = managed.judge_pool(&request("pool", "other.example")).expect("a finding");
        assert!(finding.is_error());
        assert_eq!((finding.pointer.as_str(), finding.code.as_str()), ("/sovereignPoolDomain", "unsupported-pool"));
        assert!(finding.message.contains("other.example") && finding.message.contains("pool.example"));
        assert_eq!(managed.judge_pool(&request("pool", "Pool.Example")), None);
        assert_eq!(managed.judge_pool(&request("byo", "other.example")), None);
        assert_eq!(managed.judge_pool(&request("pool", "")), None, "the rule for a missing pool says that");
    }
}
