//! How does a proto become Rust?
//!
//! In a service's `build.rs`, with nothing but Rust: no protoc is looked for.
//!
//! ```no_run
//! # fn main() -> std::io::Result<()> {
//! platform_grpc_build::compile(&["proto/film.proto"], &["proto"])
//! # }
//! ```
//!
//! and beside the code:
//!
//! ```ignore
//! pub mod film {
//!     tonic::include_proto!("film");
//!     /// What the proto says: `platform_grpc` reads from it which methods may be repeated.
//!     pub const DESCRIPTORS: &[u8] = tonic::include_file_descriptor_set!("descriptors");
//! }
//! ```
//!
//! The generated code needs the crates `tonic` (feature `codegen`), `tonic-prost` and `prost`.
//!
//! # Why a crate of its own
//! What a build script needs is compiled for the builder's machine. As a feature of `platform-grpc` it would bring
//! the whole platform there, a second time.
//!
//! # Traps
//! A path is relative to the crate's folder, and an `import` to one of the `includes`.

use std::{
    env, fs,
    io::{self, Error, ErrorKind},
    path::{Path, PathBuf},
};

use tonic_prost_build::Builder;

/// Writes clients, servers and messages of `protos` where `tonic::include_proto!` finds them, and what they say of
/// themselves as `descriptors.bin`. Imports are searched for in `includes`.
///
/// # Errors
/// A proto that cannot be read or makes no sense, with file, line and reason; a folder that cannot be written.
pub fn compile<P: AsRef<Path>>(protos: &[P], includes: &[P]) -> io::Result<()> {
    compile_with(tonic_prost_build::configure(), protos, includes)
}

/// The same with something of its own set: `bytes`, attributes of types, paths of other crates.
///
/// # Errors
/// As [`compile`].
pub fn compile_with<P: AsRef<Path>>(builder: Builder, protos: &[P], includes: &[P]) -> io::Result<()> {
    compile_to(&watched(includes)?, builder, protos, includes)
}

/// [`compile`] for one of several services of a crate: what it writes is in a folder of its own, so that each tells of
/// its own methods alone. `tonic::include_proto!("FOLDER/PACKAGE")` and
/// `tonic::include_file_descriptor_set!("FOLDER/descriptors")` find it.
///
/// # Errors
/// As [`compile`].
pub fn compile_under<P: AsRef<Path>>(folder: &str, protos: &[P], includes: &[P]) -> io::Result<()> {
    let out = watched(includes)?.join(folder);
    fs::create_dir_all(&out)?;
    compile_to(&out, tonic_prost_build::configure(), protos, includes)
}

/// Where a build script writes, which runs again when something in `includes` changes.
fn watched<P: AsRef<Path>>(includes: &[P]) -> io::Result<PathBuf> {
    for include in includes {
        println!("cargo::rerun-if-changed={}", include.as_ref().display());
    }
    let out = env::var_os("OUT_DIR").map(PathBuf::from);
    out.ok_or_else(|| Error::other("no OUT_DIR: this is called in a build script (build.rs)"))
}

fn compile_to<P: AsRef<Path>>(out: &Path, builder: Builder, protos: &[P], includes: &[P]) -> io::Result<()> {
    let wrong = |error: protox::Error| Error::new(ErrorKind::InvalidInput, format!("{error:?}"));
    let mut compiler = protox::Compiler::new(includes).map_err(wrong)?;
    // Comments become documentation; a running service has no use for them.
    compiler.include_imports(true).include_source_info(true).open_files(protos).map_err(wrong)?;
    let commented = compiler.file_descriptor_set();
    compiler.include_source_info(false);
    // Encoded by the compiler itself, so that options of a team's own are not lost.
    fs::write(out.join(DESCRIPTORS), compiler.encode_file_descriptor_set())?;
    // Connections are platform_grpc's.
    builder.build_transport(false).out_dir(out).compile_fds(commented)
}

/// What `tonic::include_file_descriptor_set!("descriptors")` looks for.
const DESCRIPTORS: &str = "descriptors.bin";

#[cfg(test)]
mod tests {
    use super::*;

    fn compiled(proto: &str) -> io::Result<(String, Vec<u8>)> {
        let place = tempfile::tempdir()?;
        let file = place.path().join("shop.proto");
        fs::write(&file, proto)?;
        let path = place.path().to_path_buf();
        compile_to(&path, tonic_prost_build::configure(), &[file], std::slice::from_ref(&path))?;
        Ok((fs::read_to_string(path.join("shop.rs"))?, fs::read(path.join(DESCRIPTORS))?))
    }

    #[test]
    fn a_proto_becomes_client_server_and_descriptors() {
        let proto = r#"
            syntax = "proto3";
            package shop;
            // What is in stock.
            service Stock { rpc Count(Item) returns (Item) { option idempotency_level = NO_SIDE_EFFECTS; } }
            message Item { string name = 1; }
        "#;
        let (code, descriptors) = compiled(proto).unwrap();
        for part in ["pub mod stock_client", "pub mod stock_server", "pub struct Item", "What is in stock."] {
            assert!(code.contains(part), "{part}");
        }
        assert!(!code.contains("tonic::transport"), "connections are the platform's");
        let text = String::from_utf8_lossy(&descriptors);
        assert!(text.contains("Count"));
        assert!(!text.contains("What is in stock."), "comments stay at home");
    }

    #[test]
    fn what_makes_no_sense_is_told_with_its_place() {
        let error =
            compiled("syntax = \"proto3\";\npackage shop;\nmessage Item { Nothing it = 1; }").unwrap_err();
        let told = error.to_string();
        assert!(told.contains("Nothing") && told.contains("shop.proto:3"), "{told}");
    }
}
