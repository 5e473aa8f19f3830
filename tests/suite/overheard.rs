//! What an observer hears of dialogues, against what a script has of them: a script alone takes from a client that is too early
//! what it would take from one that waits.

use std::sync::Mutex;

use nexthop::{Event, Observer};

/// Who spoke in turn on each connection.
#[derive(Debug, Default)]
pub(crate) struct Overheard(Mutex<Vec<String>>);

impl Observer for Overheard {
    fn observe(&self, event: &Event<'_>) {
        let mut heard = self.0.lock().unwrap();
        match event {
            Event::Connected { .. } => heard.push(String::new()),
            Event::Sent { .. } => add(heard.last_mut().unwrap(), 'C'),
            Event::Received { .. } => add(heard.last_mut().unwrap(), 'S'),
            _ => {}
        }
    }
}

impl Overheard {
    /// Client and server took turns as in the script; where that breaks off, as far as they came.
    pub(crate) fn assert_as_in(&self, dialogues: &[&str]) {
        let heard = self.0.lock().unwrap();
        assert_eq!(heard.len(), dialogues.len(), "connections");
        for (heard, dialogue) in heard.iter().zip(dialogues) {
            let written = turns(dialogue);
            let breaks_off =
                ["<close>", "<reset>", "<silence>", "<rest>"].iter().any(|end| dialogue.contains(end));
            match breaks_off {
                true => assert!(written.starts_with(heard.as_str()), "{heard} and not {written}: {dialogue}"),
                false => assert_eq!(*heard, written, "{dialogue}"),
            }
        }
    }
}

fn add(turns: &mut String, who: char) {
    if !turns.ends_with(who) {
        turns.push(who);
    }
}

fn turns(dialogue: &str) -> String {
    let mut turns = String::new();
    let is_said = |line: &&str| {
        !line.contains('<') || line.contains(":<") || line.contains("<raw") || line.contains("<content")
    };
    dialogue
        .lines()
        .filter(is_said)
        .filter_map(|line| line.chars().next())
        .for_each(|who| add(&mut turns, who));
    turns
}
