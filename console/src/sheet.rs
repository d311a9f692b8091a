//! Tables people upload (CSV, XLSX) and download (CSV): bounded, and harmless in a spreadsheet program.

use std::io::{Cursor, Read as _};

use calamine::{Data, DataRef, Reader as _, Xlsx};

use crate::error::Problem;

/// Largest upload, bytes.
pub const UPLOAD_BYTES_MAX: usize = 4 << 20;
/// Largest XLSX once unpacked: a small file may unpack to anything.
const UNPACKED_BYTES_MAX: u64 = 64 << 20;
/// Rows and columns read; a dictionary of more is not made by hand.
const ROWS_MAX: u32 = 20_000;
const COLUMNS_MAX: u32 = 50;
/// Longest cell, characters.
const CELL_CHARS_MAX: usize = 2_000;

/// Rows of the first sheet with something in it. Empty rows are left out; every cell is trimmed text.
///
/// # Errors
/// 400 that says what to do.
pub fn read(bytes: &[u8]) -> Result<Vec<Vec<String>>, Problem> {
    let rows = if bytes.starts_with(b"PK\x03\x04") { read_xlsx(bytes)? } else { read_csv(bytes)? };
    if rows.is_empty() {
        return Err(Problem::bad(
            "sheet.empty",
            "表格是空的；请用页面上的模板填写后再上传",
            "the table is empty; fill in the template of this page and upload it again",
        ));
    }
    Ok(rows)
}

fn too_large() -> Problem {
    Problem::bad(
        "sheet.too_large",
        format!("表格太大：最多 {ROWS_MAX} 行、{COLUMNS_MAX} 列"),
        format!("the table is too large: at most {ROWS_MAX} rows and {COLUMNS_MAX} columns"),
    )
}

fn unreadable(error: &str) -> Problem {
    Problem::bad(
        "sheet.unreadable",
        format!("读不了这个文件（{error}）；请用 Excel 另存为 .xlsx，或“CSV UTF-8”"),
        format!("cannot read this file ({error}); save it as .xlsx or as `CSV UTF-8`"),
    )
}

fn cell(text: &str) -> String {
    // What our own export put before a formula goes again.
    let text = text.trim();
    let text = match text.strip_prefix('\'') {
        Some(rest) if is_formula(rest) => rest,
        _ => text,
    };
    text.chars().take(CELL_CHARS_MAX).collect()
}

fn read_csv(bytes: &[u8]) -> Result<Vec<Vec<String>>, Problem> {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    // Excel in China saves plain CSV as GBK (GB 18030).
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => {
            match encoding_rs::GB18030.decode_without_bom_handling_and_without_replacement(bytes) {
                Some(text) => text,
                None => return Err(unreadable("UTF-8, GBK")),
            }
        }
    };
    let head = text.lines().next().unwrap_or_default();
    let tabs = head.contains('\t') && !head.contains(',');
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(if tabs { b'\t' } else { b',' })
        .from_reader(text.as_bytes());
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| unreadable(&error.to_string()))?;
        if record.iter().all(|field| field.trim().is_empty()) {
            continue;
        }
        if rows.len() >= ROWS_MAX as usize || record.len() > COLUMNS_MAX as usize {
            return Err(too_large());
        }
        rows.push(record.iter().map(cell).collect());
    }
    Ok(rows)
}

fn read_xlsx(bytes: &[u8]) -> Result<Vec<Vec<String>>, Problem> {
    unpacked_size(bytes)?;
    let wrong = |error: calamine::XlsxError| unreadable(&error.to_string());
    let mut book: Xlsx<_> = Xlsx::new(Cursor::new(bytes)).map_err(wrong)?;
    for name in book.sheet_names() {
        let mut rows: Vec<Vec<String>> = Vec::new();
        // Cell by cell: a table as one block would have room for all between its outermost cells.
        let mut cells = book.worksheet_cells_reader(&name).map_err(wrong)?;
        while let Some(found) = cells.next_cell().map_err(wrong)? {
            let (row, column) = found.get_position();
            let text = shown(found.get_value());
            if text.is_empty() {
                continue;
            }
            if row >= ROWS_MAX || column >= COLUMNS_MAX {
                return Err(too_large());
            }
            let (row, column) = (row as usize, column as usize);
            if rows.len() <= row {
                rows.resize(row + 1, Vec::new());
            }
            let Some(cells) = rows.get_mut(row) else { continue };
            if cells.len() <= column {
                cells.resize(column + 1, String::new());
            }
            if let Some(place) = cells.get_mut(column) {
                *place = cell(&text);
            }
        }
        rows.retain(|row| row.iter().any(|cell| !cell.is_empty()));
        if !rows.is_empty() {
            return Ok(rows);
        }
    }
    Ok(Vec::new())
}

fn shown(value: &DataRef<'_>) -> String {
    match Data::from(value.clone()) {
        Data::Float(number) if number.fract() == 0.0 && number.abs() < 1e15 => {
            format!("{number:.0}")
        }
        Data::Empty | Data::Error(_) => String::new(),
        other => other.to_string(),
    }
}

/// Unpacks every member once, and throws it away: what a member says of its own size is not to be believed.
fn unpacked_size(bytes: &[u8]) -> Result<(), Problem> {
    let wrong = |error: zip::result::ZipError| unreadable(&error.to_string());
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(wrong)?;
    let mut left = UNPACKED_BYTES_MAX;
    for at in 0..archive.len() {
        let member = archive.by_index(at).map_err(wrong)?;
        let copied = std::io::copy(&mut member.take(left + 1), &mut std::io::sink());
        let copied = copied.map_err(|error| unreadable(&error.to_string()))?;
        left = left.checked_sub(copied).ok_or_else(too_large)?;
    }
    Ok(())
}

/// Whether a spreadsheet program would run the text.
pub(crate) fn is_formula(text: &str) -> bool {
    text.starts_with(['=', '+', '-', '@', '\t', '\r'])
}

/// A table as CSV with a byte order mark, so that Excel takes it for UTF-8; what would be a formula gets a `'` before it.
#[must_use]
pub fn write_csv<'r>(rows: impl IntoIterator<Item = Vec<&'r str>>) -> Vec<u8> {
    let mut out = "\u{feff}".as_bytes().to_vec();
    for row in rows {
        for (at, cell) in row.into_iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            let guard = if is_formula(cell) { "'" } else { "" };
            if cell.contains(['"', ',', '\n', '\r']) {
                out.extend_from_slice(
                    format!("\"{guard}{}\"", cell.replace('"', "\"\"")).as_bytes(),
                );
            } else {
                out.extend_from_slice(guard.as_bytes());
                out.extend_from_slice(cell.as_bytes());
            }
        }
        out.extend_from_slice(b"\r\n");
    }
    out
}

#[cfg(test)]
mod tests;
