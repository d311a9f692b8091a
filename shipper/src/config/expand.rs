//! `${NAME}` inside a string of `tusk.toml` stands for an environment variable, so that a secret need not be in the file:
//! `keys_file = "${CREDENTIALS_DIRECTORY}/keys.toml"`. `$${` is a plain `${`.

/// What a character is part of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum In {
    Plain,
    Comment,
    /// `"…"` or, if long, `"""…"""`.
    Basic {
        long: bool,
    },
    /// `'…'` or `'''…'''`.
    Literal {
        long: bool,
    },
}

/// Puts variables in; lines stay where they are. The error is a line number and a sentence.
pub(super) fn expand(
    text: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<String, (usize, String)> {
    let mut out = String::with_capacity(text.len());
    let (mut rest, mut state, mut line) = (text, In::Plain, 1);
    while let Some(c) = rest.chars().next() {
        let mut step = c.len_utf8();
        match (state, c) {
            (In::Comment, '\n') => state = In::Plain,
            (In::Plain, '#') => state = In::Comment,
            (In::Plain, '"' | '\'') => {
                let long = rest.starts_with("\"\"\"") || rest.starts_with("'''");
                step = if long { 3 } else { 1 };
                state = if c == '"' { In::Basic { long } } else { In::Literal { long } };
            }
            (In::Basic { .. }, '\\') => {
                step += rest[1..].chars().next().map_or(0, char::len_utf8);
            }
            (In::Basic { long: true }, '"') if rest.starts_with("\"\"\"") => {
                (step, state) = (3, In::Plain);
            }
            (In::Literal { long: true }, '\'') if rest.starts_with("'''") => {
                (step, state) = (3, In::Plain);
            }
            (In::Basic { long: false }, '"' | '\n')
            | (In::Literal { long: false }, '\'' | '\n') => {
                state = In::Plain;
            }
            (In::Basic { .. } | In::Literal { .. }, '$') if rest.starts_with("$${") => {
                out.push_str("${");
                rest = &rest[3..];
                continue;
            }
            (In::Basic { .. } | In::Literal { .. }, '$') if rest.starts_with("${") => {
                let Some((name, after)) = rest[2..].split_once('}') else {
                    return Err((line, "`${` without `}`; write $${ for a plain ${".to_owned()));
                };
                let value = variable(name)
                    .ok_or_else(|| (line, format!("the environment variable {name} is not set")))?;
                let literal = matches!(state, In::Literal { .. });
                if value.contains('\n') || (literal && value.contains('\'')) {
                    let problem = format!(
                        "the environment variable {name} holds a character that cannot stand here; \
                         use \"…\" and a value of one line"
                    );
                    return Err((line, problem));
                }
                if literal {
                    out.push_str(&value);
                } else {
                    out.push_str(&value.replace('\\', "\\\\").replace('"', "\\\""));
                }
                rest = after;
                continue;
            }
            _ => {}
        }
        line += rest[..step].matches('\n').count();
        out.push_str(&rest[..step]);
        rest = &rest[step..];
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str) -> Result<String, (usize, String)> {
        expand(text, &|name| (name == "A").then(|| "v\\\"".to_owned()))
    }

    #[test]
    fn only_strings_are_touched() {
        for (text, want) in [
            ("a = \"${A}\"", "a = \"v\\\\\\\"\""),
            ("a = '${A}'", "a = 'v\\\"'"),
            ("# ${B}\na = 1", "# ${B}\na = 1"),
            ("a = \"$${A}\"", "a = \"${A}\""),
            ("a = \"\\\"${A}\" # \"${B}", "a = \"\\\"v\\\\\\\"\" # \"${B}"),
            ("a = \"\"\"x\"${A}\"\"\"\n", "a = \"\"\"x\"v\\\\\\\"\"\"\"\n"),
        ] {
            assert_eq!(run(text).unwrap(), want);
        }
        assert_eq!(run("\n\na = \"${B}\"").unwrap_err().0, 3);
        assert_eq!(run("a = \"${B").unwrap_err().0, 1);
    }
}
