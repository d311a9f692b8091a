//! Tests.

use super::*;

/// Head, format and data, if it is an insert.
fn parts(sql: &str) -> Option<(&str, String, &str)> {
    match split(sql.as_bytes(), true) {
        Split::Insert(at) => Some((sql[..at.head].trim(), at.format, &sql[at.data..])),
        _ => None,
    }
}

fn insert(sql: &str) -> (&str, String, &str) {
    parts(sql).unwrap_or_else(|| panic!("no insert: {sql}"))
}

#[test]
fn an_insert_is_cut_before_its_format_and_its_data() {
    let (head, format, data) = insert("INSERT INTO a.t(`x`,format) FORMAT RowBinary");
    assert_eq!((head, &*format, data), ("INSERT INTO a.t(`x`,format)", "RowBinary", ""));
    let (head, format, data) = insert(
        "-- c ' \n/* FORMAT x */ insert into t settings async_insert=0 format JSONEachRow\n{\"a\":1}",
    );
    assert!(head.ends_with("async_insert=0"), "{head}");
    assert_eq!((&*format, data), ("JSONEachRow", "{\"a\":1}"));
    let (_, format, data) = insert("INSERT INTO t (a) VALUES (1), (2)");
    assert_eq!((&*format, data), ("Values", " (1), (2)"));
    assert_eq!(insert("INSERT INTO t FORMAT CSV \r\n\n1").2, "\n1");
    assert_eq!(insert("INSERT INTO t FORMAT CSV;\n1").2, "1");
    assert_eq!(insert("INSERT INTO t FORMAT CSV").2, "");
    assert_eq!(insert("INSERT INTO t FORMAT CSV ;x").2, ";x");
}

#[test]
fn a_table_may_be_called_as_a_keyword_is() {
    assert_eq!(insert("INSERT INTO format FORMAT CSV\n1").0, "INSERT INTO format");
    assert_eq!(insert("INSERT INTO values VALUES (1)").0, "INSERT INTO values");
    assert_eq!(insert("INSERT INTO db.`format` (a) FORMAT TSV\n").1, "TSV");
    assert_eq!(insert("INSERT INTO TABLE FUNCTION file('x') FORMAT TSV\n").1, "TSV");
    assert_eq!(insert("INSERT INTO t (* EXCEPT(format)) FORMAT TSV\n").1, "TSV");
    assert_eq!(insert("INSERT INTO t SETTINGS a='FORMAT \\' x' FORMAT TSV\n").1, "TSV");
    assert_eq!(insert("INSERT INTO t SETTINGS a=$x$ FORMAT ' $x$ FORMAT TSV\n").1, "TSV");
}

#[test]
fn what_has_no_data_of_the_client_is_no_insert() {
    for sql in [
        "SELECT 1 FORMAT CSV",
        "INSERT INTO t SELECT 1 FORMAT CSV",
        "INSERT INTO t WITH 1 AS a SELECT a",
        "INSERT INTO t FROM INFILE 'x' FORMAT CSV",
        "INSERT INTO t",
        "INSERT",
        "INSERT INTO t SETTINGS a='",
        "/* INSERT INTO t FORMAT CSV",
        "",
        "-- x",
        "'",
    ] {
        assert_eq!(parts(sql), None, "{sql}");
    }
}

#[test]
fn a_beginning_waits_for_the_rest() {
    let whole = "/* c */ INSERT INTO t (a) SETTINGS b = 'x' FORMAT JSONEachRow {\"a\":1}";
    let end = whole.find(" {").unwrap();
    for at in 0..=end {
        assert_eq!(split(&whole.as_bytes()[..at], false), Split::Open, "{}", &whole[..at]);
    }
    assert!(matches!(split(whole.as_bytes(), false), Split::Insert(_)));
    assert_eq!(split(b"SELECT 1", false), Split::Other);
}

#[test]
fn the_format_of_an_answer_stands_at_the_end() {
    let format = |sql: &str| answer_format(sql.as_bytes());
    assert_eq!(format("select 1\nFORMAT JSON; ").as_deref(), Some("JSON"));
    assert_eq!(
        format("select 1 format/**/CSV settings max_threads=1,a='b'").as_deref(),
        Some("CSV")
    );
    assert_eq!(format("select format"), None);
    assert_eq!(format("select format x from t"), None);
    assert_eq!(format("select (select 1 format JSON)"), None);
    assert_eq!(format("select 'a' -- format JSON"), None);
}

