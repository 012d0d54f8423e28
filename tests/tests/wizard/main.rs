//! What the wizard asks before a create, row by row (API.md 1.3–1.5, 1.13), and the pool name of a deployment (B-1 to B-6),
//! through the real binary with real plugins; only the manager and the cloud's API are doubles.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod ingress;
mod pool;
mod questions;

/// Ingresses add the token where there is none; the questions and answers stay the same.
#[test]
fn a_wizard_is_answered_alike_behind_an_ingress_that_authenticates() {
    catalyst_tests::host::behind_an_ingress(|| {
        questions::h8_a_credential_goes_to_its_own_cloud_and_the_answer_says_what_was_proven();
        questions::a_pools_names_are_asked_of_its_manager_and_others_of_dns();
        questions::h14_a_key_pair_is_fresh_in_openssh_format_with_a_comment_of_one_word();
        questions::a_registrar_is_reached_through_the_manager_byte_for_byte();
        pool::b1_a_pool_name_is_reserved_before_201_and_published_right_after_the_outputs();
        pool::a_failed_run_gives_its_name_back_and_a_retry_reserves_anew();
        pool::b4_b5_what_the_manager_refuses_is_said_before_anything_is_created();
    });
}
