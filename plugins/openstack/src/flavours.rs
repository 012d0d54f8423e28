//! Flavours. Each cloud has its own; what is known beforehand is what some names say of themselves, and which the Sovereign
//! Cloud Stack's standard asks of every cloud that follows it (SCS-0100, SCS-0103).

use catalyst_plugin_sdk::{Alternative, Asked, MachineType};

/// When the standard was looked up.
pub(crate) const AS_OF: &str = "2026-11-01";

/// Name, cores, memory and disk in GiB; without a disk a server boots from a volume.
const STANDARD: [(&str, u32, u32, u32); 10] = [
    ("SCS-1V-8", 1, 8, 0),
    ("SCS-2V-8", 2, 8, 0),
    ("SCS-4V-8", 4, 8, 0),
    ("SCS-2V-16", 2, 16, 0),
    ("SCS-4V-16", 4, 16, 0),
    ("SCS-8V-16", 8, 16, 0),
    ("SCS-4V-16-100s", 4, 16, 100),
    ("SCS-4V-32", 4, 32, 0),
    ("SCS-8V-32", 8, 32, 0),
    ("SCS-16V-32", 16, 32, 0),
];

pub(crate) fn machine_types() -> Vec<MachineType> {
    let machine = |(name, cores, memory_gib, disk_gib): &(&str, u32, u32, u32)| MachineType {
        name: (*name).to_owned(),
        cores: *cores,
        memory_gib: *memory_gib,
        disk_gib: *disk_gib,
        arch: "x86".to_owned(),
        monthly_cents: None,
        retired: false,
        successor: None,
    };
    STANDARD.iter().map(machine).collect()
}

/// Memory in GiB that a name speaks of, by the schemes of SCS (`SCS-4V-16-50`), Infomaniak (`a4-ram16-disk50-perf1`) and
/// OVHcloud (`b3-16`).
pub(crate) fn memory_in(name: &str) -> Option<u32> {
    let parts: Vec<&str> = name.split('-').collect();
    match parts.as_slice() {
        ["SCS", _, memory, ..] => leading(memory),
        [_, memory, ..] if memory.starts_with("ram") => leading(&memory[3..]),
        [family, memory] if is_ovh_family(family) && memory.bytes().all(|b| b.is_ascii_digit()) => leading(memory),
        _ => None,
    }
}

/// A small letter and a digit, such as `b3`.
fn is_ovh_family(text: &str) -> bool {
    matches!(text.as_bytes(), [letter, digit] if b"bcrd".contains(letter) && digit.is_ascii_digit())
}

fn leading(text: &str) -> Option<u32> {
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// Whether a name of the standard says that servers of it have a disk of their own; none where a name says nothing.
pub(crate) fn has_disk(name: &str) -> Option<bool> {
    let rest = name.strip_prefix("SCS-")?;
    let disk = rest.split('-').nth(2);
    Some(disk.and_then(leading).is_some())
}

/// Other flavours of the standard with as much memory as the one that was asked for; `address` is the resource that failed.
pub(crate) fn alternatives(asked: &Asked, address: Option<&str>) -> Vec<Alternative> {
    let of_worker = address.is_some_and(|address| address.contains(".worker"));
    let worker = Some(asked.worker_size.as_str()).filter(|size| of_worker && !size.is_empty());
    let name = worker.unwrap_or(&asked.control_plane_size);
    let (Some(memory), Some(disk)) = (memory_in(name), has_disk(name)) else { return Vec::new() };
    let alike = STANDARD
        .iter()
        .filter(|(other, _, its_memory, its_disk)| *its_memory == memory && (*its_disk > 0) == disk && *other != name);
    let alternative = |(name, ..): &(&str, u32, u32, u32)| Alternative {
        region: None,
        machine_type: Some((*name).to_owned()),
        reason: format!("flavour {name} (as much memory; every cloud of the SCS standard has it)"),
    };
    alike.map(alternative).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_its_memory_where_its_scheme_is_known() {
        let cases = [
            ("SCS-4V-16-50", Some(16)),
            ("SCS-2V-8", Some(8)),
            ("SCS-16L-64-100s", Some(64)),
            ("a4-ram16-disk50-perf1", Some(16)),
            ("b3-32", Some(32)),
            ("b2-7", Some(7)),
            ("m1.large", None),
            ("s3.xlarge.4", None),
            ("SCS", None),
            ("b3-8-flex", None),
            ("-ram", None),
        ];
        for (name, memory) in cases {
            assert_eq!(memory_in(name), memory, "{name}");
        }
    }

    #[test]
    fn another_flavour_is_offered_where_a_standard_says_that_there_is_one() {
        let names = |control_plane: &str, worker: &str, address| -> Vec<String> {
            let asked = Asked {
                region: "GRA11".to_owned(),
                control_plane_size: control_plane.to_owned(),
                worker_size: worker.to_owned(),
                worker_count: 1,
                ha_enabled: false,
            };
            alternatives(&asked, address).into_iter().filter_map(|other| other.machine_type).collect()
        };
        let worker = Some("openstack_compute_instance_v2.worker[0]");
        assert_eq!(names("SCS-4V-16", "", None), ["SCS-2V-16", "SCS-8V-16"]);
        assert_eq!(
            names("SCS-4V-16-50", "", worker),
            ["SCS-4V-16-100s"],
            "with a disk again; workers are like servers"
        );
        assert_eq!(names("b3-16", "SCS-2V-8", worker), ["SCS-1V-8", "SCS-4V-8"]);
        assert_eq!(names("b3-16", "", None), Vec::<String>::new(), "no name is made up");
    }
}
