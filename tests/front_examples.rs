//! The examples for web servers, by their own parsers.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::support::front::{apache_configuration, check, directory, nginx_configuration, program};
use crate::support::place::Place;

fn example(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("packaging/examples").join(name);
    fs::read_to_string(path).unwrap()
}

/// The example with every line that offers something else instead.
fn with_the_alternatives(text: &str, begins: &[&str]) -> String {
    let line = |line: &str| {
        let rest = line.trim_start().strip_prefix("# ");
        match rest.filter(|rest| begins.iter().any(|begin| rest.trim_start().starts_with(begin))) {
            Some(rest) => format!("{rest}\n"),
            None => format!("{line}\n"),
        }
    };
    text.lines().map(line).collect()
}

fn accepts(command: &mut Command, text: &str) {
    let output = check(command);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}\n{text}");
}

fn nginx_accepts(example: &str) {
    let place = Place::new();
    let directory = directory(&place);
    assert!(example.contains("listen 80;"), "{example}");
    // Only root may try the port; that another one is in use is no mistake of the file.
    let text = nginx_configuration(&example.replace("listen 80;", "listen 127.0.0.1:8080;"));
    let params = fs::read("/etc/nginx/uwsgi_params").unwrap();
    fs::write(directory.join("uwsgi_params"), params).unwrap();
    fs::write(directory.join("front.conf"), &text).unwrap();
    let mut command = Command::new(program("nginx"));
    command.arg("-t").arg("-p").arg(&directory).arg("-e").arg(directory.join("log"));
    accepts(command.arg("-c").arg(directory.join("front.conf")), &text);
}

#[test]
fn nginx_accepts_its_examples() {
    for name in ["nginx.conf", "nginx-uwsgi.conf"] {
        let text = example(name);
        nginx_accepts(&text);
        nginx_accepts(&with_other_locations(&text));
    }
}

/// The example with the locations that it offers below the first one.
fn with_other_locations(text: &str) -> String {
    let (start, end) = text.split_once("location / {").unwrap();
    let (location, end) = end.split_once("\n    }").unwrap();
    let end = with_the_alternatives(end, &["location ", "include ", "uwsgi_", "}"]);
    format!("{start}location / {{{location}\n    }}{end}")
}

#[test]
fn apache_accepts_its_example() {
    for alternatives in [&[][..], &["ProxyPass "]] {
        let place = Place::new();
        let directory = directory(&place);
        let text = with_the_alternatives(&example("apache.conf"), alternatives);
        let text = apache_configuration(&directory, &format!("Listen 127.0.0.1:8080\n{text}"));
        fs::write(directory.join("front.conf"), &text).unwrap();
        let mut command = Command::new(program("apache2"));
        accepts(command.arg("-t").arg("-f").arg(directory.join("front.conf")), &text);
    }
}

#[test]
fn haproxy_accepts_its_example() {
    for alternatives in [&[][..], &["option ", "http-request "]] {
        let place = Place::new();
        let directory = directory(&place);
        let text = with_the_alternatives(&example("haproxy.cfg"), alternatives);
        fs::write(directory.join("front.conf"), &text).unwrap();
        let mut command = Command::new(program("haproxy"));
        accepts(command.arg("-c").arg("-f").arg(directory.join("front.conf")), &text);
    }
}

#[test]
fn caddy_accepts_its_example() {
    for alternatives in [&[][..], &["reverse_proxy "]] {
        let place = Place::new();
        let text = with_the_alternatives(&example("Caddyfile"), alternatives);
        place.write("Caddyfile", &text);
        let mut command = Command::new(program("caddy"));
        command.env("HOME", place.path()).arg("validate").args(["--adapter", "caddyfile"]);
        accepts(command.arg("--config").arg(place.join("Caddyfile")), &text);
    }
}

#[test]
#[should_panic(expected = "run `packaging/prerequisites front`")]
fn a_web_server_that_is_not_installed_is_named_with_the_remedy() {
    program("no-such-web-server");
}
