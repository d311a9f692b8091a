//! The rules of one event (PROTOCOL "Validation rules"), and the entry they end in.

use super::element::{Element, Part, Problem};
use super::names::{self, Field};
use super::properties::{self, Rule};
use super::store::Edits;
use super::time::{self, Sent};
use super::{Context, EventType, ids};
use crate::json::{Kind, Repair, ScanMemory, Value, unescape};
use crate::project::{Access, access};
use crate::record::{Builder, CodeRef, Entry, Span, Verdict, flag};
use crate::{Code, Severity};

/// Reused memory of [`judge`].
#[derive(Debug, Default)]
pub(super) struct RuleMemory {
    /// Problems of the event as a whole, the deciding one first.
    found: Vec<Problem>,
    /// Text to hash for `dup_key`.
    hashed: Vec<u8>,
    pointer: Vec<u8>,
    scan: ScanMemory,
    /// Access of events that name neither project nor token: the same for all of a request.
    access: Option<Access>,
}

impl RuleMemory {
    /// Call before each text: what the URL allows is not known yet.
    pub(super) fn start(&mut self) {
        self.access = None;
    }

    pub(super) fn shrink(&mut self, keep_bytes: usize) {
        self.hashed.clear();
        self.hashed.shrink_to(keep_bytes);
        self.pointer.shrink_to(keep_bytes);
        self.scan.shrink(keep_bytes);
    }
}

/// What is known about one event while its rules run.
struct Event<'a> {
    text: &'a [u8],
    element: &'a mut Element,
    context: &'a Context<'a>,
    memory: &'a mut RuleMemory,
    kind: EventType,
    flags: u16,
}

/// The text an element stands in.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    /// As read.
    pub(super) text: &'a [u8],
    /// As sent, and what became of it, if they differ.
    pub(super) repair: Option<(&'a [u8], &'a Repair)>,
}

/// Judges `element` and appends its stored bytes, entry and codes to `out`. `lone` are the half surrogates in it.
/// Returns whether its id is followed.
#[inline(never)]
pub(super) fn judge(
    source: Source<'_>,
    element: &mut Element,
    lone: &[u32],
    context: &Context<'_>,
    memory: &mut RuleMemory,
    out: &mut Builder,
) -> bool {
    memory.found.clear();
    let text = source.text;
    let mut event = Event { text, element, context, memory, kind: EventType::Unknown, flags: 0 };
    let mut id = Value::default();
    if event.element.object {
        event.structure();
        event.kind = event.kind_of();
        id = event.identity();
        event.properties();
    } else {
        event.flags |= flag::NOT_OBJECT;
        event.whole(Code::J003, (event.element.at, event.element.end));
        event.structure();
    }
    let project = event.access();
    let (time_ms, sent_ms) = event.time(project.time_free);
    let name = event.element.get(Field::Event);
    event.repairs(source.repair, lone);
    if event.element.server.is_some() {
        event.field(Code::N010, Field::Server, Value::default());
    }
    let dup_key = event.dup_key(&project, id, name);
    event.origin();

    let Event { element, memory, kind, flags, .. } = event;
    let rejected = memory.found.iter().any(|problem| problem.code.rejects());
    let edits = Edits::of(text, element, !rejected, context.flush_time);
    let bad_text = rejected && is_unreadable(source.repair, element);
    let json = match source.repair {
        Some((sent, repair)) if bad_text => {
            let at = u32::try_from(out.bytes().len()).unwrap_or(u32::MAX);
            let sent = repair.sent(sent, element.at, element.end);
            out.bytes().extend_from_slice(sent);
            Span { at, len: u32::try_from(sent.len()).unwrap_or(u32::MAX) }
        }
        _ => edits.store(text, element, out.bytes()),
    };
    if !lone.is_empty() && !rejected {
        mend(out.bytes(), json, lone, element, &edits);
    }
    let index = out.count();
    let codes = write_codes(index, text, element, memory, context, out);
    let span = |value: Value| {
        if bad_text { Span::default() } else { edits.moved(element, value.at, value.end) }
    };
    let text_span =
        |value: Value| span(if value.kind.is_text() { value } else { Value::default() });
    let app_version = match element.get(Field::LibAppVersion) {
        Value { kind: Kind::Missing, .. } => element.get(Field::PropertyAppVersion),
        value => value,
    };
    out.entry(&Entry {
        json,
        verdict: match (rejected, codes) {
            (true, _) => Verdict::Rejected,
            (false, 0) => Verdict::Kept,
            (false, _) => Verdict::Problems,
        },
        kind: kind as u8,
        flags,
        codes,
        time_ms,
        sent_ms,
        dup_key,
        event: text_span(name),
        id: span(id),
        project: span(project.named),
        lib: span(element.get(Field::LibName)),
        lib_version: span(element.get(Field::LibVersion)),
        app_version: span(app_version),
    });
    !context.followed.is_empty() && is_followed(context.followed, id.of(text))
}

