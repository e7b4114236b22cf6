//! The INI files of the package's examples.

use std::path::Path;
use std::process::Command;

#[test]
fn the_examples_are_understood_without_a_warning() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/examples");
    for name in ["django.ini", "flask.ini"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rwsgi"));
        let output = command.arg("--show-config").arg(examples.join(name)).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{name}");
        assert!(output.status.success(), "{name}");
        let shown = String::from_utf8(output.stdout).unwrap();
        assert!(shown.contains("\nprocesses = 4\n"), "{shown}");
    }
}
