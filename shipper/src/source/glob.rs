//! Paths with `*` and `?`.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// Files that fit the pattern, as they are now. What cannot be read is left out, with the reason.
pub(super) fn files(pattern: &Path, out: &mut Vec<PathBuf>, problems: &mut Vec<String>) {
    let parts: Vec<Component<'_>> = pattern.components().collect();
    walk(PathBuf::new(), &parts, out, problems);
}

fn walk(
    base: PathBuf,
    parts: &[Component<'_>],
    out: &mut Vec<PathBuf>,
    problems: &mut Vec<String>,
) {
    let Some((part, rest)) = parts.split_first() else {
        if fs::metadata(&base).is_ok_and(|about| about.is_file()) {
            out.push(base);
        }
        return;
    };
    let pattern = part.as_os_str().to_string_lossy();
    if !pattern.contains(['*', '?']) {
        return walk(base.join(part), rest, out, problems);
    }
    let entries = match fs::read_dir(&base) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
        Err(error) => return problems.push(format!("{}: {error}", base.display())),
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        // As in a shell: hidden files are named on purpose or not at all.
        let hidden = name.starts_with('.') && !pattern.starts_with('.');
        if !hidden && fits(pattern.as_bytes(), name.as_bytes()) {
            walk(entry.path(), rest, out, problems);
        }
    }
}

/// Whether `name` is what `pattern` describes.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    // Where to go on if what follows the last `*` does not fit.
    let mut back: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                back = Some((p, n));
                p += 1;
            }
            Some(&byte) if byte == b'?' || byte == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match &mut back {
                Some((star, from)) => {
                    *from += 1;
                    (p, n) = (*star + 1, *from);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_fit() {
        for (pattern, name, want) in [
            ("*.log*", "app.log.2026-11-25", true),
            ("*.log", "app.log.1", false),
            ("app.?", "app.1", true),
            ("app.?", "app.", false),
            ("*", "x", true),
            ("a*b*c", "aXbXbc", true),
            ("a*b*c", "aXbX", false),
            ("", "", true),
        ] {
            assert_eq!(fits(pattern.as_bytes(), name.as_bytes()), want, "{pattern} {name}");
        }
    }

    #[test]
    fn folders_may_have_stars_too() {
        let dir = std::env::temp_dir().join(format!("tusk-glob-{}", std::process::id()));
        for name in ["a/x.log", "b/y.log", "b/.z.log", "c/x.txt"] {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let (mut out, mut problems) = (Vec::new(), Vec::new());
        files(&dir.join("*/*.log"), &mut out, &mut problems);
        files(&dir.join("none/*"), &mut out, &mut problems);
        fs::remove_dir_all(&dir).unwrap();
        out.sort();
        assert_eq!(out, [dir.join("a/x.log"), dir.join("b/y.log")]);
        assert_eq!(problems, Vec::<String>::new());
    }
}
