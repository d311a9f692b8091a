use super::*;

#[test]
fn csv_is_read_as_utf8_and_as_excel_in_china_saves_it() {
    let text = "事件名,显示名\r\nBuy,\"提交, 订单\"\r\n,,\r\n\r\nPay, 支付 \r\n";
    let want = [["事件名", "显示名"], ["Buy", "提交, 订单"], ["Pay", "支付"]];
    let (gbk, _, _) = encoding_rs::GBK.encode(text);
    for bytes in [text.as_bytes(), format!("\u{feff}{text}").as_bytes(), &gbk] {
        assert_eq!(read(bytes).unwrap(), want);
    }
    assert_eq!(read("a\tb\nc\td\n".as_bytes()).unwrap(), [["a", "b"], ["c", "d"]]);
}

#[test]
fn what_is_no_table_is_refused_with_a_sentence() {
    for (bytes, code) in [
        (&b""[..], "sheet.empty"),
        (b"\n\n", "sheet.empty"),
        (b"\xff\xff\xff\xfe", "sheet.unreadable"),
        (b"PK\x03\x04", "sheet.unreadable"),
        (b"PK\x03\x04 and no more", "sheet.unreadable"),
    ] {
        let problem = read(bytes).unwrap_err();
        assert_eq!(problem.code, code, "{bytes:?}");
    }
    let wide = "x,".repeat(60);
    assert_eq!(read(wide.as_bytes()).unwrap_err().code, "sheet.too_large");
}

/// A workbook of one sheet.
fn workbook(cells: &str) -> Vec<u8> {
    use std::io::Write as _;
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let mut file = |name: &str, text: &str| {
        zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    };
    file(
        "xl/workbook.xml",
        r#"<workbook xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets><sheet name="S" sheetId="1" r:id="r1"/></sheets></workbook>"#,
    );
    file(
        "xl/_rels/workbook.xml.rels",
        r#"<Relationships><Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet1.xml"/></Relationships>"#,
    );
    file(
        "xl/worksheets/sheet1.xml",
        &format!("<worksheet><sheetData>{cells}</sheetData></worksheet>"),
    );
    zip.finish().unwrap().into_inner()
}

#[test]
fn xlsx_is_read_cell_by_cell() {
    let book = workbook(
        r#"<row r="1"><c r="A1" t="inlineStr"><is><t>事件名</t></is></c><c r="C1" t="inlineStr"><is><t>必填</t></is></c></row><row r="4"><c r="A4" t="inlineStr"><is><t>Buy</t></is></c><c r="B4"><v>6.5</v></c><c r="C4"><v>1</v></c></row>"#,
    );
    assert_eq!(read(&book).unwrap(), [["事件名", "", "必填"], ["Buy", "6.5", "1"]]);
}

#[test]
fn a_cell_far_away_takes_no_memory() {
    let book = workbook(
        r#"<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>1</v></c></row>"#,
    );
    assert_eq!(read(&book).unwrap_err().code, "sheet.too_large");
}

#[test]
fn a_workbook_that_unpacks_to_too_much_is_refused() {
    let book = workbook(&" ".repeat(70 << 20));
    assert!(book.len() < UPLOAD_BYTES_MAX);
    assert_eq!(read(&book).unwrap_err().code, "sheet.too_large");
}

#[test]
fn formulas_are_text_in_what_we_write_and_come_back_as_they_were() {
    let hostile = "=HYPERLINK(\"http://evil\")";
    let csv = write_csv([vec!["name", "x"], vec![hostile, "-1"], vec!["@a", "a,b\n\"c\""]]);
    let text = String::from_utf8(csv.clone()).unwrap();
    assert!(text.starts_with('\u{feff}'));
    for line in text.lines() {
        assert!(!line.trim_start_matches('"').starts_with(['=', '@', '+', '-']), "{line}");
    }
    assert_eq!(read(&csv).unwrap(), [["name", "x"], [hostile, "-1"], ["@a", "a,b\n\"c\""]]);
}
