//! Sessions, invitations and the delay of wrong passwords; in memory: a restart logs everybody out.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::random::{same, token};
use crate::settings::Role;

/// Sessions at a time; the longest idle goes first.
const SESSIONS_MAX: usize = 1_000;
/// Invitations open at a time.
const INVITES_MAX: usize = 16;
/// How long an invitation is good for.
const INVITE_LIFE: Duration = Duration::from_secs(600);
/// Longest delay of a wrong password.
const DELAY_MAX: Duration = Duration::from_secs(5);
/// Logins that may wait at a time; more are refused at once.
const WAITING_MAX: u32 = 4;
/// After so long without a failure the delay is gone.
const FORGET: Duration = Duration::from_secs(600);

/// Somebody who logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// User's name.
    pub user: String,
    /// What they may do.
    pub role: Role,
    /// What an action must bring in `x-tusk-token`.
    pub action: String,
    seen: Instant,
}

#[derive(Debug, Default)]
struct State {
    sessions: HashMap<String, Session>,
    invites: Vec<(String, Instant)>,
    failures: u32,
    failed_at: Option<Instant>,
    waiting: u32,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Sessions(Mutex<State>);

impl Sessions {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new session, always under a new name: an id somebody else planted is worth nothing. Returns the cookie's value.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn open(&self, user: &str, role: Role) -> Result<String, String> {
        let (id, action) = (token()?, token()?);
        let mut state = self.state();
        if state.sessions.len() >= SESSIONS_MAX {
            let oldest = state.sessions.iter().min_by_key(|(_, session)| session.seen);
            if let Some(id) = oldest.map(|(id, _)| id.clone()) {
                state.sessions.remove(&id);
            }
        }
        let session = Session { user: user.to_owned(), role, action, seen: Instant::now() };
        state.sessions.insert(id.clone(), session);
        Ok(id)
    }

    /// The session of a cookie, if it is not idle for longer than `idle`.
    #[must_use]
    pub fn find(&self, id: &str, idle: Duration) -> Option<Session> {
        let mut state = self.state();
        let session = state.sessions.get_mut(id)?;
        if session.seen.elapsed() > idle {
            state.sessions.remove(id);
            return None;
        }
        session.seen = Instant::now();
        Some(session.clone())
    }

    /// Ends one.
    pub fn close(&self, id: &str) {
        self.state().sessions.remove(id);
    }

    /// A one-time key; empty if the system has no randomness, which no invitation equals.
    #[must_use]
    pub fn invite(&self) -> String {
        let Ok(key) = token() else { return String::new() };
        let mut state = self.state();
        if state.invites.len() >= INVITES_MAX {
            state.invites.remove(0);
        }
        state.invites.push((key.clone(), Instant::now()));
        key
    }

    /// Whether the key was an invitation; it is none afterwards.
    #[must_use]
    pub fn accept(&self, key: &str) -> bool {
        let mut state = self.state();
        state.invites.retain(|(_, at)| at.elapsed() < INVITE_LIFE);
        let found = state.invites.iter().position(|(invite, _)| same(invite, key));
        found.map(|at| state.invites.remove(at)).is_some()
    }

    /// How long this try must wait before it is looked at; `None`: too many wait. Call [`Sessions::tried`] afterwards.
    #[must_use]
    pub fn delay(&self) -> Option<Duration> {
        let mut state = self.state();
        if state.waiting >= WAITING_MAX {
            return None;
        }
        if state.failed_at.is_some_and(|at| at.elapsed() > FORGET) {
            state.failures = 0;
        }
        state.waiting += 1;
        Some(match state.failures {
            0..3 => Duration::ZERO,
            many => (Duration::from_millis(100) * 2_u32.pow((many - 3).min(6))).min(DELAY_MAX),
        })
    }

    /// What came of it.
    pub fn tried(&self, well: bool) {
        let mut state = self.state();
        state.waiting = state.waiting.saturating_sub(1);
        if well {
            state.failures = 0;
        } else {
            state.failures = state.failures.saturating_add(1);
            state.failed_at = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn every_login_is_a_session_of_a_new_name() {
        let sessions = Sessions::default();
        let one = sessions.open("a", Role::View).unwrap();
        let two = sessions.open("a", Role::View).unwrap();
        assert_ne!(one, two);
        assert_ne!(
            sessions.find(&one, HOUR).unwrap().action,
            sessions.find(&two, HOUR).unwrap().action
        );
        sessions.close(&one);
        assert!(sessions.find(&one, HOUR).is_none());
        assert!(sessions.find(&two, Duration::ZERO).is_none());
    }

    #[test]
    fn an_invitation_is_good_once() {
        let sessions = Sessions::default();
        let key = sessions.invite();
        assert!(!sessions.accept("") && !sessions.accept("x"));
        assert!(sessions.accept(&key));
        assert!(!sessions.accept(&key));
    }

    #[test]
    fn wrong_passwords_wait_longer_and_longer_and_a_crowd_is_refused() {
        let sessions = Sessions::default();
        let mut delays = Vec::new();
        for _ in 0..12 {
            delays.push(sessions.delay().unwrap());
            sessions.tried(false);
        }
        assert_eq!(delays[2], Duration::ZERO);
        assert!(delays.is_sorted() && delays[11] == DELAY_MAX, "{delays:?}");
        for _ in 0..WAITING_MAX {
            assert!(sessions.delay().is_some());
        }
        assert_eq!(sessions.delay(), None);
    }

    #[test]
    fn sessions_are_bounded() {
        let sessions = Sessions::default();
        let first = sessions.open("a", Role::View).unwrap();
        for _ in 0..SESSIONS_MAX {
            sessions.open("b", Role::View).unwrap();
        }
        assert!(sessions.find(&first, HOUR).is_none());
    }
}
