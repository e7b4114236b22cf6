//! uWSGI itself, as Debian has it (uwsgi-core, uwsgi-plugin-python3), to compare with.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use super::place::Place;

/// A server that ends with this value.
pub struct Uwsgi {
    child: Child,
    /// Where it speaks HTTP.
    pub port: u16,
}

impl Uwsgi {
    /// Starts it in `place` with these plugins and lines.
    pub fn start(place: &Place, plugins: &str, lines: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
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
