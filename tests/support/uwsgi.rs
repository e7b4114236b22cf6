//! uWSGI itself, as Debian has it (uwsgi-core, uwsgi-plugin-python3) and as PyPI does, to compare with.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::place::Place;

/// One of the ways in which people have it.
#[derive(Debug, Clone)]
pub struct Flavour {
    /// What to run.
    pub program: PathBuf,
    /// What it has to load before it can be asked anything.
    pub plugins: Option<&'static str>,
}

impl Flavour {
    /// Debian's, and PyPI's.
    pub fn both() -> [Self; 2] {
        let debian = Self { program: "uwsgi".into(), plugins: Some("python3,http") };
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/uwsgi/bin/uwsgi");
        let pypi = Self { program, plugins: None };
        for flavour in [&debian, &pypi] {
            let version = Command::new(&flavour.program).arg("--version").output();
            let program = flavour.program.display();
            assert!(version.is_ok(), "no {program}: `packaging/prerequisites front` installs it");
        }
        [debian, pypi]
    }
}

/// A port of 127.0.0.1 that nobody has.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A server that ends with this value.
pub struct Uwsgi {
    child: Child,
    /// Where it speaks HTTP.
    pub port: u16,
}

impl Uwsgi {
    /// Starts it in `place` with these plugins and lines.
    pub fn start(place: &Place, plugins: &str, lines: &str) -> Self {
        let port = free_port();
        let head = format!("[uwsgi]\nplugins = {plugins}\nhttp-socket = 127.0.0.1:{port}\n");
        place.write("uwsgi.ini", &format!("{head}{lines}"));
        let child = Command::new("uwsgi")
            .args(["--ini", "uwsgi.ini"])
            .current_dir(place.path())
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("uwsgi, which `packaging/prerequisites front` installs");
        Self { child, port }
    }
}

impl Drop for Uwsgi {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
