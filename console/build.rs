//! Puts the built pages (`web/dist`, made by `npm run build`) into the binary, packed. Without them the console says how to build them.
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
    println!("cargo:rerun-if-changed=web/dist");
    println!("cargo:rerun-if-changed=build.rs");
    let mut files = Vec::new();
    collect(&dist, &mut files);
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
