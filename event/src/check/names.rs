//! Names: which members the checks look at, which words are reserved, which name repeats.

use std::borrow::Cow;

use crate::json::{is_name, unescape};

/// A member that is looked at. The first ones are top-level names, then those of `lib`, then those of `properties`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Field {
    Type,
    Event,
    DistinctId,
    OriginalId,
    LoginId,
    AnonymousId,
    Identities,
    Time,
    FlushTime,
    TrackId,
    Lib,
    Properties,
    Project,
    Token,
    ItemType,
    ItemId,
    TimeFree,
    Version,
    Schema,
    Id,
    Server,
    Ekey,
    Pkv,
    KeyId,
    Payload,
    Payloads,
    EnvelopeFlushTime,
    LibName,
    LibVersion,
    LibMethod,
    LibAppVersion,
    PropertyProject,
    PropertyToken,
    PropertyAppVersion,
}

/// What a name is, as one byte that a memo can hold: a [`Field`], or [`NO_FIELD`].
pub(super) type Tag = u8;

/// A name the checks do not look at.
pub(super) const NO_FIELD: Tag = 63;

const _: () = assert!((Field::PropertyAppVersion as u8) < NO_FIELD);

/// The tag of a top-level name.
#[inline(always)]
pub(super) fn tag(name: &[u8]) -> Tag {
    field(name).map_or(NO_FIELD, |field| field as Tag)
}

impl Field {
    /// Its place in a JSON pointer, without the leading slash.
    pub(super) fn pointer(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Event => "event",
            Self::DistinctId => "distinct_id",
            Self::OriginalId => "original_id",
            Self::Identities => "identities",
            Self::Time => "time",
            Self::Properties => "properties",
            Self::Project => "project",
            Self::Token => "token",
            Self::ItemType => "item_type",
            Self::ItemId => "item_id",
            Self::Id => "id",
            Self::Server => "_server",
            Self::PropertyProject => "properties/$project",
            Self::PropertyToken => "properties/$token",
            _ => "",
        }
    }
}

/// The field of a top-level name.
#[inline(always)]
fn field(name: &[u8]) -> Option<Field> {
    let (same, field) = match name.len() {
        2 => (name == b"id", Field::Id),
        3 => match name[0] {
            b'l' => (name == b"lib", Field::Lib),
            _ => (name == b"pkv", Field::Pkv),
        },
        4 => match name[1] {
            b'y' => (name == b"type", Field::Type),
            b'i' => (name == b"time", Field::Time),
            _ => (name == b"ekey", Field::Ekey),
        },
        5 => match name[0] {
            b'e' => (name == b"event", Field::Event),
            _ => (name == b"token", Field::Token),
        },
        6 => match name[0] {
            b's' => (name == b"schema", Field::Schema),
            _ => (name == b"key_id", Field::KeyId),
        },
        7 => match name[3] {
            b'j' => (name == b"project", Field::Project),
            b'm' => (name == b"item_id", Field::ItemId),
            b'r' => (name == b"_server", Field::Server),
            b's' => (name == b"version", Field::Version),
            _ => (name == b"payload", Field::Payload),
        },
        8 => match name[0] {
            b'l' => (name == b"login_id", Field::LoginId),
            _ => (name == b"payloads", Field::Payloads),
        },
        9 => match name[0] {
            b'_' => (name == b"_track_id", Field::TrackId),
            b'i' => (name == b"item_type", Field::ItemType),
            _ => (name == b"time_free", Field::TimeFree),
        },
        10 => match name[0] {
            b'p' => (name == b"properties", Field::Properties),
            b'i' => (name == b"identities", Field::Identities),
            _ => (name == b"flush_time", Field::EnvelopeFlushTime),
        },
        11 => match name[0] {
            b'd' => (name == b"distinct_id", Field::DistinctId),
            b'_' => (name == b"_flush_time", Field::FlushTime),
            _ => (name == b"original_id", Field::OriginalId),
        },
        12 => (name == b"anonymous_id", Field::AnonymousId),
        _ => return None,
    };
    same.then_some(field)
}

/// The tag of a member of `lib`.
#[inline(always)]
pub(super) fn lib_tag(name: &[u8]) -> Tag {
    let (same, field) = match name.len() {
        4 => (name == b"$lib", Field::LibName),
        11 => (name == b"$lib_method", Field::LibMethod),
        12 => match name[1] {
            b'l' => (name == b"$lib_version", Field::LibVersion),
            _ => (name == b"$app_version", Field::LibAppVersion),
        },
        _ => return NO_FIELD,
    };
    if same { field as Tag } else { NO_FIELD }
}

/// The tag of a property with a legal name.
#[inline(always)]
pub(super) fn property_tag(name: &[u8]) -> Tag {
    let (same, field) = match name.len() {
        6 => (name == b"$token", Field::PropertyToken),
        8 => (name == b"$project", Field::PropertyProject),
        12 => (name == b"$app_version", Field::PropertyAppVersion),
        _ => return NO_FIELD,
    };
    if same { field as Tag } else { NO_FIELD }
}

/// The reserved word of a length and a first letter (lower case), if there is one: each such pair stands for one word.
#[inline(always)]
const fn reserved(length: usize, first: u8) -> Option<&'static str> {
    Some(match (length, first) {
        (2, b'i') => "id",
        (4, b't') => "time",
        (4, b'd') => "date",
        (5, b'e') => "event",
        (5, b'u') => "users",
        (6, b'e') => "events",
        (7, b'u') => "user_id",
        (8, b'f') => "first_id",
        (8, b'd') => "datetime",
        (9, b's') => "second_id",
        (10, b'p') => "properties",
        (11, b'd') => "distinct_id",
        (11, b'o') => "original_id",
        _ => return None,
    })
}

