//! `tusk compare`: events of an old chain beside those of this one. Which are in both, which in one alone.
//!
//! Two events are the same if type, name, user, time and `_track_id` are; without `_track_id` their own properties (those without `$`)
//! have to be the same too. What a chain adds on its way (receive time, address, presets) therefore makes no difference. Keys are
//! spread over files by their hash, so memory is a small part of the data, whatever its size.

mod key;
mod spill;

use crate::zone::Zone;
use key::Event;
use serde::Serialize;
use spill::{Entry, Spill};
use std::collections::HashMap;
use std::io;
use std::path::Path;

/// Groups told apart at most; the rest are one.
const GROUPS_MAX: usize = 50_000;

/// One of the two chains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one it is compared with.
    Old,
    /// Ours.
    New,
}

/// What events are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Name of the event; of profiles and items the type.
    Event,
    /// Day of its `time`.
    Day,
    /// `lib.$lib`
    Lib,
}

/// What is compared.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What events are grouped by.
    pub by: Vec<By>,
    /// Only events of this `time` or later, ms …
    pub since_ms: Option<i64>,
    /// … and before this.
    pub until_ms: Option<i64>,
    /// Zone of days.
    pub zone: Zone,
    /// Samples per group and side at most.
    pub samples: usize,
}

/// One group's counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Group {
    /// One value for each thing grouped by.
    pub name: Vec<String>,
    /// Events of the old chain.
    pub old: u64,
    /// Events of ours.
    pub new: u64,
    /// In both.
    pub both: u64,
    /// In the old one alone.
    pub only_old: u64,
    /// In ours alone.
    pub only_new: u64,
    /// Where some of `only_old` stand.
    pub samples_old: Vec<Sample>,
    /// Where some of `only_new` stand.
    pub samples_new: Vec<Sample>,
}

/// Where an event stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// File or topic.
    pub source: String,
    /// Line, from 1; of a topic: record read.
    pub line: u64,
    /// Its user.
    pub user: String,
}

/// What came out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Groups, those with the most differences first.
    pub groups: Vec<Group>,
    /// Their sum.
    pub total: Group,
    /// Lines of the old chain that are no event.
    pub unreadable_old: u64,
    /// Lines of ours that are no event.
    pub unreadable_new: u64,
    /// Events outside the time asked for, on both sides.
    pub outside: u64,
}

/// A comparison under way.
#[derive(Debug)]
pub struct Compare {
    plan: Plan,
    spill: Spill,
    groups: HashMap<Vec<String>, u32>,
    names: Vec<Vec<String>>,
    sources: Vec<String>,
    report: Report,
}

impl Compare {
    /// Begins one, with its files in a new folder under `temp`, which goes when it ends.
    ///
    /// # Errors
    /// The folder's.
    pub fn new(plan: Plan, temp: &Path) -> io::Result<Self> {
        Ok(Self {
            plan,
            spill: Spill::new(temp)?,
            groups: HashMap::new(),
            names: Vec::new(),
            sources: Vec::new(),
            report: Report::default(),
        })
    }

    /// Names where the lines to come stand.
    pub fn source(&mut self, name: &str) {
        self.sources.push(name.to_owned());
    }

    /// Takes a line: an event, or a list of them.
    ///
    /// # Errors
    /// The spill files'.
    pub fn line(&mut self, side: Side, number: u64, line: &[u8]) -> io::Result<()> {
        let line = line.trim_ascii();
        if line.is_empty() {
            return Ok(());
        }
        let Some(events) = key::read(line) else {
            match side {
                Side::Old => self.report.unreadable_old += 1,
                Side::New => self.report.unreadable_new += 1,
            }
            return Ok(());
        };
        for event in &events {
            let early = self.plan.since_ms.is_some_and(|since| event.time_ms < since);
            let late = self.plan.until_ms.is_some_and(|until| event.time_ms >= until);
            if early || late {
                self.report.outside += 1;
                continue;
            }
            let group = self.group(event);
            let source = u32::try_from(self.sources.len().saturating_sub(1)).unwrap_or(u32::MAX);
            let user = event.user.clone();
            self.spill.put(&Entry { key: event.key, side, group, source, line: number, user })?;
        }
        Ok(())
    }

    fn group(&mut self, event: &Event) -> u32 {
        let mut name = Vec::with_capacity(self.plan.by.len());
        for by in &self.plan.by {
            name.push(match by {
                By::Event => event.name.clone(),
                By::Day => self.plan.zone.hour(event.time_ms).dt().replace("dt=", ""),
                By::Lib => event.lib.clone(),
            });
        }
        if let Some(group) = self.groups.get(&name) {
            return *group;
        }
        if self.names.len() >= GROUPS_MAX {
            name = vec!["…".to_owned(); self.plan.by.len()];
        }
        let next = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        let group = *self.groups.entry(name.clone()).or_insert(next);
        if group == next {
            self.names.push(name);
        }
        group
    }

