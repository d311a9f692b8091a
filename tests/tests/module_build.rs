//! Headers for the nginx that will load the module: where it cannot work, it says so and what to do instead.
// A test has one way to report what it did not expect.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use tusk_tests::{Dir, nginx_path, root};

fn headers(nginx: &Path, source: Option<&Path>) -> Output {
    let mut command = Command::new(root().join("scripts/nginx-headers.sh"));
    command.arg(nginx).env_remove("NGINX_SOURCE_DIR");
    if let Some(source) = source {
        command.env("NGINX_SOURCE_DIR", source);
    }
    command.output().unwrap()
}

/// A program that says of itself what `nginx -V` says; nothing else is asked of it before its version is known.
fn nginx_of_version(dir: &Dir, version: &str) -> std::path::PathBuf {
    let text = format!(
        "#!/bin/sh\necho 'nginx version: nginx/{version}' >&2\necho 'configure arguments: --with-compat' >&2\n"
    );
    let path = dir.write("nginx", text);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn headers_of_the_systems_nginx_are_configured_once() {
    let out = headers(&nginx_path(), None);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let folder = String::from_utf8(out.stdout).unwrap();
    let folder = Path::new(folder.trim());
    assert!(folder.is_absolute() && folder.join("ngx_auto_config.h").exists(), "{folder:?}");
    let made = fs::metadata(folder.join("ngx_auto_config.h")).unwrap().modified().unwrap();
    assert!(headers(&nginx_path(), None).status.success());
    assert_eq!(fs::metadata(folder.join("ngx_auto_config.h")).unwrap().modified().unwrap(), made);
}

#[test]
fn another_version_asks_for_its_source_and_names_the_way_out() {
    let dir = Dir::new("headers");
    let nginx = nginx_of_version(&dir, "9.8.7");
    let said = |out: Output| {
        assert!(!out.status.success());
        assert!(out.stdout.is_empty(), "no folder to build with");
        String::from_utf8(out.stderr).unwrap()
    };
    let text = said(headers(&nginx, None));
    for word in ["9.8.7", "NGINX_SOURCE_DIR=", "nginx-conf/behind.conf"] {
        assert!(text.contains(word), "no {word} in {text}");
    }
    // A source tree of another version, and a folder that is none.
    dir.write("src/src/core/nginx.h", "#define NGINX_VERSION      \"9.8.6\"\n");
    let text = said(headers(&nginx, Some(&dir.join("src"))));
    for word in ["9.8.7", "9.8.6", "nginx-conf/behind.conf"] {
        assert!(text.contains(word), "no {word} in {text}");
    }
    let text = said(headers(&nginx, Some(dir.path())));
    assert!(text.contains("no nginx source"), "{text}");
    let text = said(headers(&dir.join("none"), None));
    assert!(text.contains("no nginx at") && text.contains("make deps"), "{text}");
    let text = said(headers(&nginx_of_version(&dir, "?"), None));
    assert!(text.contains("names no version"), "{text}");
}