/// The project an event belongs to.
struct Owner<'a> {
    name: std::borrow::Cow<'a, [u8]>,
    /// Where the event names it itself.
    named: Value,
    time_free: bool,
}

impl<'a> Event<'a> {
    /// Adds a problem of the event as a whole.
    #[cold]
    fn whole(&mut self, code: Code, detail: (u32, u32)) {
        self.memory.found.push(Problem { code, part: Part::Event, name: (0, 0), detail });
    }

    /// Adds a problem of a field.
    #[cold]
    fn field(&mut self, code: Code, field: Field, value: Value) {
        let detail = (value.at, value.end);
        self.memory.found.push(Problem { code, part: Part::Field(field), name: (0, 0), detail });
    }

    /// A text member that is not empty; the protocol takes empty text for absent.
    #[inline(always)]
    fn text_of(&self, field: Field) -> Value {
        let value = self.element.get(field);
        if value.kind.is_text() && value.end > value.at { value } else { Value::default() }
    }

    #[inline(always)]
    fn structure(&mut self) {
        if let Some(name) = self.element.repeated {
            self.memory.found.push(Problem {
                code: Code::J005,
                part: Part::Top,
                name,
                detail: name,
            });
        }
        if let Some(at) = self.element.too_deep {
            self.whole(Code::J002, (at, at));
        }
        if let Some(at) = self.element.out_of_range {
            self.whole(Code::J004, (at, self.element.end.min(at + 40)));
        }
    }

    #[inline(always)]
    fn kind_of(&mut self) -> EventType {
        let value = self.element.get(Field::Type);
        let raw = value.of(self.text);
        let kind = match value.kind {
            Kind::Text => EventType::from_name(raw),
            Kind::Escaped => EventType::from_name(&unescape(raw)),
            _ => EventType::Unknown,
        };
        if kind == EventType::Unknown {
            let absent = matches!(value.kind, Kind::Missing | Kind::Null) || value.at == value.end;
            self.field(if absent { Code::N104 } else { Code::N103 }, Field::Type, value);
        }
        kind
    }

