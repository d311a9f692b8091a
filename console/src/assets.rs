//! The built pages: from the binary, packed, or from a folder while they are worked on or still being built.

use std::io::Read as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::read::GzDecoder;

use crate::Shared;
use crate::error::Problem;

/// Path below `web/dist`, gzip of the file. See `build.rs`.
static PAGES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/pages.rs"));

/// Serves a file; a path that is none is a view of the page, which finds its way itself.
pub async fn page(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let path = request.uri().path().trim_start_matches('/');
    if path == "api" || path.starts_with("api/") {
        return Problem::missing("api.unknown", "没有这个接口", "there is no such API")
            .into_response();
    }
    let is_file = path.rsplit('/').next().unwrap_or_default().contains('.');
    let name = if is_file { path } else { "index.html" };
    let found = match &shared.settings.web {
        Some(folder) => from_folder(folder, name).await,
        None => from_binary(name, request.headers()),
    };
    match found {
        Some(response) => response,
        None if is_file => (StatusCode::NOT_FOUND, "not found\n").into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, NOT_BUILT).into_response(),
    }
}

const NOT_BUILT: &str = "页面还没有构建好，稍等片刻再刷新；单独构建：make console\n\
                         The pages are not built yet: reload in a moment, or run `make console`.\n";

fn from_binary(name: &str, headers: &HeaderMap) -> Option<Response> {
    let at = PAGES.binary_search_by(|(known, _)| (*known).cmp(name)).ok()?;
    let (_, packed) = *PAGES.get(at)?;
    let accepts = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    if accepts.is_some_and(|value| value.contains("gzip")) {
        let mut response = dressed(name, packed.into_response());
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        return Some(response);
    }
    let mut plain = Vec::new();
    GzDecoder::new(packed).read_to_end(&mut plain).ok()?;
    Some(dressed(name, plain.into_response()))
}

async fn from_folder(folder: &Path, name: &str) -> Option<Response> {
    let path = inside(folder, name)?;
    let bytes = tokio::task::spawn_blocking(move || std::fs::read(path)).await.ok()?.ok()?;
    Some(dressed(name, bytes.into_response()))
}

/// The path of a name below the folder, links followed; `None` if it leads out.
fn inside(folder: &Path, name: &str) -> Option<PathBuf> {
    let name = Path::new(name);
    if !name.components().all(|part| matches!(part, Component::Normal(_))) {
        return None;
    }
    let path = folder.join(name).canonicalize().ok()?;
    path.starts_with(folder.canonicalize().ok()?).then_some(path)
}

fn dressed(name: &str, mut response: Response) -> Response {
    let kind = match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "woff2" => "font/woff2",
        "json" | "webmanifest" => "application/json",
        _ => "application/octet-stream",
    };
    // Built files carry their hash in the name.
    let cache = if name.starts_with("assets/") {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_the_folder() {
        let root = std::env::temp_dir().join(format!("console-assets-{}", std::process::id()));
        let folder = root.join("dist");
        std::fs::create_dir_all(folder.join("assets")).unwrap();
        std::fs::write(folder.join("assets/a.js"), "1").unwrap();
        std::fs::write(root.join("secret.txt"), "1").unwrap();
        std::os::unix::fs::symlink(root.join("secret.txt"), folder.join("link.txt")).unwrap();
        assert!(inside(&folder, "assets/a.js").is_some());
        for name in
            ["../secret.txt", "/etc/passwd", "assets/../../secret.txt", "link.txt", "./a", "x.js"]
        {
            assert_eq!(inside(&folder, name), None, "{name}");
        }
        std::fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn the_table_can_be_searched() {
        assert!(PAGES.is_sorted_by_key(|(name, _)| *name));
    }
}
