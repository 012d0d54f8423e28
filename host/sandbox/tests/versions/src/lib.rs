//! Guests as they were written for a version of the contract, each with bindings of its own. They share nothing, so that no
//! change elsewhere reaches one: what a host has served once it serves on.
