//! The list of expected events, as people keep it in a spreadsheet: 事件名, 显示名, 属性名, 类型, 必填, 枚举, 平台. It is compared with
//! what came; nothing is refused because of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::Problem;

/// Name of the document: lists by project.
pub const DOCUMENT: &str = "expected";
/// Events of a list.
const EVENTS_MAX: usize = 5_000;
/// Properties of an event.
const PROPERTIES_MAX: usize = 500;
/// Values of an enumeration.
const VALUES_MAX: usize = 500;

/// An expected event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Event {
    /// Name on the wire.
    pub name: String,
    /// Display name.
    pub display: String,
    /// Platforms (`$lib`) that send it; empty = any.
    pub platforms: Vec<String>,
    /// Its properties.
    pub properties: Vec<Property>,
}

/// An expected property.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Property {
    /// Name on the wire.
    pub name: String,
    /// Display name.
    pub display: String,
    /// `text`, `number`, `bool`, `list` or `datetime`; empty = any.
    pub kind: String,
    /// Whether each event must have it.
    pub required: bool,
    /// Values it may have; empty = any.
    pub values: Vec<String>,
    /// Platforms that send it; empty = all of the event.
    pub platforms: Vec<String>,
}

/// The list of one project.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct List {
    /// Name of the uploaded file.
    pub file: String,
    /// When, ms.
    pub uploaded_ms: i64,
    /// By whom.
    pub by: String,
    /// Events in the order of the file.
    pub events: Vec<Event>,
}

/// Lists of all projects.
pub type Document = BTreeMap<String, List>;

/// Columns and the words their heads may be.
const COLUMNS: [(&str, &[&str]); 8] = [
    ("event", &["事件名", "事件英文名", "事件", "event", "event name", "event_name"]),
    ("display", &["显示名", "事件显示名", "事件中文名", "中文名", "display", "display name", "event display name"]),
    ("property", &["属性名", "属性英文名", "属性", "property", "property name", "property_name"]),
    ("property_display", &["属性显示名", "属性中文名", "property display", "property display name"]),
    ("type", &["类型", "属性类型", "数据类型", "type", "property type", "data type"]),
    ("required", &["必填", "是否必填", "required"]),
    ("values", &["枚举", "枚举值", "取值", "enum", "values"]),
    ("platforms", &["平台", "上报平台", "platform", "platforms"]),
];

/// Words for the types.
const KINDS: [(&str, &[&str]); 5] = [
    ("text", &["text", "string", "str", "varchar", "文本", "字符串", "字符"]),
    ("number", &["number", "num", "int", "integer", "long", "float", "double", "decimal", "numeric", "数值", "数字", "整数", "小数"]),
    ("bool", &["bool", "boolean", "布尔", "布尔值", "是否"]),
    ("list", &["list", "array", "列表", "数组", "集合", "文本列表", "字符串列表"]),
    ("datetime", &["datetime", "date", "time", "timestamp", "日期", "时间", "日期时间", "时间日期"]),
];

/// Words for the platforms, as `$lib` has them.
const PLATFORMS: [(&str, &[&str]); 6] = [
    ("js", &["js", "web", "h5", "网页", "网站", "浏览器"]),
    ("Android", &["android", "安卓"]),
    ("iOS", &["ios", "苹果", "iphone"]),
    ("MiniProgram", &["miniprogram", "mini program", "小程序", "微信小程序", "mp"]),
    ("HarmonyOS", &["harmonyos", "harmony", "鸿蒙"]),
    ("Flutter", &["flutter"]),
];

/// Reads the rows of a table; the first one names the columns. Below an event's row its name may be left out (merged cells).
///
/// # Errors
/// 400 that names the row and what to write there.
pub fn parse(rows: &[Vec<String>]) -> Result<Vec<Event>, Problem> {
    let (head, body) = rows.split_first().ok_or_else(no_head)?;
    let columns: Vec<Option<usize>> = COLUMNS
        .iter()
        .map(|(_, words)| head.iter().position(|cell| says(cell, words)))
        .collect();
    let column = |at: usize| columns.get(at).copied().flatten();
    if column(0).is_none() {
        return Err(no_head());
    }
    let mut events: Vec<Event> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut current = None;
    for (number, row) in (2_usize..).zip(body) {
        let cell = |at: usize| column(at).and_then(|at| row.get(at)).map_or("", |cell| cell.trim());
        let name = cell(0);
        if !name.is_empty() {
            let at = *places.entry(name.to_owned()).or_insert(events.len());
            if at == events.len() {
                if at >= EVENTS_MAX {
                    return Err(too_many(number));
                }
                events.push(Event { name: name.to_owned(), ..Event::default() });
            }
            current = Some(at);
        }
        let Some(event) = current.and_then(|at| events.get_mut(at)) else {
            return Err(wrong(number, "缺少事件名", "the event's name is missing"));
        };
        if !cell(1).is_empty() {
            cell(1).clone_into(&mut event.display);
        }
        let platforms = platforms(cell(7));
        if cell(2).is_empty() {
            event.platforms = platforms;
            continue;
        }
        if event.properties.len() >= PROPERTIES_MAX {
            return Err(too_many(number));
        }
        let property = Property {
            name: cell(2).to_owned(),
            display: cell(3).to_owned(),
            kind: kind(cell(4)).ok_or_else(|| {
                wrong(
                    number,
                    &format!("类型“{}”不认识，请写：文本、数值、布尔、列表、日期", cell(4)),
                    &format!("type `{}` is not known; write text, number, bool, list or datetime", cell(4)),
                )
            })?,
            required: required(cell(5)).ok_or_else(|| {
                wrong(
                    number,
                    &format!("必填“{}”看不懂，请写：是、否", cell(5)),
                    &format!("required `{}` is not understood; write yes or no", cell(5)),
                )
            })?,
            values: pieces(cell(6)).take(VALUES_MAX).collect(),
            platforms,
        };
        event.properties.retain(|known| known.name != property.name);
        event.properties.push(property);
    }
    for event in &mut events {
        of_properties(event);
    }
    Ok(events)
}