    /// Compares what was taken. `tell` is called with the part done, 0 to 1.
    ///
    /// # Errors
    /// The spill files'.
    pub fn finish(self, tell: &mut dyn FnMut(f64)) -> io::Result<Report> {
        let Self { plan, spill, names, sources, mut report, .. } = self;
        let mut groups: Vec<Group> =
            names.into_iter().map(|name| Group { name, ..Group::default() }).collect();
        spill.each(
            &mut |entries| {
                entries.sort_by_key(|entry| entry.key);
                for same in entries.chunk_by(|a, b| a.key == b.key) {
                    count(same, &mut groups, &sources, plan.samples);
                }
            },
            tell,
        )?;
        for group in &groups {
            report.total.old += group.old;
            report.total.new += group.new;
            report.total.both += group.both;
            report.total.only_old += group.only_old;
            report.total.only_new += group.only_new;
        }
        groups.sort_by(|a, b| {
            let differences = |group: &Group| group.only_old + group.only_new;
            differences(b).cmp(&differences(a)).then_with(|| a.name.cmp(&b.name))
        });
        report.groups = groups;
        Ok(report)
    }
}

/// Counts the events of one key: as many as are on both sides are the same ones.
fn count(same: &[Entry], groups: &mut [Group], sources: &[String], samples: usize) {
    let of = |side: Side| same.iter().filter(move |entry| entry.side == side);
    let both = of(Side::Old).count().min(of(Side::New).count());
    for side in [Side::Old, Side::New] {
        for (i, entry) in of(side).enumerate() {
            let Some(group) = groups.get_mut(entry.group as usize) else { continue };
            let alone = i >= both;
            match side {
                Side::Old => {
                    group.old += 1;
                    group.both += u64::from(!alone);
                    group.only_old += u64::from(alone);
                }
                Side::New => {
                    group.new += 1;
                    group.only_new += u64::from(alone);
                }
            }
            let list = match side {
                Side::Old => &mut group.samples_old,
                Side::New => &mut group.samples_new,
            };
            if alone && list.len() < samples {
                let source = sources.get(entry.source as usize).cloned().unwrap_or_default();
                list.push(Sample { source, line: entry.line, user: entry.user.clone() });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, track: Option<u64>, more: &str) -> String {
        let track = track.map(|id| format!("\"_track_id\":{id},")).unwrap_or_default();
        format!(
            r#"{{"type":"track","event":"{name}","distinct_id":"u1","time":1795537800000,{track}"lib":{{"$lib":"js"}},"properties":{{"n":1{more}}}}}"#
        )
    }

    fn compare(old: &[String], new: &[String]) -> Report {
        let plan = Plan {
            by: vec![By::Event, By::Day, By::Lib],
            since_ms: None,
            until_ms: None,
            zone: Zone::named("Asia/Shanghai").unwrap(),
            samples: 2,
        };
        let mut compare = Compare::new(plan, &std::env::temp_dir()).unwrap();
        for (side, lines) in [(Side::Old, old), (Side::New, new)] {
            compare.source(if side == Side::Old { "old" } else { "new" });
            for (i, line) in lines.iter().enumerate() {
                compare.line(side, i as u64 + 1, line.as_bytes()).unwrap();
            }
        }
        compare.finish(&mut |_| {}).unwrap()
    }

    #[test]
    fn what_a_chain_adds_makes_no_difference_and_what_is_missing_is_named() {
        let old = [
            event("Buy", Some(1), r#","$city":"x""#),
            event("Buy", Some(2), ""),
            event("View", None, r#","$ip":"1.2.3.4""#),
            event("View", None, ""),
            "not json".to_owned(),
        ];
        let mut ours = event("Buy", Some(1), "");
        ours.insert_str(ours.len() - 1, r#","_server":{"lsn":7}"#);
        let new = [ours, event("View", None, ""), event("Extra", Some(9), "")];
        let report = compare(&old, &new);
        let Group { old, new, both, only_old, only_new, .. } = &report.total;
        assert_eq!((*old, *new, *both, *only_old, *only_new), (4, 3, 2, 2, 1));
        assert_eq!(report.unreadable_old, 1);
        let buy = report.groups.iter().find(|group| group.name[0] == "Buy").unwrap();
        assert_eq!(buy.name, ["Buy", "2026-11-25", "js"]);
        assert_eq!((buy.both, buy.only_old, buy.only_new), (1, 1, 0));
        let sample = Sample { source: "old".into(), line: 2, user: "u1".into() };
        assert_eq!(buy.samples_old, [sample]);
    }

    #[test]
    fn writings_of_the_same_event_are_the_same() {
        let escaped = event("Buy", Some(1), "")
            .replace("Buy", r"\u0042uy")
            .replace(":1795537800000", ": 1795537800000");
        let report = compare(&[event("Buy", Some(1), "")], &[escaped]);
        assert_eq!((report.total.both, report.total.only_old, report.total.only_new), (1, 0, 0));
        let listed = format!("[{},{}]", event("Buy", Some(1), ""), event("Buy", Some(2), ""));
        let report = compare(&[listed], &[event("Buy", Some(2), "")]);
        assert_eq!((report.total.both, report.total.only_old), (1, 1));
    }
}