#[test]
fn words_and_quotes() {
    assert_eq!(first_word(b" (/* x */(select 1)) "), "SELECT");
    assert_eq!(first_word(b"'x' select"), "");
    assert!(is_empty(b" -- x\n ;; ") && !is_empty(b"1") && !is_empty(b"/* x"));
    assert!(mentions(b"insert \xe2\x80\x98from InFile x", "INFILE") && !mentions(b"x", "INFILE"));
    assert_eq!(text("a'b\\"), "'a\\'b\\\\'");
    assert_eq!(name("a`b"), "`a\\`b`");
}

#[test]
fn what_reaches_out_is_named() {
    let name = |sql: &str| reaching(sql.as_bytes());
    assert_eq!(name("SELECT File /* x */ ('/etc/passwd')").as_deref(), Some("file"));
    assert_eq!(name("SELECT `\\x66ile`('x')").as_deref(), Some("file"));
    assert_eq!(name("SELECT ‘ ' ’, file('x'), ‘ ' ’").as_deref(), Some("file"));
    assert_eq!(name("SELECT * FROM eval('SELECT 1')").as_deref(), Some("eval"));
    assert_eq!(name("SETTINGS disk = disk(type=web)").as_deref(), Some("disk"));
    let source = |kind: &str| {
        name(&format!("CREATE DICTIONARY d (a Int8) PRIMARY KEY a SOURCE ({kind}(x 'y'))"))
    };
    assert_eq!(source("EXECUTABLE").as_deref(), Some("SOURCE(executable)"));
    assert_eq!(source("`http`").as_deref(), Some("SOURCE(http)"));
    assert_eq!(source("CLICKHOUSE"), None);
    assert_eq!(
        name("SELECT file, disk, 'file(' FROM source(eval)"),
        Some("SOURCE(eval)".to_owned())
    );
    assert_eq!(name("SELECT file FROM t WHERE profile(1)"), None);
}

/// splitmix64.
fn next(state: &mut u64) -> usize {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    usize::try_from((z ^ (z >> 31)) >> 1).unwrap()
}

/// Whatever comes: places lie in the text and in order, on borders of words, and more text never takes back what was found.
#[test]
fn any_mixture_of_pieces_gives_places_in_order() {
    const PIECES: [&str; 34] = [
        "INSERT",
        "insert into",
        " INTO ",
        "t",
        "db.t",
        "`a\\`b`",
        "\"",
        "'",
        "''",
        "\\",
        "(",
        ")",
        "[",
        "}",
        "--",
        "\n",
        "/*",
        "*/",
        "# ",
        "FORMAT",
        " FORMAT CSV",
        "VALUES",
        "SELECT",
        "FROM INFILE",
        "SETTINGS a=1",
        ";",
        " ",
        "$a$",
        "$",
        ".",
        "\u{2018}",
        "\0",
        "\r",
        "x",
    ];
    let mut seed = 20_261_125;
    for _ in 0..60_000 {
        let mut sql = String::new();
        if next(&mut seed).is_multiple_of(2) {
            sql.push_str("INSERT INTO t ");
        }
        for _ in 0..next(&mut seed) % 12 {
            sql.push_str(PIECES[next(&mut seed) % PIECES.len()]);
        }
        check(sql.as_bytes());
    }
}

fn check(sql: &[u8]) {
    let whole = split(sql, true);
    if let Split::Insert(at) = &whole {
        assert!(at.head < at.data && at.data <= sql.len(), "{:?}", String::from_utf8_lossy(sql));
        assert!(!at.format.is_empty());
    }
    for end in 0..=sql.len() {
        let first = split(&sql[..end], false);
        assert!(
            first == whole || first == Split::Open,
            "{:?} of {:?}",
            String::from_utf8_lossy(&sql[..end]),
            String::from_utf8_lossy(sql)
        );
    }
    let _ = (answer_format(sql), first_word(sql), is_empty(sql), reaching(sql));
}

#[test]
fn open_texts_cost_no_more_than_their_length() {
    let many: String = (0..200_000).map(|number| format!("$a{number}$ \u{2018} ")).collect();
    let start = std::time::Instant::now();
    let _ =
        (split(many.as_bytes(), true), answer_format(many.as_bytes()), reaching(many.as_bytes()));
    assert!(start.elapsed() < std::time::Duration::from_secs(5), "{:?}", start.elapsed());
}
