//! Server sessions: neighbouring client events of one device, no further apart than the gap. For SDKs that send no
//! `$event_session_id`; a login does not split a session, since the device is asked, not the user.

use hashbrown::HashMap;
use std::collections::VecDeque;
use std::hash::{BuildHasherDefault, Hasher};

/// Devices are hashes already.
#[derive(Clone, Copy, Debug, Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 << 8) | u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

type ByDevice = HashMap<u64, Device, BuildHasherDefault<AsIs>>;

/// Devices and their last session. Pure function of the events it is shown, in order.
#[derive(Debug)]
pub(super) struct Sessions {
    gap_ms: i64,
    devices_max: usize,
    devices: ByDevice,
    /// Devices by age of their session, with the session as it was; an entry whose session has moved on is passed over.
    queue: VecDeque<(u64, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Device {
    pub(super) session: u64,
    pub(super) first_ms: i64,
    pub(super) last_ms: i64,
}

impl Sessions {
    pub(super) fn new(gap_s: u32, devices_max: u32) -> Self {
        Self {
            gap_ms: i64::from(gap_s) * 1000,
            devices_max: devices_max as usize,
            devices: ByDevice::default(),
            queue: VecDeque::new(),
        }
    }

    pub(super) fn is_on(&self) -> bool {
        self.gap_ms > 0 && self.devices_max > 0
    }

    /// The session of an event of `device` at `time_ms`; `fresh` names a new one.
    pub(super) fn assign(&mut self, device: u64, time_ms: i64, fresh: u64) -> u64 {
        if let Some(known) = self.devices.get_mut(&device) {
            let near = time_ms >= known.first_ms.saturating_sub(self.gap_ms)
                && time_ms <= known.last_ms.saturating_add(self.gap_ms);
            if near {
                known.first_ms = known.first_ms.min(time_ms);
                known.last_ms = known.last_ms.max(time_ms);
                return known.session;
            }
        }
        self.insert(device, Device { session: fresh, first_ms: time_ms, last_ms: time_ms });
        fresh
    }

    pub(super) fn insert(&mut self, device: u64, state: Device) {
        while self.devices.len() >= self.devices_max {
            let Some((old, session)) = self.queue.pop_front() else { break };
            if self.devices.get(&old).is_some_and(|known| known.session == session) {
                self.devices.remove(&old);
            }
        }
        self.devices.insert(device, state);
        self.queue.push_back((device, state.session));
        if self.queue.len() > 2 * self.devices_max {
            let devices = &self.devices;
            self.queue.retain(|(device, session)| {
                devices.get(device).is_some_and(|known| known.session == *session)
            });
        }
    }

    /// Devices in the order they would be forgotten.
    pub(super) fn entries(&self) -> impl Iterator<Item = (u64, Device)> {
        self.queue.iter().filter_map(|(device, session)| {
            let known = self.devices.get(device)?;
            (known.session == *session).then_some((*device, *known))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_over_the_gap_starts_a_session() {
        let mut sessions = Sessions::new(1800, 10);
        let minute = 60_000;
        assert_eq!(sessions.assign(1, 0, 100), 100);
        assert_eq!(sessions.assign(1, 30 * minute, 101), 100);
        assert_eq!(sessions.assign(1, 60 * minute, 102), 100);
        assert_eq!(sessions.assign(1, 91 * minute, 103), 103);
        assert_eq!(sessions.assign(2, 91 * minute, 104), 104, "another device");
    }

    #[test]
    fn the_longest_known_session_is_forgotten_first() {
        let mut sessions = Sessions::new(1800, 3);
        for device in 0..10 {
            sessions.assign(device, 0, device);
        }
        let left: Vec<u64> = sessions.entries().map(|(device, _)| device).collect();
        assert_eq!(left, [7, 8, 9]);
    }
}
