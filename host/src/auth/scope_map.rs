//! Which scopes users and groups of another house have here: `user:alice=admin; group:platform=read+create; *=read`.

use super::Scopes;

/// Who gets what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScopeMap(Vec<(Who, Scopes)>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Who {
    User(String),
    Group(String),
    Everybody,
}

impl ScopeMap {
    /// Reads entries between `;` or line breaks. A name may hold `:`, `,` and `=`, for those of Kubernetes and of
    /// directories do: the last `=` is the one that counts.
    ///
    /// # Errors
    /// The entry that is wrong, with its rule.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut map = Vec::new();
        for entry in text.split([';', '\n']).map(str::trim).filter(|entry| !entry.is_empty()) {
            let rule =
                "must be user:<name>, group:<name> or *, then = and scopes (read, create, kubeconfig, admin) between +";
            let wrong = || format!("{entry:?} {rule}");
            let (who, scopes) = entry.rsplit_once('=').ok_or_else(wrong)?;
            let scopes = Scopes::parse(scopes).ok_or_else(wrong)?;
            let who = match who.trim().split_once(':') {
                Some(("user", name)) if !name.is_empty() => Who::User(name.to_owned()),
                Some(("group", name)) if !name.is_empty() => Who::Group(name.to_owned()),
                None if who.trim() == "*" => Who::Everybody,
                _ => return Err(wrong()),
            };
            map.push((who, scopes));
        }
        Ok(Self(map))
    }

    /// Whether it gives nobody anything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All that a user has by itself and by its groups.
    pub fn scopes_of(&self, user: &str, groups: &[String]) -> Scopes {
        let applies = |who: &Who| match who {
            Who::User(name) => name == user,
            Who::Group(name) => groups.contains(name),
            Who::Everybody => true,
        };
        let given = self.0.iter().filter(|(who, _)| applies(who)).map(|(_, scopes)| *scopes);
        given.fold(Scopes::NONE, Scopes::and)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_user_has_is_the_sum_of_its_entries() {
        let text = "user:system:serviceaccount:ops:robot=create; group:CN=ops,DC=example=kubeconfig+read;\n * = read ";
        let map = ScopeMap::parse(text).unwrap();
        let of = |user: &str, groups: &[&str]| {
            map.scopes_of(user, &groups.iter().map(|g| (*g).to_owned()).collect::<Vec<_>>()).to_string()
        };
        assert_eq!(of("system:serviceaccount:ops:robot", &[]), "read,create");
        assert_eq!(of("x", &["CN=ops,DC=example"]), "read,kubeconfig");
        assert_eq!(of("ops", &["robot"]), "read");
        assert_eq!(ScopeMap::default().scopes_of("x", &[]), Scopes::NONE);
    }

    #[test]
    fn a_wrong_entry_is_named() {
        for bad in ["alice=read", "user:=read", "group:x", "group:x=write", "**=read", "role:x=read", "=read"] {
            let error = ScopeMap::parse(&format!("*=read; {bad}")).unwrap_err();
            assert!(error.contains(bad), "{error}");
        }
    }
}
