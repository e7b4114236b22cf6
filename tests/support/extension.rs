//! The extension module, which `cargo test` does not build.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// The extension that belongs to the binary under test; built once per run.
pub fn path() -> &'static PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| match std::env::var_os("RWSGI_EXTENSION") {
        Some(path) => path.into(),
        None => build(),
    })
}

fn build() -> PathBuf {
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_rwsgi"));
    let profile = binary.parent().expect("the binary is in a directory");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "-p", "rwsgi-worker", "--target-dir"]);
    cargo.arg(profile.parent().expect("the profile is in the target directory"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).env("PYO3_NO_PYTHON", "1");
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    let status = cargo.status().expect("cargo can be run");
    assert!(status.success(), "the extension cannot be built");
    profile.join("lib_rwsgi.so")
}
