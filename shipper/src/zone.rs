//! The project's time zone: which `dt=` and `hour=` a moment belongs to.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::collections::HashMap;

/// Quarters of an hour remembered; zones shift by quarters, so a quarter lies in one hour of any of them.
const CACHE_MAX: usize = 4096;
const QUARTER_MS: i64 = 900_000;

/// A day and an hour of the wall clock in the zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hour {
    /// Year.
    pub year: i16,
    /// Month, 1–12.
    pub month: i8,
    /// Day, 1–31.
    pub day: i8,
    /// Hour, 0–23.
    pub hour: i8,
}

impl Hour {
    /// `dt=YYYY-MM-DD`.
    #[must_use]
    pub fn dt(&self) -> String {
        format!("dt={:04}-{:02}-{:02}", self.year, self.month, self.day)
    }

    /// `hour=HH`.
    #[must_use]
    pub fn hour(&self) -> String {
        format!("hour={:02}", self.hour)
    }

    /// The day, counted from 1970-01-01; 0 for days before.
    #[must_use]
    pub fn days(&self) -> u32 {
        let date = jiff::civil::Date::new(self.year, self.month, self.day).ok();
        let second = date.and_then(|date| date.to_zoned(TimeZone::UTC).ok());
        let days = second.map_or(0, |zoned| zoned.timestamp().as_second().div_euclid(86_400));
        u32::try_from(days).unwrap_or(0)
    }

    /// Reads the names of two folders back.
    #[must_use]
    pub fn parse(dt: &str, hour: &str) -> Option<Self> {
        let day: jiff::civil::Date = dt.strip_prefix("dt=")?.parse().ok()?;
        let hour = hour.strip_prefix("hour=")?.parse().ok().filter(|h| (0..24).contains(h))?;
        Some(Self { year: day.year(), month: day.month(), day: day.day(), hour })
    }
}

/// A zone with the hours it was asked lately.
#[derive(Clone, Debug)]
pub struct Zone {
    name: String,
    zone: TimeZone,
    cache: HashMap<i64, Hour>,
}

impl Zone {
    /// The zone of that IANA name.
    ///
    /// # Errors
    /// A sentence that says what to write.
    pub fn named(name: &str) -> Result<Self, String> {
        let zone = TimeZone::get(name).map_err(|_| {
            format!(
                "`{name}` is no time zone; write an IANA name such as \"Asia/Shanghai\" or \"UTC\""
            )
        })?;
        Ok(Self { name: name.to_owned(), zone, cache: HashMap::new() })
    }

    /// The system's zone; UTC if the system does not say.
    #[must_use]
    pub fn system() -> Self {
        let zone = TimeZone::system();
        match zone.iana_name().map(str::to_owned) {
            Some(name) => Self { name, zone, cache: HashMap::new() },
            None => Self { name: "UTC".to_owned(), zone: TimeZone::UTC, cache: HashMap::new() },
        }
    }

    /// Its IANA name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The hour a moment (ms since 1970) belongs to. Moments no calendar knows belong to 1970.
    pub fn hour(&mut self, ms: i64) -> Hour {
        let quarter = ms.div_euclid(QUARTER_MS);
        if let Some(hour) = self.cache.get(&quarter) {
            return *hour;
        }
        let moment = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
        let local = self.zone.to_datetime(moment);
        let hour =
            Hour { year: local.year(), month: local.month(), day: local.day(), hour: local.hour() };
        // Historical offsets may have odd minutes: then a quarter spans two hours and must not be remembered.
        let offset = self.zone.to_offset(moment).seconds();
        if i64::from(offset) % (QUARTER_MS / 1000) == 0 {
            if self.cache.len() >= CACHE_MAX {
                self.cache.clear();
            }
            self.cache.insert(quarter, hour);
        }
        hour
    }

    /// First moment (ms) after the hour's end; `None` for an hour no calendar knows. An hour the clocks repeat ends after its
    /// second pass.
    #[must_use]
    pub fn end_ms(&self, hour: Hour) -> Option<i64> {
        let local = jiff::civil::DateTime::new(
            hour.year,
            hour.month,
            hour.day,
            hour.hour,
            59,
            59,
            999_000_000,
        )
        .ok()?;
        let moment = self.zone.to_ambiguous_timestamp(local).later().ok()?;
        Some(moment.as_millisecond() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shanghai_is_ahead_of_utc() {
        let mut zone = Zone::named("Asia/Shanghai").unwrap();
        // 2026-11-24 16:30 UTC
        let ms = 1_795_537_800_000;
        let hour = zone.hour(ms);
        assert_eq!((hour.dt().as_str(), hour.hour().as_str()), ("dt=2026-11-25", "hour=00"));
        assert_eq!(zone.end_ms(hour), Some(ms + 30 * 60_000));
        assert_eq!(Hour::parse("dt=2026-11-25", "hour=00"), Some(hour));
        assert_eq!(Hour::parse("dt=2026-11-25", "hour=24"), None);
        let mut utc = Zone::named("UTC").unwrap();
        assert_eq!(utc.hour(ms).hour(), "hour=16");
        assert!(Zone::named("Mars/Olympus").unwrap_err().contains("Asia/Shanghai"));
    }

    #[test]
    fn an_hour_the_clocks_repeat_ends_after_the_second_pass() {
        let mut zone = Zone::named("Europe/Berlin").unwrap();
        // 2026-10-25 00:30 UTC is 02:30 summer time; 01:30 UTC is 02:30 winter time.
        let first = 1_792_888_200_000;
        let (a, b) = (zone.hour(first), zone.hour(first + 3_600_000));
        assert_eq!(a, b);
        assert_eq!(zone.end_ms(a), Some(first + 3_600_000 + 30 * 60_000));
    }

    #[test]
    fn any_moment_has_an_hour() {
        let mut zone = Zone::named("Asia/Kathmandu").unwrap();
        for ms in [i64::MIN, -1, 0, i64::MAX] {
            let _ = zone.hour(ms);
        }
    }
}
