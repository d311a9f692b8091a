//! `multipart/form-data`, as clients send a query with its parameters.

use crate::sql::find;

/// Why a form cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// Not a form, or cut off.
    #[error("the multipart body is broken or cut off")]
    Broken,
    /// A file part: external data.
    #[error("external data in a multipart body is not supported; insert it into a table first")]
    File,
}

/// Fields of a form, in order.
///
/// # Errors
/// [`FormError`].
pub fn multipart(body: &[u8], boundary: &str) -> Result<Vec<(String, String)>, FormError> {
    let border = format!("\r\n--{boundary}");
    // The first border may stand at the very beginning, without a line end before it.
    let start = border.len() - 2;
    if boundary.is_empty() {
        return Err(FormError::Broken);
    }
    let mut rest = match body.strip_prefix(&border.as_bytes()[2..]) {
        Some(rest) => rest,
        None => {
            let at = find(border.as_bytes(), body).ok_or(FormError::Broken)?;
            &body[at + 2 + start..]
        }
    };
    let mut fields = Vec::new();
    while !rest.starts_with(b"--") {
        let head_end = find(b"\r\n\r\n", rest).ok_or(FormError::Broken)?;
        let end = find(border.as_bytes(), rest).ok_or(FormError::Broken)?;
        let value = rest.get(head_end + 4..end).ok_or(FormError::Broken)?;
        let head = String::from_utf8_lossy(&rest[..head_end]);
        if head.contains("filename=") {
            return Err(FormError::File);
        }
        let name = head.split("name=\"").nth(1).and_then(|rest| rest.split('"').next());
        let name = name.ok_or(FormError::Broken)?;
        fields.push((name.to_owned(), String::from_utf8_lossy(value).into_owned()));
        rest = &rest[end + border.len()..];
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &[u8] = b"--X\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\nSELECT {a:String}\r\n--X\r\n\
        Content-Disposition: form-data; name=\"param_a\"\r\n\r\n\r\n--X--\r\n";

    #[test]
    fn fields_come_in_order() {
        let fields = multipart(FORM, "X").unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(fields, [pair("query", "SELECT {a:String}"), pair("param_a", "")]);
    }

    #[test]
    fn a_cut_form_is_refused() {
        for end in 0..FORM.len() - 4 {
            assert_eq!(multipart(&FORM[..end], "X"), Err(FormError::Broken), "{end}");
        }
        assert_eq!(multipart(FORM, "Y"), Err(FormError::Broken));
        assert_eq!(multipart(FORM, ""), Err(FormError::Broken));
        let file =
            b"--X\r\nContent-Disposition: form-data; name=\"t\"; filename=\"f\"\r\n\r\n1\r\n--X--";
        assert_eq!(multipart(file, "X"), Err(FormError::File));
    }
}
