//! The book of alerts: what is wrong, since when, and what each robot was told of it. Written down, so that a restart neither tells
//! anything again nor forgets to say that it is over.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::message::Line;
use super::rules::Wrong;
use crate::error::Text;

/// Troubles kept at a time; more than anybody reads.
const ENTRIES_MAX: usize = 1_000;

/// What a robot was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    /// That it is over.
    pub resolved: bool,
    /// When, ms.
    pub at_ms: i64,
}

/// One trouble.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Entry {
    /// Its rule.
    pub rule: String,
    /// Project.
    pub project: String,
    /// Event or sink.
    pub subject: String,
    /// What to tell, as of the last look.
    pub zh: String,
    /// The same in English.
    pub en: String,
    /// Since when it is wrong, ms.
    pub since_ms: i64,
    /// When it was last seen wrong, ms.
    pub seen_ms: i64,
    /// When it was found to be over, ms; 0 = it is not.
    pub resolved_ms: i64,
    /// By robot.
    pub told: BTreeMap<String, Told>,
}

/// All of them, by key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Book(pub BTreeMap<String, Entry>);

impl Book {
    /// Takes in what is wrong now. Something is over once it was not seen for `quiet_ms`: what comes and goes is one trouble.
    /// Returns whether anything began or ended.
    pub(super) fn note(&mut self, wrong: Vec<Wrong>, quiet_ms: i64, now_ms: i64) -> bool {
        let mut changed = false;
        for wrong in wrong {
            if self.0.len() >= ENTRIES_MAX && !self.0.contains_key(&wrong.key) {
                continue;
            }
            let entry = self.0.entry(wrong.key).or_insert_with(|| {
                changed = true;
                Entry { since_ms: now_ms, ..Entry::default() }
            });
            if entry.resolved_ms > 0 {
                // Back: a trouble of its own, if anybody was told it was over.
                changed = true;
                *entry = Entry { since_ms: now_ms, told: again(&entry.told), ..Entry::default() };
            }
            wrong.rule.clone_into(&mut entry.rule);
            (entry.project, entry.subject) = (wrong.project, wrong.subject);
            (entry.zh, entry.en) = (wrong.text.zh, wrong.text.en);
            entry.seen_ms = now_ms;
        }
        for entry in self.0.values_mut().filter(|entry| entry.resolved_ms == 0) {
            if now_ms - entry.seen_ms > quiet_ms {
                entry.resolved_ms = now_ms;
                changed = true;
            }
        }
        changed
    }

    /// What `robot` has to be told: what began, what is over, and after `repeat_ms` (0 = never) what still is.
    #[must_use]
    pub(super) fn due(&self, robot: &str, repeat_ms: i64, now_ms: i64) -> Vec<Line> {
        let due = self.0.iter().filter_map(|(key, entry)| {
            let told = entry.told.get(robot).filter(|told| !told.resolved);
            let state = match (told, entry.resolved_ms > 0) {
                (None, false) => "firing",
                (Some(_), true) => "resolved",
                (Some(told), false) if repeat_ms > 0 && now_ms - told.at_ms >= repeat_ms => "firing",
                _ => return None,
            };
            Some(Line {
                key: key.clone(),
                rule: entry.rule.clone(),
                state,
                project: entry.project.clone(),
                subject: entry.subject.clone(),
                since_ms: entry.since_ms,
                text: Text::new(entry.zh.clone(), entry.en.clone()),
            })
        });
        due.collect()
    }

    /// `robot` took a message with these lines.
    pub(super) fn told(&mut self, robot: &str, lines: &[Line], now_ms: i64) {
        for line in lines {
            if let Some(entry) = self.0.get_mut(&line.key) {
                let resolved = line.state == "resolved";
                entry.told.insert(robot.to_owned(), Told { resolved, at_ms: now_ms });
            }
        }
    }

    /// Forgets what is over and said to all `robots`, or was never told to them.
    pub(super) fn sweep(&mut self, robots: &[&str]) {
        for entry in self.0.values_mut() {
            entry.told.retain(|robot, _| robots.contains(&robot.as_str()));
        }
        self.0.retain(|_, entry| {
            entry.resolved_ms == 0 || entry.told.values().any(|told| !told.resolved)
        });
    }
}

/// Robots that know of it and were not told it was over: for them it is still the same trouble.
fn again(told: &BTreeMap<String, Told>) -> BTreeMap<String, Told> {
    told.iter().filter(|(_, told)| !told.resolved).map(|(robot, told)| (robot.clone(), *told)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(key: &str) -> Wrong {
        Wrong {
            key: key.into(),
            rule: "lag",
            project: String::new(),
            subject: key.into(),
            text: Text::new("坏", "bad"),
        }
    }

    fn states(book: &Book, robot: &str, now_ms: i64) -> Vec<String> {
        let due = book.due(robot, 3_600_000, now_ms);
        due.iter().map(|line| format!("{} {}", line.key, line.state)).collect()
    }

    #[test]
    fn each_robot_is_told_once_that_it_began_and_once_that_it_is_over() {
        let mut book = Book::default();
        assert!(book.note(vec![wrong("a"), wrong("b")], 1000, 1));
        assert!(!book.note(vec![wrong("a"), wrong("b")], 1000, 500));
        assert_eq!(states(&book, "r", 500), ["a firing", "b firing"]);
        let lines = book.due("r", 0, 500);
        book.told("r", &lines, 500);
        assert!(states(&book, "r", 600).is_empty());
        assert_eq!(states(&book, "other", 600).len(), 2, "one that failed is told later");
        // `b` is back within the quiet time: nothing happened.
        assert!(!book.note(vec![wrong("a")], 1000, 1400));
        assert!(!book.note(vec![wrong("a"), wrong("b")], 1000, 1450));
        assert!(book.note(vec![wrong("a")], 1000, 2500));
        assert_eq!(states(&book, "r", 2500), ["b resolved"]);
        assert_eq!(states(&book, "other", 2500), ["a firing"], "what came and went is not told");
        let lines = book.due("r", 0, 2500);
        book.told("r", &lines, 2500);
        book.sweep(&["r", "other"]);
        assert_eq!(book.0.keys().collect::<Vec<_>>(), ["a"]);
        assert_eq!(states(&book, "r", 500 + 3_600_000), ["a firing"], "a reminder");
    }

    #[test]
    fn a_trouble_that_is_back_before_it_was_said_to_be_over_is_the_same_one() {
        let mut book = Book::default();
        book.note(vec![wrong("a")], 0, 1);
        let lines = book.due("r", 0, 1);
        book.told("r", &lines, 1);
        book.note(Vec::new(), 0, 2);
        assert_eq!(states(&book, "r", 2), ["a resolved"]);
        book.note(vec![wrong("a")], 0, 3);
        assert!(states(&book, "r", 3).is_empty());
        book.note(Vec::new(), 0, 4);
        let lines = book.due("r", 0, 4);
        book.told("r", &lines, 4);
        book.note(vec![wrong("a")], 0, 5);
        assert_eq!(states(&book, "r", 5), ["a firing"], "after that it is a new one");
    }

    #[test]
    fn it_outlives_a_restart_and_forgets_robots_that_are_gone() {
        let mut book = Book::default();
        book.note(vec![wrong("a")], 0, 1);
        let lines = book.due("r", 0, 1);
        book.told("r", &lines, 1);
        let text = serde_json::to_string(&book).unwrap();
        let mut book: Book = serde_json::from_str(&text).unwrap();
        assert!(states(&book, "r", 2).is_empty());
        book.note(Vec::new(), 0, 2);
        book.sweep(&["other"]);
        assert!(book.0.is_empty());
    }
}
