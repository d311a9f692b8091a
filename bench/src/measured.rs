//! A number of a case: its values round by round, and what it should be.

use crate::Error;
use serde_json::{Value, json};
use std::fmt;
use std::path::Path;

/// How the cases of `bench deliver` begin, beside those of `bench` in the same file.
const DELIVERY: &str = "deliver-";

/// What a number should be.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// At least so much.
    AtLeast(f64),
    /// At most so much.
    AtMost(f64),
    /// Nothing: it explains another.
    None,
}

/// One number.
#[derive(Clone, Debug)]
pub struct Measured {
    /// What it is, with its unit.
    pub what: String,
    /// One value a round.
    pub values: Vec<f64>,
    /// What it should be.
    pub target: Target,
}

impl Measured {
    /// A number that explains another.
    pub fn plain(what: impl Into<String>, values: Vec<f64>) -> Self {
        Self { what: what.into(), values, target: Target::None }
    }

    /// A number with a target.
    pub fn with(what: impl Into<String>, values: Vec<f64>, target: Target) -> Self {
        Self { what: what.into(), values, target }
    }

    /// Median, least and greatest.
    pub fn spread(&self) -> (f64, f64, f64) {
        let mut sorted = self.values.clone();
        sorted.sort_by(f64::total_cmp);
        let end = (sorted.first().copied(), sorted.last().copied());
        (median(&sorted), end.0.unwrap_or(f64::NAN), end.1.unwrap_or(f64::NAN))
    }

    /// Whether the median is what it should be; `None` without a target.
    pub fn reached(&self) -> Option<bool> {
        let (median, ..) = self.spread();
        match self.target {
            Target::AtLeast(limit) => Some(median >= limit),
            Target::AtMost(limit) => Some(median <= limit),
            Target::None => None,
        }
    }
}

/// Median of sorted values: of an even number the mean of the two in the middle.
fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// The value below which `share` of all lie; of none `NaN`.
pub fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len() as f64 * share) as usize;
    values.get(at.min(values.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

/// One value by another, round by round.
pub fn ratios(over: &[f64], under: &[f64]) -> Vec<f64> {
    over.iter().zip(under).map(|(over, under)| over / under).collect()
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (median, min, max) = self.spread();
        let digits = if median.abs() < 100.0 { 2 } else { 0 };
        write!(f, "{:<64}{median:>10.digits$} ({min:.digits$} – {max:.digits$})", self.what)?;
        let (sign, limit) = match self.target {
            Target::AtLeast(limit) => ("≥", limit),
            Target::AtMost(limit) => ("≤", limit),
            Target::None => return Ok(()),
        };
        let word = if self.reached() == Some(true) { "reached" } else { "NOT REACHED" };
        write!(f, "  {sign} {limit}  {word}")
    }
}

/// Puts the rows of a case into the file, in place of those that it had there.
///
/// # Errors
/// If the file cannot be read as rows, or not be written.
pub fn write(path: &Path, case: &str, measured: &[Measured], load: f64) -> Result<(), Error> {
    let case = format!("{DELIVERY}{case}");
    let mut rows = read(path)?;
    rows.retain(|row| row["case"] != case.as_str());
    rows.extend(measured.iter().map(|one| {
        let (median, min, max) = one.spread();
        let (at_least, at_most) = match one.target {
            Target::AtLeast(limit) => (Some(limit), None),
            Target::AtMost(limit) => (None, Some(limit)),
            Target::None => (None, None),
        };
        json!({
            "case": case, "what": one.what, "median": median, "min": min, "max": max,
            "rounds": one.values.len(), "at_least": at_least, "at_most": at_most,
            "reached": one.reached(), "load": load,
        })
    }));
    save(path, &rows)
}

/// Whether a row is one of `bench deliver`.
pub fn is_delivery(row: &Value) -> bool {
    row["case"].as_str().is_some_and(|case| case.starts_with(DELIVERY))
}

/// The rows of a file; none if it is missing.
///
/// # Errors
/// If it holds something else.
pub fn read(path: &Path) -> Result<Vec<Value>, Error> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
        Err(_) => Ok(Vec::new()),
    }
}

/// Writes rows, one a line.
///
/// # Errors
/// If the file cannot be written.
pub fn save(path: &Path, rows: &[Value]) -> Result<(), Error> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
    Ok(std::fs::write(path, format!("[\n{}\n]\n", lines.join(",\n")))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_two_is_between_them() {
        let one = Measured::with("x", vec![1.0, 0.5], Target::AtLeast(0.8));
        assert_eq!(one.spread(), (0.75, 0.5, 1.0));
        assert_eq!(one.reached(), Some(false));
        assert_eq!(Measured::plain("x", vec![3.0, 1.0, 2.0]).spread().0, 2.0);
        assert_eq!(percentile(&mut [5.0, 1.0, 4.0, 2.0, 3.0], 0.5), 3.0);
    }

    #[test]
    fn a_case_replaces_its_own_rows_alone() {
        let path = std::env::temp_dir().join(format!("bench-rows-{}.json", std::process::id()));
        save(&path, &[json!({"case": "a", "peer": "tusk"})]).unwrap();
        for value in [1.0, 2.0] {
            write(&path, "kafka", &[Measured::plain("x", vec![value])], 0.5).unwrap();
        }
        let rows = read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!((&rows[0]["case"], &rows[1]["median"]), (&json!("a"), &json!(2.0)));
    }
}