/// Starts of names that are reserved whatever follows.
const PREFIXES: [&str; 2] = ["user_tag", "user_group"];

/// Whether `name` is reserved, in any case of letters.
#[inline(always)]
pub(super) fn is_reserved(name: &[u8]) -> bool {
    // Most names start with `$`.
    let Some(first) = name.first().map(|first| first | 0x20).filter(u8::is_ascii_lowercase) else {
        return false;
    };
    if let Some(word) = reserved(name.len(), first)
        && name.eq_ignore_ascii_case(word.as_bytes())
    {
        return true;
    }
    first == b'u' && name.len() >= PREFIXES[0].len() && has_reserved_start(name)
}

#[cold]
#[inline(never)]
fn has_reserved_start(name: &[u8]) -> bool {
    PREFIXES.iter().any(|word| {
        name.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word.as_bytes()))
    })
}

/// Whether `name` (escapes undone) may name an event, a property or an item type: a letter, `_` or `$`, then letters,
/// digits, `_`, `$`; not reserved; at most `chars_max` characters.
pub(super) fn is_legal(name: &[u8], chars_max: u32) -> bool {
    is_legal_in(name, 0, name.len(), chars_max)
}

/// [`is_legal`] of `text[at..end]`; quicker, since it may look 16 bytes ahead.
#[inline(always)]
pub(super) fn is_legal_in(text: &[u8], at: usize, end: usize, chars_max: u32) -> bool {
    is_name(text, at, end) && end - at <= chars_max as usize && !is_reserved(&text[at..end])
}

/// A name that stands twice in `names`, if any. Sorts large lists, so that a hostile event costs n log n.
#[cold]
#[inline(never)]
pub(super) fn repeated(text: &[u8], names: &mut [(u32, u32, bool)]) -> Option<(u32, u32)> {
    let of = |name: &(u32, u32, bool)| -> Cow<'_, [u8]> {
        let raw = text.get(name.0 as usize..name.1 as usize).unwrap_or_default();
        if name.2 { unescape(raw) } else { Cow::Borrowed(raw) }
    };
    if names.len() > 8 {
        names.sort_unstable_by(|a, b| of(a).cmp(&of(b)).then(a.0.cmp(&b.0)));
        let pair = names.windows(2).find(|pair| of(&pair[0]) == of(&pair[1]))?;
        return Some((pair[1].0, pair[1].1));
    }
    for (i, name) in names.iter().enumerate() {
        if names[..i].iter().any(|before| of(before) == of(name)) {
            return Some((name.0, name.1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_found_by_its_name_and_nothing_else() {
        let top = [
            "type",
            "event",
            "distinct_id",
            "original_id",
            "login_id",
            "anonymous_id",
            "identities",
            "time",
            "_flush_time",
            "_track_id",
            "lib",
            "properties",
            "project",
            "token",
            "item_type",
            "item_id",
            "time_free",
            "version",
            "schema",
            "id",
            "_server",
            "ekey",
            "pkv",
            "key_id",
            "payload",
            "payloads",
            "flush_time",
        ];
        for (number, name) in top.iter().enumerate() {
            assert_eq!(field(name.as_bytes()).map(|f| f as usize), Some(number), "{name}");
            for i in 0..name.len() {
                let mut other = name.as_bytes().to_vec();
                other[i] ^= 1;
                assert_eq!(field(&other), None);
            }
            assert_eq!(
                field(&name.as_bytes()[1..]).map(|_| ()),
                top.contains(&&name[1..]).then_some(())
            );
        }
        for name in ["$lib", "$lib_version", "$lib_method", "$app_version"] {
            assert!(lib_tag(name.as_bytes()) != NO_FIELD);
        }
        for name in ["$project", "$token", "$app_version"] {
            assert!(property_tag(name.as_bytes()) != NO_FIELD);
        }
    }

    #[test]
    fn reserved_words_are_refused_in_any_case() {
        for name in [
            "id",
            "ID",
            "Time",
            "distinct_id",
            "USER_TAG_x",
            "user_group",
            "user_tags",
            "User_Groupies",
            "second_id",
        ] {
            assert!(is_reserved(name.as_bytes()) && !is_legal(name.as_bytes(), 100), "{name}");
        }
        for name in [
            "ids",
            "user_ta",
            "$time",
            "_id",
            "user_idx",
            "userid",
            "timed",
            "a",
            "user_name_of_the_person",
        ] {
            assert!(!is_reserved(name.as_bytes()) && is_legal(name.as_bytes(), 100), "{name}");
        }
    }

    #[test]
    fn names_with_escapes_repeat_names_without() {
        let text = br#"abc ab\u0063 b"#;
        let mut names = [(0, 3, false), (13, 14, false), (4, 12, true)];
        assert_eq!(repeated(text, &mut names), Some((4, 12)));
        assert_eq!(repeated(text, &mut names[..2]), None);
    }

    #[test]
    fn a_repeated_name_is_found_among_many() {
        let text: String = (0..5_000).map(|i| format!("n{i:05}")).collect::<String>() + "n00077";
        let mut names: Vec<_> = (0..5_001u32).map(|i| (i * 6, i * 6 + 6, false)).collect();
        assert_eq!(repeated(text.as_bytes(), &mut names), Some((30_000, 30_006)));
        assert_eq!(repeated(text.as_bytes(), &mut names[..0]), None);
    }
}
