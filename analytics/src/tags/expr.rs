//! Expressions of rules: identifiers, literals, operators, listed functions, nothing else. What is written becomes a tree of our own words;
//! literals and names of properties become parameters.

use crate::presets;
use crate::report::{Problem, Values};

/// Longest expression, bytes.
const TEXT_BYTES_MAX: usize = 2_000;
/// Levels of brackets and functions.
const DEPTH_MAX: usize = 20;

/// What an expression is about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scope<'a> {
    /// One event.
    Event,
    /// One profile.
    Profile,
    /// A person's events together; every number in it counts only events of this condition.
    Group(&'a str),
    /// Measures by these names.
    Measures(&'a [String]),
}

pub(super) fn bad(zh: impl Into<String>, en: impl Into<String>) -> Problem {
    Problem { code: "rule.bad", zh: zh.into(), en: en.into() }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Number(f64),
    Sign(&'static str),
}

const SIGNS: [&str; 15] =
    ["<=", ">=", "!=", "<>", "==", "=", "<", ">", "(", ")", ",", "+", "-", "*", "/"];

fn tokens(text: &str) -> Result<Vec<Token>, Problem> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(bad("表达式太长", "the expression is too long"));
    }
    let mut out = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '.');
        if matches!(first, '\'' | '"') {
            let end = rest.get(1..).and_then(|tail| tail.find(first)).ok_or_else(|| {
                bad(format!("引号没有结束：{rest}"), format!("a quote is not closed: {rest}"))
            })?;
            out.push(Token::Text(rest.get(1..=end).unwrap_or_default().to_owned()));
            rest = rest.get(end + 2..).unwrap_or_default();
        } else if is_word(first) {
            let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            let (word, tail) = rest.split_at(end);
            out.push(match word.parse::<f64>() {
                Ok(number) if first.is_ascii_digit() && number.is_finite() => Token::Number(number),
                _ => Token::Word(word.to_owned()),
            });
            rest = tail;
        } else {
            let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign)).ok_or_else(|| {
                bad(
                    format!("看不懂的字符：{first}"),
                    format!("a character that means nothing here: {first}"),
                )
            })?;
            out.push(Token::Sign(sign));
            rest = rest.get(sign.len()..).unwrap_or_default();
        }
        rest = rest.trim_start();
    }
    Ok(out)
}

/// SQL of a part, and what must be there for it to have a value.
#[derive(Debug)]
struct Piece {
    sql: String,
    needs: Vec<String>,
    truth: bool,
}

impl Piece {
    fn of(sql: impl Into<String>) -> Self {
        Self { sql: sql.into(), needs: Vec::new(), truth: false }
    }

    fn truth(sql: impl Into<String>) -> Self {
        Self { truth: true, ..Self::of(sql) }
    }
}

struct Parser<'a> {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    scope: Scope<'a>,
    values: &'a mut Values,
}

/// The SQL of an expression that is true or false.
///
/// # Errors
/// What is wrong with it.
pub(super) fn condition(
    text: &str,
    scope: Scope<'_>,
    values: &mut Values,
) -> Result<String, Problem> {
    let piece = parse(text, scope, values)?;
    if !piece.truth {
        return Err(bad(
            format!("“{text}”不是条件，例如 num.amount > 100"),
            format!("`{text}` is no condition, such as num.amount > 100"),
        ));
    }
    Ok(piece.sql)
}

/// The SQL of an expression that is a number or text.
///
/// # Errors
/// What is wrong with it.
pub(super) fn value(text: &str, scope: Scope<'_>, values: &mut Values) -> Result<String, Problem> {
    parse(text, scope, values).map(|piece| piece.sql)
}

