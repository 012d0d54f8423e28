//! Random choices from a seed: the same seed makes the same inputs.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// A source of choices.
pub struct Random(StdRng);

impl Random {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// A seed that nobody chose.
    pub fn any_seed() -> u64 {
        rand::random()
    }

    /// A number below `end`; 0 where that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { self.0.random_range(0..end) }
    }

    /// True once in `times`.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of a list that is not empty.
    pub fn pick<'a, T: ?Sized>(&mut self, list: &[&'a T]) -> &'a T {
        list[self.below(list.len())]
    }

    /// Any byte.
    pub fn byte(&mut self) -> u8 {
        self.0.random()
    }

    /// Puts a list into another order.
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for at in (1..list.len()).rev() {
            list.swap(at, self.below(at + 1));
        }
    }

    /// Up to `most` pieces of a list behind each other.
    pub fn pieces(&mut self, list: &[&str], most: usize) -> String {
        (0..self.below(most + 1)).map(|_| self.pick(list)).collect()
    }
}
