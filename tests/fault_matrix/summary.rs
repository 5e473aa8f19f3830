//! Groups violations by kind.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::cells::Cell;
use crate::judge::Rule;
use crate::run::CellResult;

/// The violations of all cells that ran.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    struck: usize,
    violating: usize,
    kinds: BTreeMap<(Rule, String), Group>,
}

/// Violations of one kind.
#[derive(Debug, Default)]
struct Group {
    cells: usize,
    transports: BTreeSet<String>,
    sharings: BTreeSet<String>,
    /// The first of these cells in the order of the matrix, which has simple cells first.
    first: Option<Example>,
}

#[derive(Debug)]
struct Example {
    index: usize,
    name: String,
    text: String,
    dialogue: Vec<String>,
}

impl Summary {
    /// Adds the result of a cell.
    pub(crate) fn add(&mut self, index: usize, cell: &Cell, result: CellResult) {
        self.struck += usize::from(result.ledger.has_struck);
        self.violating += usize::from(!result.violations.is_empty());
        let mut seen = BTreeSet::new();
        for violation in &result.violations {
            let fault = if cell.is_single() { cell.fault.to_string() } else { "several faults".to_owned() };
            let kind = (violation.rule, fault);
            if !seen.insert(kind.clone()) {
                continue;
            }
            let group = self.kinds.entry(kind).or_default();
            group.cells += 1;
            group.transports.insert(cell.transport.to_string());
            group.sharings.insert(format!("{:?}", cell.sharing));
            if group.first.as_ref().is_none_or(|first| first.index > index) {
                let (name, text) = (cell.to_string(), violation.text.clone());
                group.first = Some(Example { index, name, text, dialogue: result.ledger.dialogue.clone() });
            }
        }
    }

    /// Returns `true` if no rule is broken.
    pub(crate) fn is_clean(&self) -> bool {
        self.kinds.keys().all(|(rule, _)| *rule == Rule::Followed)
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let with_dialogue = std::env::var_os("FAULT_MATRIX").is_some();
        writeln!(f, "the fault struck in {} cells, {} cells have violations", self.struck, self.violating)?;
        for ((rule, fault), group) in &self.kinds {
            let Group { cells, transports, sharings, first } = group;
            writeln!(f, "{rule}: {fault}: {cells} cells, {sharings:?}, {transports:?}")?;
            let Some(first) = first else { continue };
            writeln!(f, "    {}", first.name)?;
            writeln!(f, "    {}", first.text)?;
            for line in first.dialogue.iter().filter(|_| with_dialogue) {
                writeln!(f, "        {}", line.replace("\r\n", " / "))?;
            }
        }
        Ok(())
    }
}
