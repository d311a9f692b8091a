//! `/api/boards`: saved boards, each a list of reports with their parameters. Everybody who may look sees them; a manager changes them.

use std::sync::Arc;

use axum::extract::{Path, Query, State as Extract};
use axum::routing::{get, put};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::trying;
use crate::Shared;
use crate::error::Problem;
use crate::guard::{Manager, Viewer};
use crate::random;

pub use super::{idle as run, Stateless as State};

/// Name of the document.
const DOCUMENT: &str = "boards";
/// Boards of all projects.
const BOARDS_MAX: usize = 200;
/// Reports of a board: each is asked when it is opened.
const TILES_MAX: usize = 24;
/// Longest name, characters.
const NAME_MAX: usize = 80;
/// Parameters of one report, bytes of JSON.
const PARAMS_BYTES_MAX: usize = 16 << 10;

/// The routes.
pub fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/api/boards", get(list).post(create))
        .route("/api/boards/{id}", put(replace).delete(remove))
}

/// A report on a board.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tile {
    /// What the board calls it.
    title: String,
    /// Name of the report.
    report: String,
    /// Its parameters; the board's days replace `from` and `to`.
    params: Value,
    /// The page it came from, with its state: a click leads there.
    #[serde(default)]
    link: String,
}

/// A board.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Board {
    id: String,
    project: String,
    name: String,
    tiles: Vec<Tile>,
    /// Who changed it last.
    by: String,
}

/// What a manager sends.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default)]
    project: String,
    name: String,
    #[serde(default)]
    tiles: Vec<Tile>,
}

fn bad(zh: impl Into<String>, en: impl Into<String>) -> Problem {
    Problem::bad("boards.bad", zh, en)
}

impl Wanted {
    fn check(&self) -> Result<(), Problem> {
        let long = |text: &str| text.chars().count() > NAME_MAX;
        if self.name.trim().is_empty() || long(&self.name) {
            return Err(bad(
                format!("看板名称不能为空，最长 {NAME_MAX} 个字"),
                format!("a board needs a name of at most {NAME_MAX} characters"),
            ));
        }
        if self.tiles.len() > TILES_MAX {
            return Err(bad(
                format!("一个看板最多 {TILES_MAX} 张图，请再建一个看板"),
                format!("a board holds at most {TILES_MAX} reports; make another board"),
            ));
        }
        for tile in &self.tiles {
            if analytics::report::find(&tile.report).is_none() {
                return Err(bad(
                    format!("没有报表 {}", tile.report),
                    format!("there is no report {}", tile.report),
                ));
            }
            // A link leads to a page of this console and nowhere else.
            let inside = tile.link.is_empty()
                || tile.link.starts_with('/') && !tile.link.starts_with("//") && !tile.link.contains('\\');
            if long(&tile.title) || !inside || !tile.params.is_object() {
                return Err(bad("图的标题、参数或链接不对", "a report's title, parameters or link are wrong"));
            }
            if tile.params.to_string().len() + tile.link.len() > PARAMS_BYTES_MAX {
                return Err(bad("图的参数太长", "the parameters of a report are too long"));
            }
        }
        Ok(())
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Which {
    project: String,
}

async fn list(
    Extract(shared): Extract<Arc<Shared>>,
    _: Viewer,
    Query(which): Query<Which>,
) -> Result<Json<Value>, Problem> {
    let read = |shared: &Shared| {
        shared.store.read::<Vec<Board>>(DOCUMENT).map_err(|error| Problem::daemon(&error))
    };
    let mut boards = trying(&shared, read).await?.unwrap_or_default();
    boards.retain(|board| which.project.is_empty() || board.project == which.project);
    Ok(Json(json!({"boards": boards})))
}

/// Changes the document; nothing is written where something is wrong.
async fn change<T: Send + 'static>(
    shared: &Arc<Shared>,
    work: impl FnOnce(&mut Vec<Board>) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let done = move |shared: &Shared| {
        let mut said = None;
        let changed = shared.store.change(DOCUMENT, |boards: &mut Vec<Board>| {
            work(boards).map_err(|problem| {
                let sentence = problem.text.en.clone();
                said = Some(problem);
                sentence
            })
        });
        changed.map_err(|error| said.unwrap_or_else(|| Problem::daemon(&error)))
    };
    trying(shared, done).await
}

async fn create(
    Extract(shared): Extract<Arc<Shared>>,
    Manager(who): Manager,
    Json(wanted): Json<Wanted>,
) -> Result<Json<Value>, Problem> {
    wanted.check()?;
    let id = random::token().map_err(|error| Problem::daemon(&error))?;
    let id = id.get(..16).unwrap_or(&id).to_owned();
    let Wanted { project, name, tiles } = wanted;
    let board = Board { id, project, name, tiles, by: who.user };
    let answer = json!(board);
    change(&shared, move |boards| {
        if boards.len() >= BOARDS_MAX {
            return Err(bad(
                format!("最多 {BOARDS_MAX} 个看板，请先删除不用的"),
                format!("at most {BOARDS_MAX} boards; remove one first"),
            ));
        }
        boards.push(board);
        Ok(())
    })
    .await?;
    Ok(Json(answer))
}

fn missing() -> Problem {
    Problem::missing("boards.unknown", "没有这个看板，可能已被删除", "there is no such board; it may have been removed")
}

async fn replace(
    Extract(shared): Extract<Arc<Shared>>,
    Manager(who): Manager,
    Path(id): Path<String>,
    Json(wanted): Json<Wanted>,
) -> Result<Json<Value>, Problem> {
    wanted.check()?;
    let changed = change(&shared, move |boards| {
        let board = boards.iter_mut().find(|board| board.id == id).ok_or_else(missing)?;
        board.name = wanted.name;
        board.tiles = wanted.tiles;
        board.by = who.user;
        Ok(board.clone())
    });
    Ok(Json(json!(changed.await?)))
}

async fn remove(
    Extract(shared): Extract<Arc<Shared>>,
    Manager(_): Manager,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    change(&shared, move |boards| {
        let before = boards.len();
        boards.retain(|board| board.id != id);
        if boards.len() == before { Err(missing()) } else { Ok(()) }
    })
    .await?;
    Ok(Json(json!({})))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn wanted(change: impl FnOnce(&mut Value)) -> Result<(), Problem> {
        let mut json = json!({"name": "每日", "tiles": [
            {"title": "PV", "report": "trend", "params": {"unit": "day"}, "link": "/trend?q=%7B%7D"},
        ]});
        change(&mut json);
        serde_json::from_value::<Wanted>(json).unwrap().check()
    }

    #[test]
    fn a_board_holds_reports_and_links_into_the_console_only() {
        wanted(|_| ()).unwrap();
        for link in ["//evil.example", "https://evil.example", "javascript:alert(1)", "/\\evil.example"] {
            assert!(wanted(|json| json["tiles"][0]["link"] = json!(link)).is_err(), "{link}");
        }
        assert!(wanted(|json| json["tiles"][0]["report"] = json!("../x")).is_err());
        assert!(wanted(|json| json["tiles"][0]["params"] = json!([])).is_err());
        assert!(wanted(|json| json["tiles"][0]["params"] = json!({"x": "y".repeat(PARAMS_BYTES_MAX)})).is_err());
        assert!(wanted(|json| json["name"] = json!(" ")).is_err());
        let tile = json!({"title": "PV", "report": "trend", "params": {}});
        assert!(wanted(|json| json["tiles"] = vec![tile; TILES_MAX + 1].into()).is_err());
    }
}
