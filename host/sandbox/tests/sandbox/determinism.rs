//! Nothing of the outside reaches a plugin: what it sees is the same in every call.

use crate::fixtures::{asks, by_request};

#[tokio::test]
async fn clocks_random_numbers_and_the_environment_are_fixed() {
    let one = by_request().await;
    let first = one.validate(&asks("ambient")).await.expect("an answer").remove(0).message;
    tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    let second = one.validate(&asks("ambient")).await.expect("an answer").remove(0).message;
    let other = by_request().await;
    let third = other.validate(&asks("ambient")).await.expect("an answer").remove(0).message;
    assert_eq!(first, second);
    assert_eq!(first, third, "another engine shows something else");
    // 2020-01-01, no time between two looks, no variable, no argument, no folder, an empty standard input.
    assert!(first.starts_with("Ok(1577836800s) 0ns "), "{first}");
    assert!(first.contains(" [] [] Err("), "{first}");
    assert!(first.ends_with("Ok(0)"), "{first}");
    assert!(!first.contains("Ok(())"), "a file was reached: {first}");
}

#[tokio::test]
async fn sleeping_takes_no_time() {
    let started = std::time::Instant::now();
    let findings = by_request().await.validate(&asks("sleep")).await.expect("an answer");
    assert_eq!(findings[0].message, "slept");
    assert!(started.elapsed() < std::time::Duration::from_secs(600));
}
