//! Record types (PROTOCOL "Types").

/// What a record says it is: `type`. The number is stored in [`crate::record::Entry::kind`]; add, never reuse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum EventType {
    /// No type, or one the protocol does not know: such a record is rejected.
    #[default]
    Unknown = 0,
    /// An event.
    Track = 1,
    /// Login: ties the anonymous `original_id` to `distinct_id`.
    TrackSignup = 2,
    /// Adds identities to a user.
    TrackIdBind = 3,
    /// Takes an identity from a user.
    TrackIdUnbind = 4,
    /// Overwrites properties of a user.
    ProfileSet = 5,
    /// Sets properties of a user that are absent.
    ProfileSetOnce = 6,
    /// Adds numbers to properties of a user.
    ProfileIncrement = 7,
    /// Adds text to list properties of a user.
    ProfileAppend = 8,
    /// Removes properties of a user.
    ProfileUnset = 9,
    /// Removes a user's profile.
    ProfileDelete = 10,
    /// Overwrites properties of an item.
    ItemSet = 11,
    /// Removes an item.
    ItemDelete = 12,
    /// Overwrites a detail row (protocol 2.0).
    DetailSet = 13,
    /// Removes a detail row (protocol 2.0).
    DetailDelete = 14,
}

/// Every type with its name on the wire.
const NAMES: [(EventType, &str); 14] = [
    (EventType::Track, "track"),
    (EventType::TrackSignup, "track_signup"),
    (EventType::TrackIdBind, "track_id_bind"),
    (EventType::TrackIdUnbind, "track_id_unbind"),
    (EventType::ProfileSet, "profile_set"),
    (EventType::ProfileSetOnce, "profile_set_once"),
    (EventType::ProfileIncrement, "profile_increment"),
    (EventType::ProfileAppend, "profile_append"),
    (EventType::ProfileUnset, "profile_unset"),
    (EventType::ProfileDelete, "profile_delete"),
    (EventType::ItemSet, "item_set"),
    (EventType::ItemDelete, "item_delete"),
    (EventType::DetailSet, "detail_set"),
    (EventType::DetailDelete, "detail_delete"),
];

impl EventType {
    /// The type of a name on the wire (exact, lower case).
    #[must_use]
    pub fn from_name(name: &[u8]) -> Self {
        let found = NAMES.iter().find(|(_, known)| known.as_bytes() == name);
        found.map_or(Self::Unknown, |(kind, _)| *kind)
    }

    /// The type of a stored number; unknown numbers are [`EventType::Unknown`].
    #[must_use]
    pub fn from_u8(byte: u8) -> Self {
        let found = NAMES.iter().find(|(kind, _)| *kind as u8 == byte);
        found.map_or(Self::Unknown, |(kind, _)| *kind)
    }

    /// Its name on the wire; empty for [`EventType::Unknown`].
    #[must_use]
    pub fn as_str(self) -> &'static str {
        NAMES.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }

    /// Whether it is an event: has a name and happens at a time.
    #[must_use]
    pub fn is_track(self) -> bool {
        matches!(self, Self::Track | Self::TrackSignup | Self::TrackIdBind | Self::TrackIdUnbind)
    }

    /// Whether it is about a thing and not about a user.
    #[must_use]
    pub fn is_item(self) -> bool {
        matches!(self, Self::ItemSet | Self::ItemDelete)
    }

    /// Whether it is a detail row of protocol 2.0.
    #[must_use]
    pub fn is_detail(self) -> bool {
        matches!(self, Self::DetailSet | Self::DetailDelete)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_read_back() {
        for (kind, name) in NAMES {
            assert_eq!(EventType::from_name(name.as_bytes()), kind);
            assert_eq!(EventType::from_u8(kind as u8), kind);
            assert_eq!(kind.as_str(), name);
        }
        assert_eq!(EventType::from_name(b"Track"), EventType::Unknown);
        assert_eq!(EventType::from_u8(200), EventType::Unknown);
    }
}
