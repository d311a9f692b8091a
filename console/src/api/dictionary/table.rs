//! The dictionary as a table people edit: 种类, 名称, 显示名, 英文名, 类型, 备注.

use super::items::Item;
use super::names::{Names, Project, What};
use crate::error::Problem;
use crate::sheet;

/// Heads of the columns, and what else they may be called.
const COLUMNS: [&[&str]; 5] = [
    &["种类", "kind"],
    &["名称", "事件名", "属性名", "name"],
    &["显示名", "中文名", "zh", "chinese", "display name"],
    &["英文名", "en", "english"],
    &["备注", "说明", "note"],
];

/// Takes names from a table's rows; the first row names the columns. Returns how many names there were.
///
/// # Errors
/// 400 that names the row.
pub(super) fn take(project: &mut Project, rows: &[Vec<String>]) -> Result<usize, Problem> {
    let (head, body) = rows.split_first().ok_or_else(no_head)?;
    let find = |words: &[&str]| {
        head.iter().position(|cell| words.contains(&cell.trim().to_lowercase().as_str()))
    };
    let [kind, name, zh, en, note] = COLUMNS.map(find);
    let (Some(name), true) = (name, zh.is_some() || en.is_some()) else { return Err(no_head()) };
    // Without a column that says so, the head of the names does.
    let all = match head.get(name).map(|cell| cell.trim()) {
        Some("事件名") => Some(What::Event),
        Some("属性名") => Some(What::Property),
        _ => None,
    };
    let mut taken = 0;
    for (number, row) in (2_usize..).zip(body) {
        let cell = |at: Option<usize>| at.and_then(|at| row.get(at)).map_or("", |cell| cell.trim());
        let what = match cell(kind).to_lowercase().as_str() {
            "事件" | "event" => What::Event,
            "属性" | "事件属性" | "用户属性" | "property" => What::Property,
            "" if all.is_some() => all.unwrap_or(What::Event),
            other => {
                return Err(Problem::bad(
                    "dictionary.row",
                    format!("第 {number} 行：种类“{other}”不认识，请写 事件 或 属性"),
                    format!("row {number}: kind `{other}` is not known; write event or property"),
                ));
            }
        };
        let wire = cell(Some(name));
        let preset = what.presets().find(wire);
        // What is as it was from the start needs no entry.
        let own = |text: &str, given: Option<&str>| {
            if Some(text) == given || text == wire { String::new() } else { text.to_owned() }
        };
        let names = Names {
            zh: own(cell(zh), preset.map(|preset| preset.zh)),
            en: own(cell(en), preset.map(|preset| preset.en)),
            note: cell(note).to_owned(),
        };
        project.give(what, wire, &names).map_err(|mut problem| {
            problem.text.zh = format!("第 {number} 行：{}", problem.text.zh);
            problem.text.en = format!("row {number}: {}", problem.text.en);
            problem
        })?;
        taken += 1;
    }
    Ok(taken)
}

fn no_head() -> Problem {
    Problem::bad(
        "dictionary.head",
        "第一行要写列名：种类、名称、显示名、英文名、备注（至少有“名称”和“显示名”）",
        "the first row must name the columns: kind, name, zh, en, note (name and zh or en at least)",
    )
}

/// The table of all items.
pub(super) fn write(events: &[Item], properties: &[Item]) -> Vec<u8> {
    let mut rows = vec![vec!["种类", "名称", "显示名", "英文名", "类型", "备注"]];
    for (kind, items) in [("事件", events), ("属性", properties)] {
        rows.extend(items.iter().map(|item| {
            let name = item.name.as_str();
            vec![kind, name, item.zh.as_str(), item.en.as_str(), item.value_type, item.note.as_str()]
        }));
    }
    sheet::write_csv(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<Vec<String>> {
        text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect()
    }

    #[test]
    fn an_exported_table_comes_back_as_it_was() {
        let mut project = Project::default();
        let text = "种类,名称,显示名,英文名,备注\n事件,Buy,购买,,主流程\n属性,price,价格,Price,\n事件,$pageview,Web 浏览页面,View,\n事件,=cmd,坏的,,";
        assert_eq!(take(&mut project, &rows(text)).unwrap(), 4);
        assert_eq!(project.events["$pageview"].zh, "", "as the preset");
        let item = |name: &str, what| {
            let (zh, en) = project.shown(what, name);
            Item { name: name.into(), zh, en, note: project.note(what, name), ..Item::default() }
        };
        let events: Vec<Item> =
            ["Buy", "$pageview", "=cmd", "Other"].map(|name| item(name, What::Event)).into();
        let csv = write(&events, &[item("price", What::Property)]);
        assert!(String::from_utf8_lossy(&csv).contains("事件,'=cmd,坏的"));
        let mut again = Project::default();
        take(&mut again, &sheet::read(&csv).unwrap()).unwrap();
        assert_eq!(again.shown(What::Event, "Buy"), project.shown(What::Event, "Buy"));
        assert_eq!(again.shown(What::Event, "$pageview").1, "View");
        assert_eq!(again.shown(What::Event, "=cmd").0, "坏的");
        assert_eq!(again.shown(What::Property, "price"), ("价格".into(), "Price".into()));
        assert!(!again.events.contains_key("Other"), "its own name is no display name");
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (text, en) in [
            ("a,b\n1,2", "the first row"),
            ("名称,显示名\nBuy,购买", "row 2: kind ``"),
            ("种类,名称,显示名\n花,Buy,购买", "row 2: kind `花`"),
            ("种类,名称,显示名\n事件,,购买", "row 2: no name"),
        ] {
            let problem = take(&mut Project::default(), &rows(text)).unwrap_err();
            assert!(problem.text.en.starts_with(en), "{problem:?}");
        }
        let named = rows("事件名,显示名\nBuy,购买");
        assert_eq!(take(&mut Project::default(), &named).unwrap(), 1);
    }
}