    /// Ids and names by record type; gives the event's id.
    #[inline(always)]
    fn identity(&mut self) -> Value {
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
            Kind::Text => names::is_legal(raw, limit),
            Kind::Escaped => names::is_legal(&unescape(raw), limit),
            _ => false,
        };
        if !legal {
            let absent = matches!(value.kind, Kind::Missing | Kind::Null)
                || (value.kind.is_text() && raw.is_empty());
            self.field(if absent { Code::N102 } else { Code::N101 }, Field::Event, value);
        }
    }

    #[inline(always)]
    fn properties(&mut self) {
        let value = self.element.get(Field::Properties);
        if value.kind != Kind::Object {
            if !properties::are_absent(self.text, value) {
                self.field(Code::P209, Field::Properties, value);
            }
            return;
        }
        let schema = self.element.get(Field::Schema).kind != Kind::Missing;
        let rule = Rule::of(self.kind, schema);
        if rule != Rule::Plain {
            let (at, limits) = (value.at as usize, self.context.limits);
            properties::read_again(
                self.text,
                at,
                limits,
                self.element,
                rule,
                &mut self.memory.scan,
            );
        }
    }

    /// Finds the event's project and whether it may write there.
    #[inline(always)]
    fn access(&mut self) -> Owner<'a> {
        let (context, text) = (self.context, self.text);
        let mut own = [Value::default(); 2];
        for (own, pair) in own
            .iter_mut()
            .zip([[Field::Project, Field::PropertyProject], [Field::Token, Field::PropertyToken]])
        {
            *own = self.text_of(pair[0]);
            if own.kind == Kind::Missing {
                *own = self.text_of(pair[1]);
            }
        }
        let [named, token] = own;
        let url = if context.url_project.is_empty() {
            context.project.fallback()
        } else {
            context.url_project
        };
        let name = if named.kind == Kind::Missing { url.into() } else { unescape(named.of(text)) };
        let granted = if named.kind == Kind::Missing && token.kind == Kind::Missing {
            *self.memory.access.get_or_insert_with(|| {
                access(context.project, context.projects, url, context.url_token)
            })
        } else {
            let token = match token.kind {
                Kind::Missing => context.url_token.into(),
                _ => unescape(token.of(text)),
            };
            access(context.project, context.projects, &name, &token)
        };
        let time_free = match granted {
            Access::Granted { time_free } => time_free,
            Access::UnknownProject => {
                self.field(Code::A001, Field::Project, named);
                false
            }
            Access::WrongToken => {
                // The token itself is a secret and does not stand in any record.
                self.field(Code::A002, Field::Token, Value::default());
                false
            }
        };
        Owner { name, named, time_free }
    }

    /// The event's time, corrected and as sent; remarks upon both.
    #[inline(always)]
    fn time(&mut self, free_allowed: bool) -> (i64, i64) {
        let context = self.context;
        if !self.element.object {
            return (context.recv_ms, i64::MIN);
        }
        let value = self.element.get(Field::Time);
        let sent = match value.kind {
            Kind::Int | Kind::Float | Kind::Exponent | Kind::Text => {
                time::read(value.of(self.text))
            }
            _ => Sent::Unreadable,
        };
        let sent_ms = match sent {
            Sent::Millis(ms) => ms,
            Sent::Seconds(ms) => {
                self.field(Code::T004, Field::Time, value);
                ms
            }
            Sent::Unreadable => {
                let absent = matches!(value.kind, Kind::Missing | Kind::Null)
                    || (value.kind.is_text() && value.at == value.end);
                self.field(if absent { Code::T001 } else { Code::T002 }, Field::Time, value);
                return (context.recv_ms, i64::MIN);
            }
        };
        let flush_ms = context.flush_time.or_else(|| {
            let flush = self.element.get(Field::FlushTime);
            match time::read(flush.of(self.text)) {
                Sent::Millis(ms) | Sent::Seconds(ms) if flush.kind != Kind::Missing => Some(ms),
                _ => None,
            }
        });
        let limits = context.limits;
        let mut time_ms = sent_ms;
        if let Some(corrected) =
            time::corrected(sent_ms, flush_ms, context.recv_ms, limits.skew_ms_min)
        {
            time_ms = corrected;
            self.flags |= flag::TIME_CORRECTED;
            self.field(Code::T302, Field::Time, value);
        }
        let free = self.element.get(Field::TimeFree);
        if free_allowed
            && !matches!(free.kind, Kind::Missing | Kind::Null)
            && free.of(self.text) != b"false"
        {
            self.flags |= flag::TIME_FREE;
        } else if time_ms < context.recv_ms.saturating_sub(limits.late_ms_max) {
            self.field(Code::T301, Field::Time, value);
        } else if time_ms > context.recv_ms.saturating_add(limits.early_ms_max) {
            self.field(Code::T303, Field::Time, value);
        }
        (time_ms, sent_ms)
    }

    /// Remarks upon text that is not as sent.
    #[inline(always)]
    fn repairs(&mut self, repair: Option<(&[u8], &Repair)>, lone: &[u32]) {
        let (at, end) = (self.element.at, self.element.end);
        let half = repair.is_some_and(|(_, repair)| repair.is_lone(at, end));
        if is_unreadable(repair, self.element) {
            self.whole(Code::J006, (0, 0));
        } else if half || !lone.is_empty() {
            self.whole(Code::J007, (0, 0));
        }
    }

    /// The hash by which resends are found; 0 where the event has no `_track_id`.
    #[inline(always)]
    fn dup_key(&mut self, owner: &Owner<'_>, id: Value, name: Value) -> u64 {
        let track_id = self.element.get(Field::TrackId);
        if track_id.at == track_id.end || track_id.kind == Kind::Null {
            return 0;
        }
        self.flags |= flag::TRACK_ID;
        let time = self.element.get(Field::Time);
        let hashed = &mut self.memory.hashed;
        hashed.clear();
        hashed.push(self.kind as u8);
        // Lengths stand between the parts, so that no two lists of parts give one text.
        for part in [
            &*owner.name,
            id.of(self.text),
            track_id.of(self.text),
            time.of(self.text),
            name.of(self.text),
        ] {
            hashed.extend_from_slice(&part.len().to_le_bytes());
            hashed.extend_from_slice(part);
        }
        ids::hash(self.context.dup_hash_key, hashed)
    }

    /// Whether the event comes from a server, whose address is not the user's.
    #[inline(always)]
    fn origin(&mut self) {
        const SERVERS: [&str; 7] = ["java", "python", "golang", "node", "php", "dotnet", "ruby"];
        let lib = self.element.get(Field::LibName).of(self.text);
        let known = (3..=6).contains(&lib.len())
            && lib != b"iOS"
            && SERVERS.iter().any(|name| lib.eq_ignore_ascii_case(name.as_bytes()));
        if known || self.element.get(Field::LibMethod).of(self.text) == b"tools" {
            self.flags |= flag::SERVER_SDK;
        }
    }
}

