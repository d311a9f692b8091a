//! The rules of one event (PROTOCOL "Validation rules"), and the entry they end in.

use super::element::{Element, Part, Problem};
use super::names::Field;
use super::properties::{self, Rule};
use super::report::write_codes;
use super::store::Edits;
use super::time::{self, Sent};
use super::{Context, EventType, ids};
use crate::Code;
use crate::json::{Kind, Repair, ScanMemory, Value, unescape};
use crate::project::{Access, TimeRules, access};
use crate::record::{Builder, Entry, Span, Verdict, flag};

/// Reused memory of [`judge`].
#[derive(Debug, Default)]
pub(super) struct RuleMemory {
    /// Problems of the event as a whole, the deciding one first.
    found: Vec<Problem>,
    /// Text to hash for `dup_key`.
    hashed: Vec<u8>,
    pointer: Vec<u8>,
    pub(super) scan: ScanMemory,
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
pub(super) struct Event<'a> {
    pub(super) text: &'a [u8],
    pub(super) element: &'a mut Element,
    pub(super) context: &'a Context<'a>,
    pub(super) memory: &'a mut RuleMemory,
    pub(super) kind: EventType,
    pub(super) flags: u16,
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
    let (time_ms, sent_ms) = event.time(project.time);
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
    let codes =
        write_codes(index, text, element, &mut memory.found, &mut memory.pointer, context, out);
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
    !context.followed.is_empty()
        && (is_followed(context.followed, id.of(text))
            || has_followed_device(context.followed, json.of(out.bytes())))
}

/// The project an event belongs to.
struct Owner<'a> {
    name: std::borrow::Cow<'a, [u8]>,
    /// Where the event names it itself.
    named: Value,
    time: TimeRules,
}

impl<'a> Event<'a> {
    /// Adds a problem of the event as a whole.
    #[cold]
    fn whole(&mut self, code: Code, detail: (u32, u32)) {
        self.memory.found.push(Problem { code, part: Part::Event, name: (0, 0), detail });
    }

    /// Adds a problem of a field.
    #[cold]
    pub(super) fn field(&mut self, code: Code, field: Field, value: Value) {
        let detail = (value.at, value.end);
        self.memory.found.push(Problem { code, part: Part::Field(field), name: (0, 0), detail });
    }

    /// A text member that is not empty; the protocol takes empty text for absent.
    #[inline(always)]
    pub(super) fn text_of(&self, field: Field) -> Value {
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
        let mut own = [(Field::Project, Value::default()); 2];
        for (own, pair) in own
            .iter_mut()
            .zip([[Field::Project, Field::PropertyProject], [Field::Token, Field::PropertyToken]])
        {
            let here = pair.map(|field| (field, self.text_of(field)));
            *own = if here[0].1.kind == Kind::Missing { here[1] } else { here[0] };
        }
        let [(named_by, named), (token_by, token)] = own;
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
        let time = match granted {
            Access::Granted(time) => time,
            Access::UnknownProject => {
                self.refused(Code::A001, named_by, named);
                TimeRules::default()
            }
            Access::WrongToken => {
                self.refused(Code::A002, token_by, token);
                TimeRules::default()
            }
        };
        Owner { name, named, time }
    }

    /// Adds a problem of a project or token: of the event if it names it, else of the URL. A token is a secret and its
    /// text stands in no record.
    #[cold]
    fn refused(&mut self, code: Code, field: Field, value: Value) {
        let shown = if code == Code::A002 { Value::default() } else { value };
        if value.kind == Kind::Missing {
            self.whole(code, (0, 0));
        } else {
            self.field(code, field, shown);
        }
    }

    /// The event's time, corrected and as sent; remarks upon both.
    #[inline(always)]
    fn time(&mut self, rules: TimeRules) -> (i64, i64) {
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
                self.timeless(if absent { Code::T001 } else { Code::T002 }, value, rules);
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
        if rules.free
            && !matches!(free.kind, Kind::Missing | Kind::Null)
            && free.of(self.text) != b"false"
        {
            self.flags |= flag::TIME_FREE;
        } else if time_ms < context.recv_ms.saturating_sub(limits.late_ms_max) {
            self.timeless(Code::T301, value, rules);
        } else if time_ms > context.recv_ms.saturating_add(limits.early_ms_max) {
            self.timeless(Code::T303, value, rules);
        }
        (time_ms, sent_ms)
    }

    /// Remarks upon a time that is no use, and rejects the event where the project asks for that.
    #[cold]
    fn timeless(&mut self, code: Code, value: Value, rules: TimeRules) {
        if rules.strict {
            self.field(Code::T304, Field::Time, value);
        }
        self.field(code, Field::Time, value);
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
        let parts = [
            &*owner.name,
            id.of(self.text),
            track_id.of(self.text),
            time.of(self.text),
            name.of(self.text),
        ];
        // Kind and lengths stand in front, so that no two lists of parts give one text.
        let mut head = [0; 24];
        head[20] = self.kind as u8;
        for (place, part) in head.chunks_exact_mut(4).zip(&parts) {
            place.copy_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
        }
        let hashed = &mut self.memory.hashed;
        hashed.clear();
        hashed.extend_from_slice(&head);
        for part in parts {
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

/// Whether a device's own id is followed, which a login does not change. Members are looked for as text, wherever they stand: this
/// decides what is shown to whoever watches, nothing else.
#[cold]
#[inline(never)]
fn has_followed_device(followed: &[u64], json: &[u8]) -> bool {
    let names: [&[u8]; 3] = [b"\"anonymous_id\"", b"\"$device_id\"", b"\"login_id\""];
    names.iter().any(|name| {
        let Some(at) = memchr::memmem::find(json, name) else { return false };
        let rest = json.get(at + name.len()..).unwrap_or_default().trim_ascii_start();
        let Some(rest) = rest.strip_prefix(b":") else { return false };
        let Some(text) = rest.trim_ascii_start().strip_prefix(b"\"") else { return false };
        let end = memchr::memchr(b'"', text).unwrap_or(0);
        is_followed(followed, text.get(..end).unwrap_or_default())
    })
}

#[cold]
#[inline(never)]
fn is_followed(followed: &[u64], id: &[u8]) -> bool {
    !id.is_empty() && followed.binary_search(&ids::watch_hash(&unescape(id))).is_ok()
}
