//! Ten seconds of every fuzz target: the corpus, then inputs of a seed that is told. `make fuzz` runs the same for ten minutes.

use catalyst_tests::fuzz::campaign::Plan;
use catalyst_tests::fuzz::{Budget, Random, corpus, run, targets};
use std::time::Duration;

/// Of all targets together.
const TIME: Duration = Duration::from_secs(10);

#[test]
fn ten_seconds_of_every_target_break_no_rule() {
    let seed = Random::any_seed();
    println!("seed {seed}");
    let share = TIME / u32::try_from(targets::ALL.len()).unwrap();
    for (name, make) in targets::ALL {
        let mut target = make().unwrap();
        assert_eq!(target.name(), name);
        let plan = Plan { seed, budget: Budget::Time(share), generated_only: false, cache: None };
        let report = run(target.as_mut(), plan).unwrap();
        println!("{name}: {} inputs, {} endings", report.inputs, report.endings.len());
        assert!(report.failure.is_none(), "{}", report.failure.unwrap());
        assert!(report.inputs > 0, "{name} checked nothing");
    }
}

#[test]
fn every_target_has_a_corpus_and_no_folder_is_of_none() {
    let mut folders: Vec<String> = std::fs::read_dir(corpus::committed())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    folders.sort();
    let mut names: Vec<&str> = targets::ALL.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    assert_eq!(folders, names);
}
