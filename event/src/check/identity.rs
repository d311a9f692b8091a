//! Who or what an event is about: ids and names by record type.

use super::names::{self, Field};
use super::rules::Event;
use super::{EventType, ids, properties};
use crate::Code;
use crate::json::{Kind, Value, unescape};

impl Event<'_> {
    /// Ids and names by record type; gives the event's id.
    #[inline(always)]
    pub(super) fn identity(&mut self) -> Value {
        let schema = self.element.get(Field::Version).of(self.text) == b"2.0"
            && self.element.get(Field::Schema).kind != Kind::Missing;
        let id = if schema || self.kind.is_detail() {
            self.schema_identity()
        } else if self.kind.is_item() {
            self.item_identity()
        } else {
            let id = self.element.get(Field::DistinctId);
            self.check_id(Field::DistinctId, id);
            id
        };
        if self.kind.is_track() {
            self.event_name();
            match self.kind {
                EventType::TrackSignup => self.original_id(id, schema),
                EventType::TrackIdBind | EventType::TrackIdUnbind
                    if self.element.identities == 0 =>
                {
                    let in_properties = schema
                        && properties::start(self.element).is_some_and(|at| {
                            properties::schema_id(self.text, at, &mut self.memory.scan).1
                        });
                    if !in_properties {
                        self.field(
                            Code::I407,
                            Field::Identities,
                            self.element.get(Field::Identities),
                        );
                    }
                }
                _ => {}
            }
        }
        id
    }

    #[inline(always)]
    fn check_id(&mut self, field: Field, id: Value) {
        if let Err(bad) = ids::check(self.text, id, self.context.limits.id_chars_max) {
            self.bad_id(field, id, bad);
        }
    }

    #[cold]
    fn bad_id(&mut self, field: Field, id: Value, bad: ids::Bad) {
        let code = match bad {
            ids::Bad::Missing => Code::I402,
            ids::Bad::Placeholder => Code::I401,
            ids::Bad::TooLong => Code::I403,
            ids::Bad::Type => Code::I404,
        };
        self.field(code, field, id);
    }

    #[cold]
    fn item_identity(&mut self) -> Value {
        let limits = self.context.limits;
        let (kind, id) = (self.element.get(Field::ItemType), self.element.get(Field::ItemId));
        let name = unescape(kind.of(self.text));
        if !kind.kind.is_text() || !names::is_legal(&name, limits.key_chars_max) {
            self.field(Code::I409, Field::ItemType, kind);
        }
        // "0" and "null" are things' names as good as any.
        match ids::check(self.text, id, limits.id_chars_max) {
            Ok(()) | Err(ids::Bad::Placeholder) => {}
            Err(_) => self.field(Code::I409, Field::ItemId, id),
        }
        id
    }

    /// Protocol 2.0: the id is `id`, or stands in `identities`, or inside the properties, and events of things have none.
    #[cold]
    fn schema_identity(&mut self) -> Value {
        let mut id = self.element.get(Field::DistinctId);
        if id.kind == Kind::Missing {
            id = self.element.get(Field::Id);
        }
        let mut identities = self.element.identities > 0;
        if id.kind == Kind::Missing
            && let Some(at) = properties::start(self.element)
        {
            let (inner, more) = properties::schema_id(self.text, at, &mut self.memory.scan);
            id = inner.unwrap_or_default();
            identities |= more;
        }
        let thing = self.kind.is_item() || self.kind.is_detail();
        match ids::check(self.text, id, self.context.limits.id_chars_max) {
            Ok(()) => {}
            Err(ids::Bad::Missing) => {
                if !identities && self.kind != EventType::Track && self.kind != EventType::Unknown {
                    self.field(Code::I410, Field::Id, id);
                }
                return Value::default();
            }
            Err(ids::Bad::Placeholder) if thing => {}
            Err(bad) => self.bad_id(Field::Id, id, bad),
        }
        id
    }

    #[cold]
    fn original_id(&mut self, id: Value, schema: bool) {
        let original = self.text_of(Field::OriginalId);
        if original.kind == Kind::Missing {
            if self.element.get(Field::OriginalId).kind.is_number() {
                return;
            }
            if !(schema && self.element.identities > 0) {
                self.field(Code::I405, Field::OriginalId, self.element.get(Field::OriginalId));
            }
        } else if unescape(original.of(self.text)) == unescape(id.of(self.text)) {
            self.field(Code::I406, Field::OriginalId, original);
        }
    }

    #[inline(always)]
    fn event_name(&mut self) {
        let value = self.element.get(Field::Event);
        let raw = value.of(self.text);
        let limit = self.context.limits.event_chars_max;
        let legal = match value.kind {
            Kind::Text => {
                names::is_legal_in(self.text, value.at as usize, value.end as usize, limit)
            }
            Kind::Escaped => names::is_legal(&unescape(raw), limit),
            _ => false,
        };
        if !legal {
            let absent = matches!(value.kind, Kind::Missing | Kind::Null)
                || (value.kind.is_text() && raw.is_empty());
            self.field(if absent { Code::N102 } else { Code::N101 }, Field::Event, value);
        }
    }
}