/// Whether the element holds bytes that are no text.
#[inline(always)]
fn is_unreadable(repair: Option<(&[u8], &Repair)>, element: &Element) -> bool {
    repair.is_some_and(|(_, repair)| repair.is_invalid(element.at, element.end))
}

/// Writes U+FFFD for half surrogates in stored bytes. Both are escapes of six bytes, so nothing moves.
#[cold]
#[inline(never)]
fn mend(bytes: &mut [u8], json: Span, lone: &[u32], element: &Element, edits: &Edits) {
    for at in lone {
        let place = edits.moved(element, *at, *at + 6);
        let at = (json.at + place.at) as usize;
        if let Some(escape) = bytes.get_mut(at..at + 6)
            && escape.starts_with(b"\\u")
        {
            escape.copy_from_slice(b"\\ufffd");
        }
    }
}

/// Appends the event's codes to `out`, the deciding ones first; gives how many.
#[inline(always)]
fn write_codes(
    index: u32,
    text: &[u8],
    element: &Element,
    memory: &mut RuleMemory,
    context: &Context<'_>,
    out: &mut Builder,
) -> u32 {
    if memory.found.is_empty() && element.problems.list.is_empty() {
        return 0;
    }
    write_codes_slow(index, text, element, memory, context, out)
}

#[cold]
#[inline(never)]
fn write_codes_slow(
    index: u32,
    text: &[u8],
    element: &Element,
    memory: &mut RuleMemory,
    context: &Context<'_>,
    out: &mut Builder,
) -> u32 {
    let RuleMemory { found, pointer, .. } = memory;
    found.sort_by_key(|problem| match problem.code.severity() {
        Severity::Reject => 0,
        Severity::Drop => 1,
        Severity::Warn => 2,
    });
    // Over the request's budget each event keeps its first code only, so that every verdict has its reason.
    let room = context.limits.codes_max.saturating_sub(out.code_count()).max(1) as usize;
    let all = found.iter().chain(&element.problems.list);
    let mut count = 0;
    for problem in all.take(room) {
        let name = text.get(problem.name.0 as usize..problem.name.1 as usize).unwrap_or_default();
        write_pointer(pointer, problem.part, name);
        let detail = text.get(problem.detail.0 as usize..problem.detail.1 as usize);
        let (mut code, mut detail) = (problem.code, detail.unwrap_or_default());
        if context.inside_envelope && code.rejects() && code.as_str().starts_with('J') {
            // What decrypts to bad JSON must look like any other envelope that does not open.
            (code, detail) = (Code::K506, problem.code.as_str().as_bytes());
            pointer.clear();
        }
        out.code(CodeRef { index, code: code.bytes(), pointer, detail });
        count += 1;
    }
    let total = found.len() + element.problems.list.len();
    if element.problems.more || total > room {
        out.code(CodeRef { index, code: Code::L004.bytes(), pointer: b"", detail: b"" });
        count += 1;
    }
    count
}

/// A JSON pointer to a problem's place.
fn write_pointer(pointer: &mut Vec<u8>, part: Part, name: &[u8]) {
    pointer.clear();
    let parent = match part {
        Part::Event => return,
        Part::Field(field) => {
            pointer.push(b'/');
            pointer.extend_from_slice(field.pointer().as_bytes());
            return;
        }
        Part::Top => "/",
        Part::Properties => "/properties/",
        Part::Identities => "/identities/",
    };
    pointer.extend_from_slice(parent.as_bytes());
    let name = unescape(name);
    for byte in &name[..name.len().min(256)] {
        match byte {
            b'~' => pointer.extend_from_slice(b"~0"),
            b'/' => pointer.extend_from_slice(b"~1"),
            byte => pointer.push(*byte),
        }
    }
}

#[cold]
#[inline(never)]
fn is_followed(followed: &[u64], id: &[u8]) -> bool {
    !id.is_empty() && followed.binary_search(&ids::watch_hash(&unescape(id))).is_ok()
}
