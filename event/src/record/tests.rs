use super::*;

fn sample() -> Builder {
    let mut b = Builder::default();
    b.meta(meta::PROJECT, b"shop", 64);
    b.meta(meta::IP, b"127.0.0.1", 64);
    let at = u32::try_from(b.bytes().len()).unwrap();
    b.bytes().extend_from_slice(br#"{"event":"Buy"}"#);
    b.entry(&Entry {
        json: Span { at, len: 15 },
        verdict: Verdict::Problems,
        kind: 1,
        flags: flag::TRACK_ID,
        codes: 1,
        time_ms: 5,
        sent_ms: i64::MIN,
        dup_key: u64::MAX,
        event: Span { at: 10, len: 3 },
        id: Span::default(),
        project: Span::default(),
        lib: Span::default(),
        lib_version: Span::default(),
        app_version: Span::default(),
    });
    b.code(CodeRef { index: 0, code: *b"P201", pointer: b"/properties/a-b", detail: b"a-b" });
    b
}

#[test]
fn a_record_reads_back_as_written() {
    let builder = sample();
    let payload = builder.payload(b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(payload.len() % 8, 0);
    let record = Record::parse(&payload).unwrap();
    assert_eq!(record.meta(meta::IP), b"127.0.0.1");
    assert_eq!(record.raw, b"GET / HTTP/1.1\r\n\r\n");
    let (entry, json) = record.event(0).unwrap();
    assert_eq!((json, entry.event.of(json)), (&br#"{"event":"Buy"}"#[..], &b"Buy"[..]));
    assert_eq!((entry.sent_ms, entry.dup_key), (i64::MIN, u64::MAX));
    assert_eq!(record.codes().next().unwrap().pointer, b"/properties/a-b");
    assert_eq!((builder.kept(), builder.rejected(), record.len()), (1, 0, 1));
}

#[test]
fn a_rolled_back_event_leaves_no_trace() {
    let mut b = sample();
    let (before, mark) = (b.payload(b""), b.mark());
    b.bytes().extend_from_slice(b"{}");
    b.code(CodeRef { index: 1, code: *b"J005", pointer: b"", detail: b"" });
    b.rollback(mark);
    assert_eq!(b.payload(b""), before);
}

#[test]
fn damaged_bytes_never_panic() {
    let payload = sample().payload(b"raw");
    for cut in 0..payload.len() {
        let mut broken = payload[..cut].to_vec();
        for flip in 0..broken.len() {
            broken[flip] ^= 0xff;
            if let Some(record) = Record::parse(&broken) {
                let _ = (record.events().count(), record.codes().count(), record.meta(9));
            }
            broken[flip] ^= 0xff;
        }
    }
}

#[test]
fn unknown_sections_are_carried_over() {
    let mut payload = sample().payload(b"");
    payload.extend_from_slice(&section_head(99, 3));
    payload.extend_from_slice(b"new\0\0\0\0\0");
    assert_eq!(Record::parse(&payload).unwrap().len(), 1);
    assert_eq!(sections(&payload).last().unwrap(), Some((99, &b"new"[..])));
}
