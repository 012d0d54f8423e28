//! A disk that fills in the middle of a run. `make soak` plays a hundred rounds and more.

use catalyst_tests::full_disk::{Full, FullDisk};
use catalyst_tests::fuzz::Random;
use catalyst_tests::tofu::given;

/// One for each step in which the disk fills.
const ROUNDS: usize = 6;
/// Of these, how many have to meet it.
const LEAST_MET: usize = 5;
/// Commands that have to meet it.
const STEPS: [&str; 4] = ["init", "apply", "output", "destroy"];

#[test]
fn a_disk_that_fills_in_any_step_of_a_run_is_no_dead_end_and_nothing_made_is_forgotten() {
    // As a failure prints it.
    let seed = given("FULL_DISK_SEED").and_then(|seed| seed.parse().ok()).unwrap_or_else(Random::any_seed);
    let mut disk = FullDisk::start(seed);
    for _ in 0..ROUNDS {
        disk.round(Full::UntilItIsSeen);
    }
    let (met, by_step) = (disk.rounds_met(), disk.met());
    println!("FULL_DISK_SEED={seed}: the full disk was met in {met} of {ROUNDS} rounds, by command: {by_step:?}");
    let has_all = STEPS.iter().all(|step| by_step.contains_key(*step));
    assert!(met >= LEAST_MET && has_all, "FULL_DISK_SEED={seed}: {met} of {ROUNDS}: {by_step:?}");
}
