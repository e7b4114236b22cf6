//! uWSGI itself, as Debian has it (uwsgi-core, uwsgi-plugin-python3) and as PyPI does, to compare with.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicU16;
use std::sync::atomic::Ordering::Relaxed;

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

/// A port of 127.0.0.1 that nobody has, and that the kernel gives to nobody meanwhile: it lies below those that
/// it chooses from for clients and for who asks for any port (ip(7), `ip_local_port_range`), and no other test of
/// this process gets it.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let end: u16 = range.split_whitespace().next().unwrap().parse().unwrap();
    const FIRST: u16 = 10_000;
    assert!(end > 2 * FIRST, "no ports below those that the kernel chooses from: {range}");
    // Processes begin at different places: those of neighbouring numbers far from each other.
    let begin = u64::from(std::process::id()) * 14_071;
    loop {
        let step = u64::from(NEXT.fetch_add(1, Relaxed));
        let port = FIRST + u16::try_from((begin + step) % u64::from(end - FIRST)).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
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
