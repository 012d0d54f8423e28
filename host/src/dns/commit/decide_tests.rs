//! What must never be decided.

use super::decide::*;
use super::*;
use crate::dns::pdm::{Allocation, AllocationState, PdmFault};

fn error(fault: PdmFault) -> PdmError {
    PdmError { fault, call: "x", status: None, said: "s".to_owned() }
}

const FAULTS: [PdmFault; 9] = [
    PdmFault::Unreachable,
    PdmFault::Unavailable,
    PdmFault::Conflict,
    PdmFault::AlreadyActive,
    PdmFault::NotFound,
    PdmFault::TokenMismatch,
    PdmFault::Expired,
    PdmFault::Refused,
    PdmFault::Unintelligible,
];

#[test]
fn no_failure_of_commit_or_reserve_releases_a_name() {
    for fault in FAULTS {
        let moves =
            [after_commit(Err(error(fault)), "t".to_owned(), &mut Memory::default()), after_reserve(Err(error(fault)))];
        for chosen in moves {
            assert!(!matches!(chosen, Move::Now(Act::Release) | Move::Later(Act::Release, _)), "{fault:?}");
        }
    }
}

#[test]
fn somebody_else_s_name_ends_it_in_every_state() {
    for state in [AllocationState::Reserved, AllocationState::Active, AllocationState::Unknown] {
        for ours_for_good in [false, true] {
            let mut memory = Memory { ours_for_good, refusal: None };
            let (subdomain, created_by) = ("acme".to_owned(), "you".to_owned());
            let allocation = Allocation { subdomain, state, created_by, reservation_token: "t".to_owned() };
            let (chosen, taken_over) = after_look_up(Ok(Some(allocation)), "me", &mut memory);
            assert_eq!(chosen, Move::End(CommitEnd::Taken { by: "you".to_owned() }));
            assert_eq!(taken_over, None);
        }
    }
}

#[test]
fn what_a_202_gave_is_ours_only_until_it_is_released() {
    let mut memory = Memory { ours_for_good: true, refusal: None };
    let unlisted = || Err(error(PdmFault::NotFound));
    assert_eq!(after_look_up(unlisted(), "me", &mut memory).0, Move::Now(Act::Release));
    after_release(Err(error(PdmFault::Unreachable)), &mut memory);
    assert!(!matches!(after_look_up(unlisted(), "me", &mut memory).0, Move::Now(Act::Release)));
}

#[test]
fn a_release_whose_answer_was_lost_is_not_repeated_blindly() {
    for fault in [PdmFault::Unreachable, PdmFault::Unavailable] {
        let chosen = after_release(Err(error(fault)), &mut Memory::default());
        assert!(matches!(chosen, Move::Later(Act::LookUp, _)));
    }
}
