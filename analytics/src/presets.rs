//! Preset properties with a column of their own, for filters and groups.

/// What a preset's column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Text; empty where the SDK sent none.
    Word,
    /// A number; 0 where the SDK sent none.
    Number,
}

use Holds::{Number, Word};

/// Property, column, what it holds.
pub const PRESETS: &[(&str, &str, Holds)] = &[
    ("$lib", "lib", Word),
    ("$lib_version", "lib_version", Word),
    ("$lib_method", "lib_method", Word),
    ("$app_id", "app_id", Word),
    ("$app_name", "app_name", Word),
    ("$app_version", "app_version", Word),
    ("$os", "os", Word),
    ("$os_version", "os_version", Word),
    ("$manufacturer", "manufacturer", Word),
    ("$brand", "brand", Word),
    ("$model", "model", Word),
    ("$device_id", "device_id", Word),
    ("$screen_width", "screen_width", Number),
    ("$screen_height", "screen_height", Number),
    ("$screen_orientation", "screen_orientation", Word),
    ("$viewport_width", "viewport_width", Number),
    ("$viewport_height", "viewport_height", Number),
    ("$browser", "browser", Word),
    ("$browser_version", "browser_version", Word),
    ("$browser_language", "browser_language", Word),
    ("$user_agent", "user_agent", Word),
    ("$is_bot", "is_bot", Number),
    ("$network_type", "network_type", Word),
    ("$carrier", "carrier", Word),
    ("$wifi", "wifi", Number),
    ("$timezone_offset", "timezone_offset", Number),
    ("$is_first_day", "is_first_day", Number),
    ("$is_first_time", "is_first_time", Number),
    ("$ip", "ip", Word),
    ("$country", "country", Word),
    ("$province", "province", Word),
    ("$city", "city", Word),
    ("$url", "url", Word),
    ("$url_host", "url_host", Word),
    ("$url_path", "url_path", Word),
    ("$url_query", "url_query", Word),
    ("$title", "title", Word),
    ("$screen_name", "screen_name", Word),
    ("$referrer", "referrer", Word),
    ("$referrer_host", "referrer_host", Word),
    ("$utm_source", "utm_source", Word),
    ("$utm_medium", "utm_medium", Word),
    ("$utm_campaign", "utm_campaign", Word),
    ("$utm_content", "utm_content", Word),
    ("$utm_term", "utm_term", Word),
    ("$latest_traffic_source_type", "traffic_source", Word),
    ("$scene", "scene", Word),
    ("$element_id", "element_id", Word),
    ("$element_type", "element_type", Word),
    ("$element_content", "element_content", Word),
    ("$event_session_id", "session_id", Word),
    ("event_duration", "event_duration", Number),
];

/// Column of a preset property.
#[must_use]
pub fn column(property: &str) -> Option<(&'static str, Holds)> {
    PRESETS.iter().find(|(name, ..)| *name == property).map(|(_, column, holds)| (*column, *holds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_column_in_the_schema() {
        let schema = include_str!("../sql/001_events.sql");
        for (property, column, _) in PRESETS {
            assert!(schema.contains(&format!("\n    {column} ")), "{property}");
        }
    }
}
