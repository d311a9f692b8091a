//! Names: which members the checks look at, which words are reserved, which name repeats.

use std::borrow::Cow;

use crate::json::unescape;

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

impl Field {
    pub(super) const COUNT: usize = Self::PropertyAppVersion as usize + 1;

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
pub(super) fn field(name: &[u8]) -> Option<Field> {
    let (known, field): (&[u8], Field) = match name.len() {
        2 => (b"id", Field::Id),
        3 => match name[0] {
            b'l' => (b"lib", Field::Lib),
            _ => (b"pkv", Field::Pkv),
        },
        4 => match name[1] {
            b'y' => (b"type", Field::Type),
            b'i' => (b"time", Field::Time),
            _ => (b"ekey", Field::Ekey),
        },
        5 => match name[0] {
            b'e' => (b"event", Field::Event),
            _ => (b"token", Field::Token),
        },
        6 => match name[0] {
            b's' => (b"schema", Field::Schema),
            _ => (b"key_id", Field::KeyId),
        },
        7 => match name[3] {
            b'j' => (b"project", Field::Project),
            b'm' => (b"item_id", Field::ItemId),
            b'r' => (b"_server", Field::Server),
            b's' => (b"version", Field::Version),
            _ => (b"payload", Field::Payload),
        },
        8 => match name[0] {
            b'l' => (b"login_id", Field::LoginId),
            _ => (b"payloads", Field::Payloads),
        },
        9 => match name[0] {
            b'_' => (b"_track_id", Field::TrackId),
            b'i' => (b"item_type", Field::ItemType),
            _ => (b"time_free", Field::TimeFree),
        },
        10 => match name[0] {
            b'p' => (b"properties", Field::Properties),
            b'i' => (b"identities", Field::Identities),
            _ => (b"flush_time", Field::EnvelopeFlushTime),
        },
        11 => match name[0] {
            b'd' => (b"distinct_id", Field::DistinctId),
            b'_' => (b"_flush_time", Field::FlushTime),
            _ => (b"original_id", Field::OriginalId),
        },
        12 => (b"anonymous_id", Field::AnonymousId),
        _ => return None,
    };
    (known == name).then_some(field)
}

/// The field of a member of `lib`.
#[inline(always)]
pub(super) fn lib_field(name: &[u8]) -> Option<Field> {
    let (known, field): (&[u8], Field) = match name.len() {
        4 => (b"$lib", Field::LibName),
        11 => (b"$lib_method", Field::LibMethod),
        12 => match name[1] {
            b'l' => (b"$lib_version", Field::LibVersion),
            _ => (b"$app_version", Field::LibAppVersion),
        },
        _ => return None,
    };
    (known == name).then_some(field)
}

/// The field of a property.
#[inline(always)]
pub(super) fn property_field(name: &[u8]) -> Option<Field> {
    let (known, field): (&[u8], Field) = match name.len() {
        6 => (b"$token", Field::PropertyToken),
        8 => (b"$project", Field::PropertyProject),
        12 => (b"$app_version", Field::PropertyAppVersion),
        _ => return None,
    };
    (known == name).then_some(field)
}

/// Words that are no name of an event or a property, in any case of letters.
const RESERVED: [&str; 15] = [
    "id",
    "time",
    "date",
    "event",
    "users",
    "events",
    "user_id",
    "first_id",
    "datetime",
    "second_id",
    "properties",
    "distinct_id",
    "original_id",
    "user_tag",
    "user_group",
];

/// The last two of [`RESERVED`] stand for every name that starts so.
const PREFIXES: [&str; 2] = ["user_tag", "user_group"];

/// Lengths (as bits) of reserved words by their first letter.
static RESERVED_LENGTHS: [u16; 26] = {
    let mut table = [0u16; 26];
    let mut i = 0;
    while i < RESERVED.len() {
        let word = RESERVED[i].as_bytes();
        table[(word[0] - b'a') as usize] |= 1 << word.len();
        i += 1;
    }
    table
};

/// Whether `name` is reserved.
#[inline(always)]
pub(super) fn is_reserved(name: &[u8]) -> bool {
    let Some(first) = name.first() else { return false };
    let letter = (first | 0x20).wrapping_sub(b'a');
    let Some(lengths) = RESERVED_LENGTHS.get(usize::from(letter)) else { return false };
    let near = if name.len() < 16 { lengths >> name.len() & 1 == 1 } else { false };
    (near || (letter == b'u' - b'a' && name.len() > 8)) && is_reserved_slow(name)
}

#[cold]
#[inline(never)]
fn is_reserved_slow(name: &[u8]) -> bool {
    let starts = |word: &str| {
        name.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word.as_bytes()))
    };
    RESERVED.iter().any(|word| name.len() == word.len() && starts(word))
        || PREFIXES.iter().any(|w| starts(w))
}

/// Whether `name` (escapes undone) may name an event, a property or an item type: a letter, `_` or `$`, then letters,
/// digits, `_`, `$`; not reserved; at most `chars_max` characters.
pub(super) fn is_legal(name: &[u8], chars_max: u32) -> bool {
    let good = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$');
    !name.is_empty()
        && name.len() <= chars_max as usize
        && name.iter().all(good)
        && !name[0].is_ascii_digit()
        && !is_reserved(name)
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
            assert!(lib_field(name.as_bytes()).is_some());
        }
        for name in ["$project", "$token", "$app_version"] {
            assert!(property_field(name.as_bytes()).is_some());
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
