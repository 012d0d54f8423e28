//! Rules of what a plugin says about the arguments that its module sets in `provider` blocks.

use std::collections::BTreeSet;

use catalyst_domain::provider::{Descriptor, SettingSource};

use super::{Checked, NAME, at_most, is_identifier};

/// Arguments that a module sets in one provider's block.
const SETTINGS: usize = 64;

/// Blocks that an argument of a provider may stand in.
const DEPTH: usize = 4;

/// What a component says of the arguments of its providers: who is to grant it must be able to read it, and what it names must be
/// there.
pub(super) fn arguments(descriptor: &Descriptor) -> Checked {
    let properties = serde_json::from_str::<serde_json::Value>(&descriptor.settings_schema).unwrap_or_default();
    for provider in &descriptor.tofu_providers {
        let settings = provider.settings.as_deref().unwrap_or_default();
        at_most("arguments of an OpenTofu provider", settings.len(), SETTINGS)?;
        let mut names = BTreeSet::new();
        for setting in settings {
            let name = &setting.argument;
            let mut parts = name.split('.');
            if name.len() > NAME || parts.clone().count() > DEPTH || !parts.all(is_identifier) {
                return Err("an argument of an OpenTofu provider is not a name, or names with dots between them".into());
            }
            if !names.insert(name) {
                return Err(format!("the argument {name} of an OpenTofu provider stands twice"));
            }
            let named = |why: &str| Err(format!("the argument {name} of an OpenTofu provider {why}"));
            match &setting.source {
                SettingSource::Secret(_) if setting.address => return named("is an address, and comes from a secret"),
                SettingSource::Secret(secret) if !descriptor.secrets.iter().any(|spec| spec.name == *secret) => {
                    return named("comes from a secret that is not declared");
                }
                // It becomes part of a line of `plugins.lock`.
                SettingSource::Request(key) if !is_identifier(key) => {
                    return named("comes from a request key that is not a name");
                }
                SettingSource::Request(key) if properties["properties"].get(key).is_none() => {
                    return named("comes from a request key that the settings schema does not have");
                }
                _ => {}
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use catalyst_domain::provider::{Descriptor, ProviderSetting, SettingSource, TofuProvider};

    use crate::check::{descriptor, sample};

    #[test]
    fn what_is_said_of_arguments_names_what_is_there() {
        let with = |argument: &str, source: SettingSource, address: bool| Descriptor {
            tofu_providers: vec![TofuProvider {
                source: "acme/cloud".into(),
                version: "1.0.0".into(),
                settings: Some(vec![ProviderSetting { argument: argument.into(), source, address }]),
            }],
            settings_schema: r#"{"properties": {"authUrl": {}, "a\ngrant b.wasm nothing": {}}}"#.into(),
            ..sample()
        };
        let token = || SettingSource::Secret(sample().secrets[0].name.clone());
        for good in [
            with("token", token(), false),
            with("endpoints.compute", SettingSource::Fixed, true),
            with("auth_url", SettingSource::Request("authUrl".into()), true),
        ] {
            assert_eq!(descriptor(&good), Ok(()));
        }
        for (bad, rule) in [
            (with("token", SettingSource::Secret("other".into()), false), "a secret that is not declared"),
            (with("auth_url", token(), true), "is an address, and comes from a secret"),
            (
                with("a", SettingSource::Request("other".into()), false),
                "a request key that the settings schema does not",
            ),
            (
                with("a", SettingSource::Request("a\ngrant b.wasm nothing".into()), false),
                "a request key that is not a name",
            ),
            (with("a b", SettingSource::Fixed, false), "is not a name"),
            (with("a..b", SettingSource::Fixed, false), "is not a name"),
            (with("a.b.c.d.e", SettingSource::Fixed, false), "is not a name"),
            (with("", SettingSource::Fixed, false), "is not a name"),
        ] {
            let why = descriptor(&bad).expect_err(rule);
            assert!(why.contains(rule), "{why}");
        }
        let mut twice = with("token", token(), false);
        let settings = twice.tofu_providers[0].settings.as_mut().expect("settings");
        settings.push(settings[0].clone());
        assert!(
            descriptor(&twice).expect_err("twice").contains("the argument token of an OpenTofu provider stands twice")
        );
    }
}
