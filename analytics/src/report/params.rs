//! What a report is asked with, and the values that go into its SQL.

use serde_json::Value;

/// Why a report cannot be made of what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Stable name, such as `report.bad_filter`.
    pub code: &'static str,
    /// For people, Chinese.
    pub zh: String,
    /// For people, English.
    pub en: String,
}

impl Problem {
    /// A parameter that is missing or of another form.
    #[must_use]
    pub fn parameter(name: &str, zh: &str, en: &str) -> Self {
        Self {
            code: "report.bad_parameter",
            zh: format!("参数 {name}：{zh}"),
            en: format!("parameter {name}: {en}"),
        }
    }
}

/// Parameters of a report, as JSON.
#[derive(Clone, Debug, Default)]
pub struct Params(pub Value);

/// What is the same for all reports of a moment.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// IANA zone of the days.
    pub timezone: &'a str,
    /// Now, ms since 1970.
    pub now_ms: i64,
}

/// Values of a statement, each under a name of its own: what comes from outside never becomes part of the SQL.
#[derive(Clone, Debug, Default)]
pub struct Values(pub Vec<(String, String)>);

impl Values {
    /// A value's place in the SQL.
    pub fn put(&mut self, kind: &str, value: impl Into<String>) -> String {
        let name = format!("v{}", self.0.len() + 1);
        let place = format!("{{{name}:{kind}}}");
        self.0.push((name, value.into()));
        place
    }

    /// A text.
    pub fn text(&mut self, value: &str) -> String {
        self.put("String", escaped(value))
    }

    /// A list of texts.
    pub fn texts<'t>(&mut self, values: impl IntoIterator<Item = &'t str>) -> String {
        let all: Vec<String> = values.into_iter().map(crate::quoted).collect();
        self.put("Array(String)", format!("[{}]", all.join(",")))
    }

    /// A list of numbers.
    pub fn numbers(&mut self, values: &[f64]) -> String {
        let all: Vec<String> = values.iter().map(f64::to_string).collect();
        self.put("Array(Float64)", format!("[{}]", all.join(",")))
    }
}

/// ClickHouse reads a text parameter as a field of TabSeparated.
pub(super) fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r")
}

impl Params {
    /// A member that is text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// A whole number within bounds, or its default.
    ///
    /// # Errors
    /// It is not a number, or out of bounds.
    pub fn number(&self, name: &str, default: i64, low: i64, high: i64) -> Result<i64, Problem> {
        let Some(value) = self.0.get(name).filter(|value| !value.is_null()) else {
            return Ok(default);
        };
        value.as_i64().filter(|number| (low..=high).contains(number)).ok_or_else(|| {
            Problem::parameter(
                name,
                &format!("应为 {low} 到 {high} 的整数"),
                &format!("a whole number from {low} to {high} is expected"),
            )
        })
    }

    /// The project.
    #[must_use]
    pub fn project(&self) -> &str {
        self.text("project").unwrap_or("default")
    }

    /// A date of the form `YYYY-MM-DD`.
    ///
    /// # Errors
    /// It is missing, or has another form.
    pub fn date(&self, name: &str) -> Result<&str, Problem> {
        let is_date = |text: &&str| {
            text.len() == 10
                && text.bytes().enumerate().all(|(at, byte)| {
                    if at == 4 || at == 7 { byte == b'-' } else { byte.is_ascii_digit() }
                })
        };
        self.text(name).filter(is_date).ok_or_else(|| {
            Problem::parameter(
                name,
                "应为日期，如 2026-05-01",
                "a date such as 2026-05-01 is expected",
            )
        })
    }

    /// The list under a name; empty where there is none.
    ///
    /// # Errors
    /// It is no list, or has more than `most` items.
    pub fn list(&self, name: &str, most: usize) -> Result<&[Value], Problem> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(&[]),
            Some(Value::Array(items)) if items.len() <= most => Ok(items),
            Some(_) => Err(Problem::parameter(
                name,
                &format!("应为最多 {most} 项的列表"),
                &format!("a list of at most {most} items is expected"),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_places_of_their_own() {
        let mut values = Values::default();
        assert_eq!(values.text("it's\t'; DROP"), "{v1:String}");
        assert_eq!(values.texts(["a'b", "c"]), "{v2:Array(String)}");
        assert_eq!(values.0[0].1, "it's\\t'; DROP");
        assert_eq!(values.0[1].1, r"['a\'b','c']");
    }

    #[test]
    fn dates_and_numbers_are_looked_at() {
        let params =
            Params(serde_json::json!({"from": "2026-05-01", "to": "2026-05-01' OR 1", "steps": 7}));
        assert!(
            params.date("from").is_ok()
                && params.date("to").is_err()
                && params.date("none").is_err()
        );
        assert_eq!(params.number("steps", 1, 1, 10), Ok(7));
        assert!(params.number("steps", 1, 1, 5).is_err());
    }
}
