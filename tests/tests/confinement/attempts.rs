//! A provider that attacks: what stops each attempt, and what each layer alone is for.

use crate::kit::{Bench, plant_provider};
use crate::targets::Targets;
use catalyst::engine::Layer;
use std::collections::{BTreeMap, BTreeSet};

const MODULE: &str = "terraform {\n  required_providers {\n    hostile = {\n      source = \"acme/hostile\"\n      version = \"1.0.0\"\n    }\n  }\n}\nresource \"hostile_thing\" \"a\" {}\n";
/// Processes that it tries to start: more than a run may have.
const FORK_BOMB: usize = 1_500;
/// What no layer stops, and no process of a run may have left after its end.
const LEAVES: &str = "leave a process behind";

/// Sockets that belong to no network; and what makes sockets by itself.
const HYPERVISOR: [&str; 2] = ["make a socket to the hypervisor", "make such a socket by numbers of other ABIs"];
const RING: &str = "set up an io_uring";

/// What it got, by attempt; `None` where it got what it wanted.
type Loot = BTreeMap<String, Option<String>>;

async fn attack(without: &[Layer]) -> Loot {
    let bench = Bench::without(without).await;
    bench.assert_whole(without);
    let providers = plant_provider(&bench, &catalyst_tests::tools::path("hostile").unwrap());
    let targets = Targets::new(&bench, &providers, FORK_BOMB);
    let (result, seen) = bench.apply(&[("main.tf", MODULE), ("targets.json", &targets.json)]).await;
    let text = std::fs::read_to_string(bench.work().join("loot.json"));
    let text = text.unwrap_or_else(|_| panic!("the provider did not run: {result:?} {seen:#?}"));
    let all: BTreeMap<String, String> = serde_json::from_str(&text).unwrap();
    let mut loot: Loot = all.into_iter().map(|(name, said)| (name, (said != "done").then_some(said))).collect();
    // Whether it could be started is one thing; what counts is that it is gone with its run.
    let left = targets.left_behind();
    loot.insert(LEAVES.to_owned(), left.is_empty().then(|| "ended with the run".to_owned()));
    loot
}

fn got(loot: &Loot) -> BTreeSet<&str> {
    loot.iter().filter(|(_, stopped)| stopped.is_none()).map(|(name, _)| name.as_str()).collect()
}

fn show(title: &str, loot: &Loot) {
    println!("\n== {title}");
    for (name, stopped) in loot {
        println!("{name:<40} {}", stopped.as_deref().unwrap_or("GOT IT"));
    }
}

#[tokio::test]
async fn a_hostile_provider_gets_nothing_behind_all_layers() {
    let loot = attack(&[]).await;
    show("all layers", &loot);
    assert!(loot.len() >= 25, "{}", loot.len());
    assert_eq!(got(&loot), BTreeSet::new());
}

#[tokio::test]
async fn the_attempts_are_real_without_any_layer_nearly_all_of_them_succeed() {
    let loot = attack(&Layer::ALL).await;
    show("no layer", &loot);
    let stopped: Vec<_> = loot.iter().filter(|(_, stopped)| stopped.is_some()).map(|(name, _)| name.as_str()).collect();
    // What a run started ends with it in any case, and its proxy is no layer. The rest needs a network that this machine may not have.
    let may = [
        LEAVES,
        "ask its proxy for a host that is not granted",
        "ask its proxy for the metadata address",
        "call the metadata address",
        "call the internet by address",
        "dump its memory",
        // A machine that is no guest has no such sockets, an architecture no other numbers, and a sysctl forbids the ring.
        HYPERVISOR[0],
        HYPERVISOR[1],
        RING,
    ];
    assert!(stopped.iter().all(|name| may.contains(name)), "{stopped:?}");
    assert!(stopped.contains(&LEAVES));
}

/// What a provider gets on this kernel where one layer is missing. All else is stopped by the others.
const WITHOUT: [(Layer, &[&str]); 10] = [
    (Layer::Files, &[]),
    (Layer::Scopes, &[]),
    (Layer::Ports, &[]),
    (Layer::UserNamespace, &[]),
    // Without it processes are not counted either.
    (Layer::PidNamespace, &["start processes without an end", "use shared memory of others"]),
    (
        Layer::NetworkNamespace,
        // Landlock's rules for ports are about plain TCP, and know no addresses. Go listens by multipath TCP.
        &[
            "call a foreign address on the port of its proxy",
            "call the host's API by multipath TCP",
            "listen where others connect",
            "look a name up",
            "send a datagram",
        ],
    ),
    (
        Layer::MountNamespace,
        &["change the mode of a file outside", "change the times of a file outside", "connect to a socket in a folder"],
    ),
    (Layer::ProcessLimit, &["start processes without an end"]),
    (
        Layer::ResourceLimits,
        &["open files without an end", "take memory without an end", "write a file without an end"],
    ),
    // The kernel of a virtual machine. Only x86 has other numbers for one system call.
    (
        Layer::SocketFamilies,
        if cfg!(target_arch = "x86_64") { &[HYPERVISOR[0], HYPERVISOR[1], RING] } else { &[HYPERVISOR[0], RING] },
    ),
];

#[tokio::test]
async fn each_layer_taken_away_opens_what_is_said_of_it_and_no_more() {
    let mut wrong = Vec::new();
    for (layer, expected) in WITHOUT {
        let loot = attack(&[layer]).await;
        show(&format!("without {layer:?}"), &loot);
        let expected: BTreeSet<&str> = expected.iter().copied().collect();
        if got(&loot) != expected {
            wrong.push(format!("without {layer:?}: {:?} instead of {expected:?}", got(&loot)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
