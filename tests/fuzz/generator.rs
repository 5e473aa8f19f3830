//! [`Generator`]: inputs from a seed, by mutation of a pool.

use std::collections::HashSet;
use std::ops::Range;

use fastrand::Rng;

use crate::campaign::Target;

/// Inputs that are kept because they reached something new.
const MAX_POOL: usize = 4000;
/// Mutations of one input at most.
const MAX_STEPS: usize = 8;

/// Makes inputs, always the same ones for a seed and a target.
#[derive(Debug)]
pub(crate) struct Generator {
    random: Rng,
    pool: Vec<Vec<u8>>,
    tokens: &'static [&'static [u8]],
    longest: usize,
    reached: HashSet<u64>,
}

impl Generator {
    /// Begins with a pool, which may be empty.
    pub(crate) fn new(seed: u64, mut pool: Vec<Vec<u8>>, target: &Target) -> Self {
        pool.push(Vec::new());
        let (random, reached) = (Rng::with_seed(seed), HashSet::new());
        Self { random, pool, tokens: target.tokens, longest: target.longest, reached }
    }

    /// Keeps an input if nothing before reached the same.
    pub(crate) fn keep(&mut self, input: &[u8], reached: u64) {
        if self.pool.len() < MAX_POOL && self.reached.insert(reached) {
            self.pool.push(input.to_vec());
        }
    }

    /// Number of different digests that were reached.
    pub(crate) fn reached(&self) -> usize {
        self.reached.len()
    }

    pub(crate) fn next(&mut self) -> Vec<u8> {
        let mut input = if self.random.u8(..) < 8 { self.of_tokens() } else { self.chosen().to_vec() };
        for _ in 0..self.random.usize(1..=MAX_STEPS) {
            self.mutate(&mut input);
        }
        input.truncate(self.longest);
        input
    }

    fn chosen(&mut self) -> &[u8] {
        let place = self.random.usize(..self.pool.len());
        &self.pool[place]
    }

    fn of_tokens(&mut self) -> Vec<u8> {
        (0..self.random.usize(1..20)).flat_map(|_| self.token().to_vec()).collect()
    }

    fn token(&mut self) -> &'static [u8] {
        self.random.choice(self.tokens).copied().unwrap_or_default()
    }

    fn mutate(&mut self, input: &mut Vec<u8>) {
        let range = self.range(input);
        match self.random.u8(..12) {
            0 => self.change_bit(input),
            1 => self.change_byte(input),
            2 => drop(input.drain(range)),
            3 => {
                let part = input[range.clone()].to_vec();
                input.splice(range.end..range.end, part);
            }
            4 => {
                let bytes: Vec<u8> = (0..self.random.usize(1..5)).map(|_| self.random.u8(..)).collect();
                input.splice(range.start..range.start, bytes);
            }
            5..=7 => {
                let token = self.token();
                input.splice(range.start..range.start, token.iter().copied());
            }
            8 => {
                let token = self.token();
                input.splice(range, token.iter().copied());
            }
            9 => self.splice(input),
            10 => self.change_digit(input),
            _ => self.exchange(input),
        }
    }

    /// Returns a range of the input, mostly a short one.
    fn range(&mut self, input: &[u8]) -> Range<usize> {
        let begin = self.random.usize(..=input.len());
        let most = if self.random.u8(..8) == 0 { input.len() } else { 16 };
        let length = self.random.usize(..=most.min(input.len() - begin));
        begin..begin + length
    }

    fn change_bit(&mut self, input: &mut [u8]) {
        let bit = 1 << self.random.u8(..8);
        if let Some(place) = self.place(input) {
            input[place] ^= bit;
        }
    }

    fn change_byte(&mut self, input: &mut [u8]) {
        const BYTES: [u8; 12] = [0, 1, 0x7f, 0x80, 0xff, b'\r', b'\n', b' ', b'.', b'-', b'0', b'9'];
        let usual = BYTES[self.random.usize(..BYTES.len())];
        let byte = if self.random.bool() { usual } else { self.random.u8(..) };
        if let Some(place) = self.place(input) {
            input[place] = byte;
        }
    }

    fn change_digit(&mut self, input: &mut [u8]) {
        let digits: Vec<usize> = (0..input.len()).filter(|place| input[*place].is_ascii_digit()).collect();
        let digit = self.random.digit(10) as u8;
        if let Some(place) = self.random.choice(digits) {
            input[place] = digit;
        }
    }

    fn place(&mut self, input: &[u8]) -> Option<usize> {
        (!input.is_empty()).then(|| self.random.usize(..input.len()))
    }

    /// Puts the end of another input behind a beginning of this one.
    fn splice(&mut self, input: &mut Vec<u8>) {
        let begin = self.range(input).start;
        let other = self.chosen().to_vec();
        let from = self.range(&other).start;
        input.truncate(begin);
        input.extend_from_slice(&other[from..]);
    }

    /// Exchanges two parts that stand side by side.
    fn exchange(&mut self, input: &mut [u8]) {
        let range = self.range(input);
        let part = &mut input[range];
        if !part.is_empty() {
            let middle = self.random.usize(..part.len());
            part.rotate_left(middle);
        }
    }
}