fn parse(text: &str, scope: Scope<'_>, values: &mut Values) -> Result<Piece, Problem> {
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens, at: 0, depth: 0, scope, values };
    let piece = parser.any()?;
    match parser.peek() {
        None => Ok(piece),
        Some(token) => Err(bad(
            format!("“{text}”里多出来：{token:?}"),
            format!("`{text}` has something left over: {token:?}"),
        )),
    }
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn sign(&mut self, signs: &[&'static str]) -> Option<&'static str> {
        let Some(Token::Sign(sign)) = self.peek() else { return None };
        let sign = *sign;
        signs.contains(&sign).then(|| {
            self.at += 1;
            sign
        })
    }

    fn word(&mut self, wanted: &str) -> bool {
        let found =
            matches!(self.peek(), Some(Token::Word(word)) if word.eq_ignore_ascii_case(wanted));
        self.at += usize::from(found);
        found
    }

    fn close(&mut self, sign: &'static str) -> Result<(), Problem> {
        self.sign(&[sign])
            .map(|_| ())
            .ok_or_else(|| bad(format!("缺少 {sign}"), format!("a {sign} is missing")))
    }

    fn any(&mut self) -> Result<Piece, Problem> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(bad("表达式嵌套太深", "the expression is nested too deeply"));
        }
        let mut left = self.all()?;
        while self.word("or") {
            let right = self.all()?;
            left = Piece::truth(format!("({} OR {})", truth(&left)?, truth(&right)?));
        }
        self.depth -= 1;
        Ok(left)
    }

    fn all(&mut self) -> Result<Piece, Problem> {
        let mut left = self.not()?;
        while self.word("and") {
            let right = self.not()?;
            left = Piece::truth(format!("({} AND {})", truth(&left)?, truth(&right)?));
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Piece, Problem> {
        let mut turned = false;
        while self.word("not") {
            turned = !turned;
        }
        let piece = self.compared()?;
        if turned { Ok(Piece::truth(format!("(NOT {})", truth(&piece)?))) } else { Ok(piece) }
    }

    fn compared(&mut self) -> Result<Piece, Problem> {
        let left = self.sum()?;
        let turned = self.word("not");
        if self.word("in") {
            self.close("(")?;
            let mut list = vec![self.sum()?];
            while self.sign(&[","]).is_some() {
                list.push(self.sum()?);
            }
            self.close(")")?;
            let mut sqls = Vec::new();
            let mut needs = left.needs;
            for one in list {
                sqls.push(one.sql);
                needs.extend(one.needs);
            }
            let sql = together(&needs, &format!("{} IN ({})", left.sql, sqls.join(", ")));
            return Ok(Piece::truth(if turned { format!("(NOT {sql})") } else { sql }));
        }
        if turned {
            return Err(bad("not 后面应为 in", "`not` is followed by `in` here"));
        }
        let Some(sign) = self.sign(&["<=", ">=", "!=", "<>", "==", "=", "<", ">"]) else {
            return Ok(left);
        };
        let right = self.sum()?;
        let mut needs = left.needs;
        needs.extend(right.needs);
        let differs = matches!(sign, "!=" | "<>");
        let word = if differs || sign == "==" { "=" } else { sign };
        let sql = together(&needs, &format!("{} {word} {}", left.sql, right.sql));
        // As in filters: what is not there is not equal.
        Ok(Piece::truth(if differs { format!("(NOT {sql})") } else { sql }))
    }

    fn sum(&mut self) -> Result<Piece, Problem> {
        let mut left = self.product()?;
        while let Some(sign) = self.sign(&["+", "-"]) {
            left = joined(left, sign, self.product()?);
        }
        Ok(left)
    }

    fn product(&mut self) -> Result<Piece, Problem> {
        let mut left = self.unit()?;
        while let Some(sign) = self.sign(&["*", "/"]) {
            left = joined(left, sign, self.unit()?);
        }
        Ok(left)
    }

    fn unit(&mut self) -> Result<Piece, Problem> {
        if self.sign(&["-"]).is_some() {
            let Some(Token::Number(number)) = self.peek().cloned() else {
                return Err(bad("负号后面应为数值", "a minus sign is followed by a number"));
            };
            self.at += 1;
            return Ok(Piece::of(self.values.put("Float64", (-number).to_string())));
        }
        if self.sign(&["("]).is_some() {
            let inner = self.any()?;
            self.close(")")?;
            return Ok(Piece { sql: format!("({})", inner.sql), ..inner });
        }
        let token = self.peek().cloned();
        self.at += 1;
        match token {
            Some(Token::Number(number)) => {
                Ok(Piece::of(self.values.put("Float64", number.to_string())))
            }
            Some(Token::Text(text)) => Ok(Piece::of(self.values.text(&text))),
            Some(Token::Word(word)) if self.sign(&["("]).is_some() => self.function(&word),
            Some(Token::Word(word)) => self.name(&word),
            _ => Err(bad("表达式不完整", "the expression is not complete")),
        }
    }

    fn arguments(&mut self) -> Result<Vec<Piece>, Problem> {
        let mut list = Vec::new();
        if self.sign(&[")"]).is_some() {
            return Ok(list);
        }
        loop {
            list.push(self.any()?);
            if self.sign(&[","]).is_none() {
                break;
            }
        }
        self.close(")")?;
        Ok(list)
    }

    fn function(&mut self, name: &str) -> Result<Piece, Problem> {
        let lower = name.to_ascii_lowercase();
        if let Scope::Group(of) = self.scope
            && let Some(piece) = self.aggregate(&lower, of)?
        {
            return Ok(piece);
        }
        let arguments = self.arguments()?;
        let needs: Vec<String> = arguments.iter().flat_map(|one| one.needs.clone()).collect();
        let sqls: Vec<&str> = arguments.iter().map(|one| one.sql.as_str()).collect();
        let truth = |sql: String| Ok(Piece::truth(together(&needs, &sql)));
        let plain = |sql: String| Ok(Piece { sql, needs: needs.clone(), truth: false });
        match (lower.as_str(), &*sqls) {
            ("contains", [text, part]) => truth(format!("position({text}, {part}) > 0")),
            ("starts_with", [text, part]) => truth(format!("startsWith({text}, {part})")),
            ("ends_with", [text, part]) => truth(format!("endsWith({text}, {part})")),
            ("has", [list, one]) => truth(format!("has({list}, {one})")),
            ("lower", [text]) => plain(format!("lowerUTF8({text})")),
            ("length", [text]) => plain(format!("lengthUTF8({text})")),
            ("abs", [number]) => plain(format!("abs({number})")),
            ("round", [number]) => plain(format!("round({number})")),
            ("floor", [number]) => plain(format!("floor({number})")),
            _ => Err(bad(
                format!(
                    "没有函数 {name}（{} 个参数）；可用 contains、starts_with、ends_with、has、lower、length、abs、round、floor，统计时还有 count、uniq、\
                     sum、avg、min、max、first、last、days、days_since",
                    sqls.len()
                ),
                format!(
                    "there is no function {name} of {} arguments; there are contains, starts_with, ends_with, has, lower, length, abs, round, \
                     floor, and in measures count, uniq, sum, avg, min, max, first, last, days, days_since",
                    sqls.len()
                ),
            )),
        }
    }

    /// A number over a person's events; `None` if the name is none of these.
    fn aggregate(&mut self, name: &str, of: &str) -> Result<Option<Piece>, Problem> {
        if !matches!(
            name,
            "count"
                | "uniq"
                | "sum"
                | "avg"
                | "min"
                | "max"
                | "first"
                | "last"
                | "days"
                | "days_since"
        ) {
            return Ok(None);
        }
        // Inside it is about one event again.
        let outer = std::mem::replace(&mut self.scope, Scope::Event);
        let arguments = self.arguments();
        self.scope = outer;
        let arguments = arguments?;
        let mut all: Vec<String> = arguments.iter().flat_map(|one| one.needs.clone()).collect();
        all.push(of.to_owned());
        let first = arguments.first();
        let sql = match (name, first, arguments.len()) {
            ("count", None, 0) => format!("countIf({of})"),
            ("count", Some(fits), 1) => format!("countIf({of} AND {})", truth(fits)?),
            ("days", None, 0) => format!("uniqExactIf(day, {of})"),
            // Whole days since the last of these events; as good as for ever where there is none.
            ("days_since", None, 0) => format!(
                "if(countIf({of}) = 0, 36500, dateDiff('day', maxIf(day, {of}), toDate(fromUnixTimestamp64Milli({{now_ms:Int64}}, {{zone:String}}))))"
            ),
            ("uniq", Some(one), 1) => format!("uniqExactIf({}, {})", one.sql, all.join(" AND ")),
            ("sum" | "avg" | "min" | "max", Some(one), 1) => {
                format!("{name}If({}, {})", one.sql, all.join(" AND "))
            }
            ("first", Some(one), 1) => {
                format!("argMinIf({}, time, {})", one.sql, all.join(" AND "))
            }
            ("last", Some(one), 1) => format!("argMaxIf({}, time, {})", one.sql, all.join(" AND ")),
            _ => {
                return Err(bad(
                    format!(
                        "{name} 的参数不对，例如 count()、count(num.amount > 100)、sum(num.amount)、days()"
                    ),
                    format!(
                        "{name} has other arguments: count(), count(num.amount > 100), sum(num.amount), days()"
                    ),
                ));
            }
        };
        Ok(Some(Piece::of(sql)))
    }

    fn name(&mut self, word: &str) -> Result<Piece, Problem> {
        if let Scope::Measures(names) = self.scope {
            return match names.iter().position(|name| name == word) {
                Some(at) => Ok(Piece::of(format!("m{}", at + 1))),
                None => Err(bad(
                    format!("没有统计量 {word}；可用 {}", names.join("、")),
                    format!("there is no measure {word}; there are {}", names.join(", ")),
                )),
            };
        }
        for map in ["str", "num", "arr"] {
            if let Some(key) = word.strip_prefix(map).and_then(|rest| rest.strip_prefix('.'))
                && !key.is_empty()
                && !matches!(self.scope, Scope::Group(_))
            {
                let key = self.values.text(key);
                return Ok(Piece {
                    sql: format!("{map}[{key}]"),
                    needs: vec![format!("mapContains({map}, {key})")],
                    truth: false,
                });
            }
        }
        if matches!(self.scope, Scope::Event) {
            match word {
                "event" => return Ok(Piece::of("event")),
                "hour" => return Ok(Piece::of("toHour(time)")),
                "weekday" => return Ok(Piece::of("toDayOfWeek(day)")),
                _ => {}
            }
            if let Some((column, holds)) = presets::column(word) {
                return Ok(match holds {
                    presets::Holds::Word => Piece {
                        sql: format!("toString({column})"),
                        needs: vec![format!("{column} != ''")],
                        truth: false,
                    },
                    presets::Holds::Number => Piece {
                        sql: format!("toFloat64({column})"),
                        needs: vec![format!("{column} != 0")],
                        truth: false,
                    },
                });
            }
        }
        Err(bad(
            format!(
                "没有“{word}”：自定义属性写作 str.名、num.名、arr.名，预置属性写作 $city，另有 event、hour、weekday；文字要加引号"
            ),
            format!(
                "there is no `{word}`: custom properties are str.name, num.name, arr.name, preset ones $city; also event, hour, weekday; text stands in quotes"
            ),
        ))
    }
}

fn truth(piece: &Piece) -> Result<&str, Problem> {
    if piece.truth {
        return Ok(&piece.sql);
    }
    Err(bad(
        "and、or、not 连接的应为条件，例如 num.amount > 100",
        "and, or, not join conditions, such as num.amount > 100",
    ))
}

fn together(needs: &[String], sql: &str) -> String {
    let mut all: Vec<&str> = needs.iter().map(String::as_str).collect();
    all.dedup();
    all.push(sql);
    format!("({})", all.join(" AND "))
}

fn joined(left: Piece, sign: &str, right: Piece) -> Piece {
    let mut needs = left.needs;
    needs.extend(right.needs);
    Piece { sql: format!("({} {sign} {})", left.sql, right.sql), needs, truth: false }
}

#[cfg(test)]
mod tests;
