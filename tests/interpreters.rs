//! Every Python there is.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use crate::support::server::Server;
use crate::support::setup::Setup;

/// By version: `RWSGI_TEST_PYTHONS`, or what PATH and pyenv have.
fn interpreters() -> BTreeMap<String, PathBuf> {
    let candidates: Vec<PathBuf> = match std::env::var_os("RWSGI_TEST_PYTHONS") {
        Some(list) => std::env::split_paths(&list).collect(),
        None => installed(),
    };
    let script = "import sys; print('%d.%d' % sys.version_info[:2], sys.executable)";
    let ask = |path: &PathBuf| {
        let output = Command::new(path).args(["-c", script]).output().ok()?;
        let text = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
        let (version, path) = text.trim().split_once(' ')?;
        Some((version.to_owned(), path.into()))
    };
    candidates.iter().filter_map(ask).collect()
}

fn installed() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let home = std::env::var_os("HOME").unwrap_or_default();
    let root =
        std::env::var_os("PYENV_ROOT").map_or(PathBuf::from(home).join(".pyenv"), Into::into);
    let versions = std::fs::read_dir(root.join("versions")).into_iter().flatten().flatten();
    directories.extend(versions.map(|entry| entry.path().join("bin")));
    let names = (6..=14).map(|minor| format!("python3.{minor}"));
    let all =
        names.flat_map(|name| directories.iter().map(move |d| d.join(&name)).collect::<Vec<_>>());
    all.filter(|path| path.exists()).collect()
}

fn serves(server: &Server) {
    assert_eq!(server.get("/ok").expect(200).text(), "ok");
    let post =
        "POST /echo HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(server.ask(post).expect(200).text(), "hello");
    assert_eq!(server.get("/generator").expect(200).text(), "chunk0,chunk1,chunk2,");
    assert_eq!(server.get("/file").expect(200).text(), server.place.read("app.py"));
    assert!(server.get("/environ").expect(200).text().contains("wsgi.input_terminated"));
    server.get("/error").expect(500);
    server.wait_for_log("KeyError: 'on purpose'", 1);
}

#[test]
fn every_python_there_is_serves_and_reloads() {
    let found = interpreters();
    assert!(!found.is_empty(), "no python3.X was found");
    for (version, path) in &found {
        println!("Python {version}: {}", path.display());
        let python = path.display().to_string();
        let mut server =
            Setup::new("processes=2\nthreads=2").variable("RWSGI_PYTHON", &python).start();
        server.wait_for_log(&format!("Python {version}."), 1);
        serves(&server);
        server.reload(1);
        assert_eq!(server.get("/ok").expect(200).text(), "ok");
        assert_eq!(server.stop().code(), Some(0), "{}", server.log());
    }
}

#[test]
fn a_free_threaded_python_is_told_apart_from_a_broken_extension() {
    let setup = Setup::new("").file("sitecustomize.py", "import sys\nsys.abiflags = 't'\n");
    let here = setup.place.path().display().to_string();
    let ended = setup.variable("PYTHONPATH", &here).run();
    ended.refuses(70, &["is a free-threaded Python", "set python = or virtualenv ="]);
}
