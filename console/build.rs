//! Puts the built pages into the binary, packed, where `TUSK_PAGES` is set to `console/web/dist`, as `make build` does. Otherwise there are
//! none in it: `make run` serves them from their folder, so that a change of a page rebuilds no program.
// A build script has no other way to report.
#![allow(clippy::unwrap_used)]

use flate2::{Compression, write::GzEncoder};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let dist = Path::new(&env::var("CARGO_MANIFEST_DIR").unwrap()).join("web/dist");
    let out = PathBuf::from(env::var("OUT_DIR").unwrap());
    println!("cargo:rerun-if-env-changed=TUSK_PAGES");
    println!("cargo:rerun-if-changed=build.rs");
    let mut files = Vec::new();
    if env::var("TUSK_PAGES").is_ok_and(|set| !set.is_empty()) {
        println!("cargo:rerun-if-changed=web/dist");
        collect(&dist, &mut files);
    }
    files.sort();
    let mut table = String::from("&[\n");
    for (number, path) in files.iter().enumerate() {
        let name = path.strip_prefix(&dist).unwrap().to_str().unwrap().replace('\\', "/");
        let bytes = fs::read(path).unwrap();
        let mut packed = GzEncoder::new(Vec::new(), Compression::best());
        packed.write_all(&bytes).unwrap();
        let file = out.join(format!("page{number}.gz"));
        fs::write(&file, packed.finish().unwrap()).unwrap();
        writeln!(table, "    ({name:?}, include_bytes!({:?})),", file.to_str().unwrap()).unwrap();
    }
    table.push(']');
    fs::write(out.join("pages.rs"), table).unwrap();
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            println!("cargo:rerun-if-changed={}", path.display());
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}
