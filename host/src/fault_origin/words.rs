//! Faults in words for people: what happened, and what to do here.

use super::{Fault, HostPart, LocatedFault, Origin};

impl From<Fault> for LocatedFault {
    fn from(fault: Fault) -> Self {
        let what_to_do = fault.what_to_do().to_owned();
        Self { origin: fault.origin(), what_happened: fault.what_happened(), what_to_do }
    }
}

impl Fault {
    fn origin(&self) -> Origin {
        match self {
            Self::DiskFull | Self::DiskReadOnly | Self::DiskBroken => Origin::Host(HostPart::Disk),
            Self::MemoryExhausted | Self::Killed => Origin::Host(HostPart::Memory),
            Self::WrongClock(_) => Origin::Host(HostPart::Clock),
            Self::Untrusted => Origin::Host(HostPart::TrustStore),
            Self::Expired => Origin::Server,
            Self::ProxyUnreachable | Self::ProxyCredentials | Self::ProxyForbids(..) | Self::ProxyFails(_) => {
                Origin::Host(HostPart::Proxy)
            }
            Self::ResolverSilent | Self::UnknownName(_) => Origin::Host(HostPart::NameResolution),
            Self::RequestedName(_) => Origin::Request,
            Self::Checksum | Self::PackageMissing | Self::RegistryUnreachable => Origin::Host(HostPart::Registry),
        }
    }

    fn what_happened(&self) -> String {
        let text = match self {
            Self::DiskFull => "A disk of this host is full",
            Self::DiskReadOnly => "A file was to be written where this host allows nothing but reading",
            Self::DiskBroken => "A disk of this host reports errors",
            Self::MemoryExhausted => "Memory ran out on this host",
            Self::Killed => {
                "Something on this host killed OpenTofu or what it needs, mostly the kernel because memory ran out"
            }
            Self::WrongClock(Some(now)) => {
                return format!(
                    "The clock of this host is wrong: it says {now}, when the certificate of the other side is not valid"
                );
            }
            Self::WrongClock(None) => {
                "The clock of this host is wrong: by it the certificate of the other side is not valid yet"
            }
            Self::Untrusted => {
                "This host does not trust the certificate of the other side: its authority is not in the trust store, or a proxy that \
                 inspects connections answers in its place"
            }
            Self::Expired => "The certificate of the other side has expired",
            Self::ProxyUnreachable => "The proxy of this host (HTTPS_PROXY) cannot be reached, or broke off",
            Self::ProxyCredentials => "The proxy of this host (HTTPS_PROXY) does not take the credentials of its URL",
            Self::ProxyForbids(host, status) => {
                return format!(
                    "The proxy of this host (HTTPS_PROXY) does not let {host} through: it answered {status}"
                );
            }
            Self::ProxyFails(host) => {
                return format!("The proxy of this host (HTTPS_PROXY) opened no way to {host}");
            }
            Self::ResolverSilent => "The name resolution of this host does not answer",
            Self::UnknownName(Some(name)) => return format!("The name resolution of this host does not know {name}"),
            Self::UnknownName(None) => "The name resolution of this host does not know a name",
            Self::RequestedName(name) => {
                return format!("The request gives {name} as an address of its cloud, and there is no such name");
            }
            Self::Checksum => {
                "The registry or the mirror of providers gave a package that is not the one that is expected"
            }
            Self::PackageMissing => {
                "The registry or the mirror of providers does not have a provider as it is asked for"
            }
            Self::RegistryUnreachable => {
                "This host could not install OpenTofu's providers from their registry; no cloud was asked"
            }
        };
        text.to_owned()
    }

    fn what_to_do(&self) -> &'static str {
        match self {
            Self::DiskFull => {
                "Make room on the disks of CATALYST_TOFU_WORKDIR, CATALYST_STATE_DIR and of temporary files (TMPDIR), then retry; \
                 `catalyst doctor` says what is free."
            }
            Self::DiskReadOnly => {
                "Mount the folders of CATALYST_TOFU_WORKDIR and CATALYST_STATE_DIR so that they can be written (`catalyst doctor`). Any \
                 other path is kept from a run on purpose (docs/confinement.md)."
            }
            Self::DiskBroken => "Look into the kernel's log (dmesg), replace the disk or mount it anew, then retry.",
            Self::MemoryExhausted | Self::Killed => {
                "Look into the kernel's log (dmesg, or OOMKilled of the Pod); give this host more memory or set CATALYST_MAX_RUNS lower, \
                 then retry."
            }
            Self::WrongClock(_) => "Set it (chrony, systemd-timesyncd), then retry; `catalyst doctor` compares it.",
            Self::Untrusted => {
                "Put the authority into the file of SSL_CERT_FILE, which replaces the system's trust store, or let the proxy pass this \
                 host name without inspection; then retry."
            }
            Self::Expired => {
                "Whoever runs that server has to renew it. Where this host's clock is ahead, set it; `catalyst doctor` compares it."
            }
            Self::ProxyUnreachable => {
                "Start the proxy, or set HTTPS_PROXY right; NO_PROXY names hosts that are reached without it. `catalyst doctor` tries \
                 it. Then retry."
            }
            Self::ProxyCredentials => "Put its user name and password into HTTPS_PROXY, restart this host, then retry.",
            Self::ProxyForbids(..) => {
                "Let that proxy pass the name, or name it in NO_PROXY where this host reaches it directly; then retry."
            }
            Self::ProxyFails(_) => {
                "The proxy's log says whether its own way out or the other side failed; NO_PROXY names hosts that are reached without \
                 it. Then retry."
            }
            Self::ResolverSilent => {
                "Look at the servers of /etc/resolv.conf and at the way there (in a Pod: cluster DNS and network policy), then retry."
            }
            Self::UnknownName(_) => {
                "Look whether the servers of /etc/resolv.conf know names of the internet and of this cloud, then retry. With \
                 HTTPS_PROXY the proxy resolves names."
            }
            Self::RequestedName(_) => {
                "Correct the address in the request. Where only another network knows the name, give this host a resolver that does \
                 (/etc/resolv.conf)."
            }
            Self::Checksum => {
                "Take the package anew into the folder of CATALYST_PROVIDER_MIRROR; without a mirror look for what changes downloads \
                 on the way, such as a proxy."
            }
            Self::PackageMissing => {
                "Bring the folder of CATALYST_PROVIDER_MIRROR to what the plugins declare; `catalyst doctor` compares them \
                 (docs/operations.md#sites-without-the-internet)."
            }
            Self::RegistryUnreachable => {
                "Let this host reach the registry, or set CATALYST_PROVIDER_MIRROR \
                 (docs/operations.md#sites-without-the-internet); then retry."
            }
        }
    }
}
