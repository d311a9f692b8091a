//! The table and its messages; `docs/codes.md` is made here.

use super::*;

#[test]
fn stored_characters_read_back() {
    for row in CODES {
        assert_eq!(Code::from_bytes(row.code.bytes()), Some(row.code));
        assert_eq!(row.code.row().name, row.name);
    }
    assert_eq!(Code::from_bytes(*b"Q999"), None);
}

#[test]
fn private_codes_all_look_the_same_outside() {
    for row in CODES {
        let inside = row.name.starts_with("K5");
        assert_eq!(row.private, inside, "{}", row.name);
        assert_eq!(row.code.public(), if inside { Code::K001 } else { row.code });
    }
}

#[test]
fn codes_of_the_shipper_never_stand_in_a_verdict() {
    for row in CODES {
        if row.name.starts_with(['D', 'X']) {
            assert!(row.inner, "{}", row.name);
        }
    }
}

#[test]
fn a_message_says_what_where_what_arrived_what_to_do_and_what_was_done() {
    let place = Place {
        event: "Buy",
        pointer: "/properties/order-id",
        lib: "iOS",
        lib_version: "6.2.0",
        app_version: "1.0",
        detail: "order-id",
    };
    let message = |lang| Message { code: Code::P201, lang, place }.to_string();
    assert_eq!(
        message(Lang::Zh),
        "[P201] 属性名不合法：只能用字母、数字、_ 和 $，不能以数字开头，不能是保留字，最长 100 个字符 ｜ \
         事件 Buy，属性 order-id，iOS 6.2.0，App 1.0 ｜ 收到 \"order-id\" ｜ \
         请改名，如 order-id 改为 order_id ｜ 已丢弃该属性，事件其余部分正常入库。"
    );
    assert!(message(Lang::En).starts_with("[P201] bad property name: "));
    assert!(
        message(Lang::En).contains(
            " ｜ event Buy, property order-id, iOS 6.2.0, app 1.0 ｜ got \"order-id\" ｜ "
        )
    );
}

#[test]
fn sent_text_cannot_write_into_a_terminal() {
    let place = Place { event: "a\u{1b}[2J\nb", ..Place::default() };
    let text = Message { code: Code::N101, lang: Lang::En, place }.to_string();
    assert!(!text.contains(['\u{1b}', '\n']), "{text}");
}

/// The page `docs/codes.md`.
fn page() -> String {
    let layers = [
        ('A', "Who may write"),
        ('D', "Duplicates (given by the shipper)"),
        ('E', "From the wire to text"),
        ('I', "Identity"),
        ('J', "JSON"),
        ('K', "Encrypted reports"),
        ('L', "Limits of a request"),
        ('N', "Names and types"),
        ('P', "Properties"),
        ('T', "Time"),
        ('X', "Inside Tusk"),
    ];
    let mut out = String::from(
        "# Codes\n\n\
         Made from `event/codes.toml` by a test; `UPDATE_DOCS=1 cargo test -p event code` writes it again.\n\n\
         A code is one letter for the layer and three digits. It never changes its meaning: alarms, dashboards and \
         `tusk quarantine redrive --code` are built on it. What it does to the event:\n\n\
         * **reject**: the event, or a request that cannot be read, goes to quarantine whole and can be re-driven.\n\
         * **drop**: the property stays in the stored bytes and is left out of typed columns; the rest is stored.\n\
         * **warn**: stored, remarked upon.\n\n\
         One bad event costs one event: its neighbours in the request are judged for themselves. \
         Codes marked *private* are told to nobody outside: whatever fails inside an encrypted report answers K001, \
         and the reason stands in the quarantine only. Codes marked *inner* never stand in the answer to a request.\n\n\
         A message has five parts: what is wrong ｜ where (event, property, SDK, app version) ｜ what arrived ｜ what to do ｜ \
         what Tusk did.\n",
    );
    for (letter, title) in layers {
        write!(out, "\n## {letter}: {title}\n\n| code | does | what is wrong | what to do |\n|---|---|---|---|\n").unwrap();
        for row in CODES.iter().filter(|row| row.name.starts_with(letter)) {
            let mark = if row.private {
                ", private"
            } else if row.inner {
                ", inner"
            } else {
                ""
            };
            let limit = row.limit.map(|limit| format!(" (limit: {limit})")).unwrap_or_default();
            writeln!(
                out,
                "| {} | {}{mark} | {}{limit}<br>{} | {}<br>{} |",
                row.name,
                row.severity.as_str(),
                row.en.wrong,
                row.zh.wrong,
                row.en.fix,
                row.zh.fix,
            )
            .unwrap();
        }
    }
    let listed = CODES.iter().filter(|row| out.contains(&format!("\n| {} |", row.name))).count();
    assert_eq!(listed, CODES.len(), "a layer has no title");
    out
}

#[test]
fn the_page_of_codes_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/codes.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, page()).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(found == page(), "docs/codes.md is old: UPDATE_DOCS=1 cargo test -p event code");
}
