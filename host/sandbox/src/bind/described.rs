//! What a component says of itself, in the domain's own types. Each version of the contract has records of its own for it, of the
//! same shape but for `tofu-provider`, which the version's file converts.

/// Makes `descriptor` for the types of one version; `tofu_provider` stands where it is called.
macro_rules! described {
    ($($wit:ident)::+) => {
        use $($wit)::+ as wit;
        use catalyst_domain::provider as own;

        pub(super) fn descriptor(provider: wit::Provider) -> own::Descriptor {
            own::Descriptor {
                id: provider.id,
                display_name: provider.display_name,
                version: provider.version,
                secrets: provider.secrets.into_iter().map(secret).collect(),
                tofu_providers: provider.tofu_providers.into_iter().map(tofu_provider).collect(),
                bearer_resource: provider.bearer_resource,
                catalogue: catalogue(provider.catalogue),
                user_data_limit: provider.user_data_limit,
                settings_schema: provider.settings_schema,
                api_hosts: provider.api_hosts,
            }
        }

        fn secret(secret: wit::Secret) -> own::SecretSpec {
            own::SecretSpec {
                name: secret.name,
                source: match secret.source {
                    wit::SecretSource::Request(key) => own::SecretSource::Request(key),
                    wit::SecretSource::Host(name) => own::SecretSource::Host(name),
                    wit::SecretSource::Minted => own::SecretSource::Minted,
                },
                role: match secret.role {
                    wit::SecretRole::Ordinary => own::SecretRole::Ordinary,
                    wit::SecretRole::KubeconfigBearer => own::SecretRole::KubeconfigBearer,
                },
                required: secret.required,
                min_length: secret.min_length,
                max_length: secret.max_length,
                label: secret.label,
                refused_prefixes: secret.refused_prefixes,
            }
        }

        fn catalogue(catalogue: wit::Catalogue) -> own::Catalogue {
            let region = |r: wit::Region| own::Region {
                id: r.id,
                display_name: r.display_name,
                machine_types: r.machine_types,
            };
            let machine = |m: wit::MachineType| own::MachineType {
                name: m.name,
                cores: m.cores,
                memory_gib: m.memory_gib,
                disk_gib: m.disk_gib,
                arch: m.arch,
                monthly_cents: m.monthly_cents,
                retired: m.retired,
                successor: m.successor,
            };
            own::Catalogue {
                as_of: catalogue.as_of,
                currency: catalogue.currency,
                regions: catalogue.regions.into_iter().map(region).collect(),
                machine_types: catalogue.machine_types.into_iter().map(machine).collect(),
            }
        }
    };
}

pub(super) use described;
