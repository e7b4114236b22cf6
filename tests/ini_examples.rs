//! The INI files of the package's examples, and what other examples say of them.

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

/// What an example of a web server says that the INI file has: lines of its head, and words in its comments.
fn ini_lines(text: &str) -> Vec<String> {
    let in_head = text.lines().filter_map(|line| line.strip_prefix("#   "));
    let in_words = text.split('`').skip(1).step_by(2);
    let is_option = |text: &&str| text.contains(" = ") && !text.contains('\n');
    in_head.chain(in_words).filter(is_option).map(|line| line.replacen(" = ", "=", 1)).collect()
}

#[test]
fn what_web_servers_need_in_the_ini_file_is_understood() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/examples");
    for name in ["nginx.conf", "nginx-uwsgi.conf", "apache.conf", "haproxy.cfg", "Caddyfile"] {
        let options = ini_lines(&std::fs::read_to_string(examples.join(name)).unwrap());
        assert!(!options.is_empty(), "{name}");
        for option in options {
            let mut command = Command::new(env!("CARGO_BIN_EXE_rwsgi"));
            let output = command.arg("--show-config").arg(format!("--{option}")).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{name}: {option}");
            let (key, value) = option.split_once('=').unwrap();
            let shown = String::from_utf8(output.stdout).unwrap();
            assert!(shown.contains(&format!("\n{key} = {value}\n")), "{name}: {option}");
        }
    }
}