/// An event without platforms of its own is sent by those of its properties, unless one of them is sent by all.
fn of_properties(event: &mut Event) {
    let any = event.properties.iter().any(|property| property.platforms.is_empty());
    if !event.platforms.is_empty() || any {
        return;
    }
    for platform in event.properties.iter().flat_map(|property| &property.platforms) {
        if !event.platforms.contains(platform) {
            event.platforms.push(platform.clone());
        }
    }
}

fn says(cell: &str, words: &[&str]) -> bool {
    // `事件名（必填）*` is 事件名.
    let cell = cell.split(['(', '（', '*']).next().unwrap_or_default().trim().to_lowercase();
    words.contains(&cell.as_str())
}

fn kind(text: &str) -> Option<String> {
    let text = text.to_lowercase();
    if text.is_empty() {
        return Some(text);
    }
    KINDS.iter().find(|(_, words)| words.contains(&text.as_str())).map(|kind| kind.0.to_owned())
}

fn required(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "是" | "必填" | "y" | "yes" | "true" | "1" | "√" | "✓" | "required" => Some(true),
        "" | "否" | "非必填" | "选填" | "可选" | "n" | "no" | "false" | "0" | "×" | "optional" => {
            Some(false)
        }
        _ => None,
    }
}

fn platforms(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for piece in pieces(text) {
        let word = piece.to_lowercase();
        if matches!(word.as_str(), "全部" | "所有" | "全平台" | "all" | "any" | "*") {
            return Vec::new();
        }
        let known = PLATFORMS.iter().find(|(_, words)| words.contains(&word.as_str()));
        let name = known.map_or(piece, |(name, _)| (*name).to_owned());
        if !found.contains(&name) {
            found.push(name);
        }
    }
    found
}

fn pieces(text: &str) -> impl Iterator<Item = String> {
    let cut = |c: char| matches!(c, '|' | ',' | ';' | '、' | '，' | '；' | '/' | '\n');
    text.split(cut).map(str::trim).filter(|piece| !piece.is_empty()).map(str::to_owned)
}

fn no_head() -> Problem {
    Problem::bad(
        "expected.head",
        "第一行要写列名：事件名、显示名、属性名、类型、必填、枚举、平台（至少有“事件名”）",
        "the first row must name the columns: event, display, property, type, required, enum, platform (`event` at least)",
    )
}

fn wrong(row: usize, zh: &str, en: &str) -> Problem {
    Problem::bad("expected.row", format!("第 {row} 行：{zh}"), format!("row {row}: {en}"))
}

fn too_many(row: usize) -> Problem {
    wrong(
        row,
        &format!("最多 {EVENTS_MAX} 个事件，每个事件最多 {PROPERTIES_MAX} 个属性"),
        &format!("at most {EVENTS_MAX} events with {PROPERTIES_MAX} properties each"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Vec<Vec<String>> {
        text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect()
    }

    #[test]
    fn a_table_in_chinese_with_merged_cells_is_a_list() {
        let rows = table(
            "事件名*,显示名,属性名,类型,是否必填,枚举值,平台\n\
             PayOrder,支付订单,order_id,文本,是,,安卓|iOS\n\
             ,,price,数值,否,,\n\
             ,,channel,String,y,wechat、alipay,小程序\n\
             ViewPage,浏览,,,,,Web/小程序\n\
             PayOrder,,order_id,数值,,,",
        );
        let events = parse(&rows).unwrap();
        assert_eq!(events.len(), 2);
        let pay = &events[0];
        assert_eq!((pay.name.as_str(), pay.display.as_str()), ("PayOrder", "支付订单"));
        let got: Vec<String> = pay
            .properties
            .iter()
            .map(|p| {
                format!("{} {} {} {:?} {:?}", p.name, p.kind, p.required, p.values, p.platforms)
            })
            .collect();
        let want = [
            "price number false [] []",
            "channel text true [\"wechat\", \"alipay\"] [\"MiniProgram\"]",
            "order_id number false [] []",
        ];
        assert_eq!(got, want, "a later row of the same property counts");
        assert!(pay.platforms.is_empty(), "price comes from all");
        assert_eq!(events[1].platforms, ["js", "MiniProgram"]);
    }

    #[test]
    fn english_heads_are_understood_and_platforms_of_properties_are_those_of_the_event() {
        let rows = table("Event Name,Type,Property,Platforms\nA,,x,web\n,,y,Android;web");
        let events = parse(&rows).unwrap();
        assert_eq!(events[0].platforms, ["js", "Android"]);
    }

    #[test]
    fn a_wrong_row_is_named() {
        for (text, en) in [
            ("名字,显示名\nA,B", "the first row"),
            ("事件名,属性名,类型\nA,x,花朵", "row 2: type `花朵`"),
            ("事件名,属性名,必填\nA,x,maybe", "row 2: required `maybe`"),
            ("事件名,属性名\n,x", "row 2: the event's name"),
        ] {
            let problem = parse(&table(text)).unwrap_err();
            assert!(problem.text.en.starts_with(en), "{problem:?}");
        }
    }
}
