//! A budget per second, by the arrival times of the requests: there is no other clock here.

/// Units that may be spent: a full second's worth at most, refilled as time goes by. May be overdrawn by one request; what
/// follows waits until the debt is paid.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Budget {
    /// Units times nanoseconds per second, so that slow rates lose nothing to rounding.
    level: i128,
    at_ns: u64,
    started: bool,
}

const SECOND: i128 = 1_000_000_000;

impl Budget {
    /// Spends `amount` at `now_ns` if anything is left of `per_s`; `false`, and nothing is spent, if not.
    pub(crate) fn spend(&mut self, now_ns: u64, per_s: u32, amount: u64) -> bool {
        let full = i128::from(per_s) * SECOND;
        if !self.started {
            (self.started, self.level, self.at_ns) = (true, full, now_ns);
        }
        let elapsed = i128::from(now_ns.saturating_sub(self.at_ns));
        self.at_ns = now_ns; // also when the clock was set back
        self.level = (self.level + elapsed * i128::from(per_s)).min(full);
        if self.level <= 0 {
            return false;
        }
        self.level -= i128::from(amount) * SECOND;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    #[test]
    fn a_second_gives_what_it_should() {
        let mut budget = Budget::default();
        let mut spent = |now| (0..1000).filter(|_| budget.spend(now, 10, 1)).count();
        assert_eq!(spent(5 * S), 10);
        assert_eq!(spent(5 * S + S / 2), 5);
        assert_eq!(spent(9 * S), 10, "unused seconds do not add up");
        assert_eq!(spent(2 * S), 0, "a clock set back gives nothing");
        assert_eq!(spent(3 * S), 10);
    }

    #[test]
    fn a_large_request_passes_and_is_paid_back() {
        let mut budget = Budget::default();
        assert!(budget.spend(0, 100, 350));
        assert!(!budget.spend(2 * S, 100, 1));
        assert!(budget.spend(3 * S, 100, 1));
    }
}
