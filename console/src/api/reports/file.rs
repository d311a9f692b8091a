//! Rows as CSV or XLSX, written as they come. Both open right in a spreadsheet program: text stays text, long ids keep their digits, dates
//! are not rewritten, and nothing that came with an event is run as a formula.

use std::io::{self, Write};

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::mpsc::Sender;
use zip::write::{SimpleFileOptions, StreamWriter};
use zip::{CompressionMethod, ZipWriter};

use crate::sheet::is_formula;

/// Bytes sent at once.
const CHUNK_BYTES: usize = 64 << 10;
/// Digits a spreadsheet program keeps.
const DIGITS_MAX: usize = 15;
/// Longest text of a cell in XLSX, characters.
const CELL_CHARS_MAX: usize = 32_767;

/// Sends what is written to the one who downloads; waits for them.
#[derive(Debug)]
pub(super) struct Out {
    to: Sender<io::Result<Bytes>>,
    chunk: Vec<u8>,
}

impl Out {
    pub(super) fn new(to: Sender<io::Result<Bytes>>) -> Self {
        Self { to, chunk: Vec::with_capacity(CHUNK_BYTES * 2) }
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.chunk.extend_from_slice(bytes);
        if self.chunk.len() >= CHUNK_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let full = Bytes::from(std::mem::take(&mut self.chunk));
        // Nobody takes it any more: the download was broken off.
        self.to.blocking_send(Ok(full)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// A file being written.
pub(super) enum File<W: Write> {
    Csv(W),
    Xlsx(Box<ZipWriter<StreamWriter<W>>>),
}

/// Members of a workbook before its only sheet.
const MEMBERS: [(&str, &str); 4] = [
    ("[Content_Types].xml", "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?><Types xmlns=\"http://schemas.openxmlformats.org/package/2006/content-types\"><Default Extension=\"rels\" ContentType=\"application/vnd.openxmlformats-package.relationships+xml\"/><Default Extension=\"xml\" ContentType=\"application/xml\"/><Override PartName=\"/xl/workbook.xml\" ContentType=\"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml\"/><Override PartName=\"/xl/worksheets/sheet1.xml\" ContentType=\"application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml\"/></Types>"),
    ("_rels/.rels", "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?><Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\"><Relationship Id=\"rId1\" Type=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument\" Target=\"xl/workbook.xml\"/></Relationships>"),
    ("xl/workbook.xml", "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?><workbook xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\" xmlns:r=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships\"><sheets><sheet name=\"report\" sheetId=\"1\" r:id=\"rId1\"/></sheets></workbook>"),
    ("xl/_rels/workbook.xml.rels", "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?><Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\"><Relationship Id=\"rId1\" Type=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet\" Target=\"worksheets/sheet1.xml\"/></Relationships>"),
];

impl<W: Write> File<W> {
    pub(super) fn csv(mut out: W) -> io::Result<Self> {
        // Excel takes it for UTF-8 by this mark alone.
        out.write_all("\u{feff}".as_bytes())?;
        Ok(Self::Csv(out))
    }

    pub(super) fn xlsx(out: W) -> io::Result<Self> {
        let mut zip = ZipWriter::new_stream(out);
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .compression_level(Some(1));
        for (name, text) in MEMBERS {
            zip.start_file(name, options)?;
            zip.write_all(text.as_bytes())?;
        }
        zip.start_file("xl/worksheets/sheet1.xml", options)?;
        zip.write_all(b"<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?><worksheet xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\"><sheetData>")?;
        Ok(Self::Xlsx(Box::new(zip)))
    }

    /// A row; numbers are numbers where none of their digits would be lost, everything else is text.
    pub(super) fn row(&mut self, cells: &[Value]) -> io::Result<()> {
        let mut line = String::new();
        match self {
            Self::Csv(out) => {
                for (at, cell) in cells.iter().enumerate() {
                    if at > 0 {
                        line.push(',');
                    }
                    csv_cell(cell, &mut line);
                }
                line.push_str("\r\n");
                out.write_all(line.as_bytes())
            }
            Self::Xlsx(zip) => {
                line.push_str("<row>");
                cells.iter().for_each(|cell| xlsx_cell(cell, &mut line));
                line.push_str("</row>");
                zip.write_all(line.as_bytes())
            }
        }
    }

    pub(super) fn finish(self) -> io::Result<W> {
        let mut out = match self {
            Self::Csv(out) => out,
            Self::Xlsx(mut zip) => {
                zip.write_all(b"</sheetData></worksheet>")?;
                zip.finish()?.into_inner()
            }
        };
        out.flush()?;
        Ok(out)
    }
}

fn shown(cell: &Value) -> String {
    match cell {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A number as it is written, if a spreadsheet program keeps all of it.
fn number(cell: &Value) -> Option<String> {
    let text = cell.as_number()?.to_string();
    let whole = !text.contains(['.', 'e', 'E']);
    (!whole || text.trim_start_matches('-').len() <= DIGITS_MAX).then_some(text)
}

/// Text that a spreadsheet program would take for a number or a date, and rewrite.
fn rewritten(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digits = |bytes: &[u8]| !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit);
    let id = digits(bytes) && (bytes.len() > DIGITS_MAX || (bytes.len() > 1 && bytes.starts_with(b"0")));
    let date = matches!(bytes, [a, b, c, d, b'-', e, f, ..] if digits(&[*a, *b, *c, *d, *e, *f]));
    id || date
}

fn csv_cell(cell: &Value, line: &mut String) {
    if let Some(number) = number(cell) {
        line.push_str(&number);
        return;
    }
    let text = shown(cell);
    let guard = if is_formula(&text) {
        "'"
    } else if rewritten(&text) {
        // What begins with a tab is text.
        "\t"
    } else {
        ""
    };
    if text.contains(['"', ',', '\n', '\r']) {
        line.push('"');
        line.push_str(guard);
        line.push_str(&text.replace('"', "\"\""));
        line.push('"');
    } else {
        line.push_str(guard);
        line.push_str(&text);
    }
}

fn xlsx_cell(cell: &Value, line: &mut String) {
    if let Some(number) = number(cell) {
        line.push_str("<c><v>");
        line.push_str(&number);
        line.push_str("</v></c>");
        return;
    }
    // Inline text is never a formula.
    line.push_str("<c t=\"inlineStr\"><is><t xml:space=\"preserve\">");
    for char in shown(cell).chars().take(CELL_CHARS_MAX) {
        match char {
            '&' => line.push_str("&amp;"),
            '<' => line.push_str("&lt;"),
            '>' => line.push_str("&gt;"),
            '\t' | '\n' | '\r' => line.push(char),
            // XML has no place for these.
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
            _ => line.push(char),
        }
    }
    line.push_str("</t></is></c>");
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rows() -> [Vec<Value>; 2] {
        let first = json!([1, -2.5, "=1+1", "2026-05-01", "7219384756102938475", 7_219_384_756_102_938_475_i64]);
        let second = json!(["a,\"b\"", "<&\u{1}>", null, ["x"], "-", "007"]);
        [first, second].map(|row| row.as_array().cloned().unwrap())
    }

    #[test]
    fn csv_keeps_ids_and_dates_and_runs_nothing() {
        let mut file = File::csv(Vec::new()).unwrap();
        rows().iter().for_each(|row| file.row(row).unwrap());
        let text = String::from_utf8(file.finish().unwrap()).unwrap();
        let want = "\u{feff}1,-2.5,'=1+1,\t2026-05-01,\t7219384756102938475,\t7219384756102938475\r\n\
                    \"a,\"\"b\"\"\",<&\u{1}>,,\"[\"\"x\"\"]\",'-,\t007\r\n";
        assert_eq!(text, want);
    }

    #[test]
    fn xlsx_opens_and_has_the_same_cells() {
        let mut file = File::xlsx(Vec::new()).unwrap();
        rows().iter().for_each(|row| file.row(row).unwrap());
        let read = crate::sheet::read(&file.finish().unwrap()).unwrap();
        assert_eq!(read[0], ["1", "-2.5", "=1+1", "2026-05-01", "7219384756102938475", "7219384756102938475"]);
        assert_eq!(read[1], ["a,\"b\"", "<&>", "", "[\"x\"]", "-", "007"]);
    }
}
