//! First boots on this cloud that meet trouble: the network, reboots, proxies, a program that dies.

use crate::kit::{HOST, node, world};
use catalyst_tests::boot_faults as faults;
use catalyst_tests::node::Node;

/// A first server, one that joins it, and a worker.
const ROLES: [usize; 3] = [0, 1, 3];

fn steps(role: usize) -> &'static [&'static str] {
    if role == 0 { faults::FIRST } else { faults::OTHERS }
}

#[test]
fn t2_names_that_are_not_resolved_for_three_minutes_delay_the_boot_and_no_more() {
    for role in ROLES {
        faults::names_are_not_resolved_for_three_minutes(&node(role, HOST));
    }
}

#[test]
fn t2_a_busy_server_is_asked_again_when_it_says() {
    faults::a_busy_server_is_asked_again_when_it_says(|| node(3, HOST));
}

#[test]
fn t2_a_step_gives_up_after_half_an_hour_and_the_boot_goes_on_later() {
    faults::a_step_gives_up_after_half_an_hour_and_the_boot_goes_on_later(&node(3, HOST));
}

#[test]
fn t2_packages_wait_for_others_that_install_and_hold_no_cluster_up() {
    faults::packages_wait_for_others_that_install_and_hold_no_cluster_up(|| node(3, HOST));
}

#[test]
fn t3_the_boot_is_a_unit_of_its_own() {
    faults::the_boot_is_a_unit_of_its_own(&node(3, HOST));
}

#[test]
fn t3_a_reboot_after_each_step_repeats_none() {
    for role in ROLES {
        faults::a_reboot_after_each_step_repeats_none(&node(role, HOST), steps(role));
    }
}

#[test]
fn t3_a_reboot_within_each_step_repeats_that_step() {
    const FIRST: &[&str] = &[
        "apt-get -q update",
        "swapoff -a",
        "systemctl restart fail2ban.service",
        "systemctl restart --no-block k3s.service",
        "kubectl --request-timeout=10s get --raw /readyz",
        "systemctl start --no-block catalyst-postback.service",
        "helm upgrade --install cilium",
        "kubectl apply --server-side",
        "kubectl apply --filename /var/lib/catalyst/ghcr-pull-secret.yaml",
        "touch /var/lib/catalyst/cloud-init-complete",
    ];
    let first = node(0, HOST);
    faults::a_reboot_within_each_step_repeats_that_step(&first, faults::FIRST, FIRST);
    // Helm touches no release whose install it did not end.
    let freed = first.call(&["kubectl --namespace kube-system delete secret", "pending-install"]);
    assert!(freed < first.call(&["helm upgrade --install cilium"]));
    assert!(!first.path("/var/lib/catalyst/ghcr-pull-secret.yaml").exists());
    let worker = ["systemctl restart --no-block k3s-agent.service"];
    faults::a_reboot_within_each_step_repeats_that_step(&node(3, HOST), faults::OTHERS, &worker);
}

#[test]
fn t3_a_reboot_before_the_first_start_or_among_the_files_loses_nothing() {
    faults::a_reboot_before_the_first_start_starts_it(&node(3, HOST));
    faults::files_that_were_written_in_part_are_written_again(&node(3, HOST));
}

#[test]
fn t3_two_starts_at_once_run_each_step_once() {
    faults::two_starts_at_once_run_each_step_once(&node(0, HOST), faults::FIRST);
}

#[test]
fn t4_an_answer_that_is_not_catalysts_own_ends_nothing() {
    faults::an_answer_that_is_not_catalysts_own_ends_nothing(|url| node(0, url));
}

#[test]
fn t4_a_refusal_of_catalysts_own_is_final() {
    faults::a_refusal_of_catalysts_own_is_final(|url| node(0, url));
}

#[test]
fn t12_nodes_reboot_one_after_the_other() {
    let servers = [0, 1, 2].map(|index| node(index, HOST));
    let worker = &world().user_data[3];
    let of =
        |last: u32| Node::new(&worker.replace("10.0.1.10'", &format!("10.0.1.{last}'")), &format!("10.0.1.{last}"));
    let workers: Vec<Node> = (10..60).step_by(7).map(of).collect();
    faults::nodes_reboot_one_after_the_other(&servers, &workers);
}

#[test]
fn t14_fail2ban_is_done_only_when_its_jail_holds() {
    faults::fail2ban_is_done_only_when_its_jail_holds(|| node(3, HOST));
}
