//! The embedded ClickHouse's own decoders: where an INSERT ends, and what bodies are packed in.

use olap::codec::block::{Blocks, pack};
use olap::codec::{head_bytes, multipart};
use olap::sql::{self, Split};
use std::io::Read as _;

/// Most bytes a block makes of one that arrived: LZ4 and zstd can both claim a lot for a little.
const PLAIN_BYTES_MAX: u64 = 1 << 20;

/// Places lie in order and in the text; what a beginning decides the whole does not take back; a quoted text is one token.
pub(super) fn sql(data: &[u8]) {
    let whole = sql::split(data, true);
    assert_ne!(whole, Split::Open, "the whole decides");
    if let Split::Insert(at) = &whole {
        assert!(at.head < at.data && at.data <= data.len(), "places in order");
        assert!(!at.format.is_empty() && sql::first_word(data) == "INSERT");
    }
    // Some beginnings: each costs a pass.
    for step in 0..16 {
        let end = data.len() * step / 16;
        let first = sql::split(&data[..end], false);
        assert!(first == whole || first == Split::Open, "a beginning of {end} bytes");
    }
    let _ = (sql::answer_format(data), sql::is_empty(data), sql::reaching(data));
    let text = String::from_utf8_lossy(data);
    let query = format!("INSERT INTO t SETTINGS log_comment = {} FORMAT CSV\n1", sql::text(&text));
    match sql::split(query.as_bytes(), true) {
        Split::Insert(at) => assert!(at.format == "CSV" && &query[at.data..] == "1", "a text"),
        other => panic!("a text is {other:?}"),
    }
    let query = format!("INSERT INTO {} VALUES (1)", sql::name(&text));
    match sql::split(query.as_bytes(), true) {
        Split::Insert(at) => assert_eq!(&query[at.data..], " (1)", "a name"),
        other => panic!("a name is {other:?}"),
    }
}

/// What was packed comes back; anything else is an error, or no more than was asked for.
pub(super) fn blocks(data: &[u8]) {
    let mut plain = Vec::new();
    let packed = pack(data);
    Blocks::new(&packed[..]).read_to_end(&mut plain).expect("what we packed");
    assert!(plain == data, "comes back");
    let mut plain = Vec::new();
    let _ = Blocks::new(data).take(PLAIN_BYTES_MAX).read_to_end(&mut plain);
    if let Some(head) = head_bytes(data) {
        assert!(head <= data.len(), "a head lies in its chunk");
    }
    for boundary in ["X", "--", ""] {
        if let Ok(fields) = multipart(data, boundary) {
            let bytes: usize = fields.iter().map(|(name, value)| name.len() + value.len()).sum();
            // A byte that is no UTF-8 becomes three.
            assert!(bytes <= 3 * data.len(), "fields come from the form");
        }
    }
}

/// Statements as clients send them.
pub(super) fn sql_seeds() -> Vec<Vec<u8>> {
    [
        "INSERT INTO db.`t` (a, b, format) SETTINGS async_insert = 0, log_comment = 'it\\'s' FORMAT JSONEachRow\n{\"a\":1}",
        "/* c */ insert into t -- x\n values (1, 'x'), (2, '(');",
        "INSERT INTO TABLE FUNCTION file('x') FORMAT TSV\r\n1\t2\n",
        "INSERT INTO t SELECT * FROM u FORMAT CSV",
        "WITH 1 AS x SELECT $tag$ FORMAT $tag$, \u{2018} ' \u{2019}, file('x') FORMAT JSON SETTINGS max_threads = 1;",
        "CREATE DICTIONARY d (a Int8) PRIMARY KEY a SOURCE(EXECUTABLE(command 'x')) LAYOUT(FLAT())",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect()
}

/// Blocks, a head and a form.
pub(super) fn blocks_seeds() -> Vec<Vec<u8>> {
    vec![
        pack(b"hello hello hello hello"),
        pack(&[0; 4096]),
        b"\x02\x01a\x02bb\x06UInt64\x06Stringrest".to_vec(),
        b"--X\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\nSELECT 1\r\n--X--\r\n"
            .to_vec(),
    ]
}
