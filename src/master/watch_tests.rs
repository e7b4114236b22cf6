//! Changes of real files, told by the real inotify. What is not to be told is followed by something
//! that is.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::time::SystemTime;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;

struct Scene {
    directory: tempfile::TempDir,
    watch: Watch,
    told: UnboundedReceiver<Arrival>,
}

impl Scene {
    fn new(touch: &[&str]) -> Self {
        Self::prepared(touch, |_| {})
    }

    fn prepared(touch: &[&str], prepare: impl FnOnce(&Path)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        prepare(directory.path());
        let (arrivals, told) = unbounded_channel();
        let watch = Watch::start(arrivals).unwrap();
        let mut scene = Self { directory, watch, told };
        scene.serve(touch, 1);
        scene
    }

    /// Returns when it is obeyed: a file that is watched last was touched, and that is told.
    fn serve(&mut self, touch: &[&str], generation: Generation) {
        let sentinel = self.path("sentinel");
        fs::write(&sentinel, "").unwrap();
        let mut files: Vec<PathBuf> = touch.iter().map(|name| self.path(name)).collect();
        files.push(sentinel);
        let reloading = Reloading { touch: files, ..Reloading::default() };
        self.watch.serve(super::touched(&reloading, &Hooks::default()), generation);
        self.settle();
    }

    /// Everything until now is told.
    fn settle(&mut self) -> Vec<String> {
        let sentinel = self.path("sentinel");
        let mut told = Vec::new();
        loop {
            // Until it is watched, this may be before that.
            fs::remove_file(&sentinel).unwrap();
            fs::write(&sentinel, "").unwrap();
            let deadline = Instant::now() + Duration::from_secs(2);
            while Instant::now() < deadline {
                match self.told.try_recv() {
                    Ok(Arrival::Changed(_, path)) if path == sentinel => return told,
                    Ok(Arrival::Changed(_, path)) => told.push(self.name(&path)),
                    Ok(_) => panic!("something else"),
                    Err(_) => std::thread::park_timeout(Duration::from_millis(2)),
                }
            }
        }
    }

    /// What is told next.
    fn next(&mut self) -> (Cause, String) {
        match self.told.blocking_recv() {
            Some(Arrival::Changed(cause, path)) => (cause, self.name(&path)),
            _ => panic!("nothing is told"),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn name(&self, path: &Path) -> String {
        path.strip_prefix(self.directory.path()).unwrap().display().to_string()
    }

    fn write(&self, name: &str) {
        fs::write(self.path(name), "text").unwrap();
    }

    fn module(&self, name: &str, generation: Generation) {
        self.watch.module(generation, self.path(name), Duration::from_millis(1));
    }
}

fn touched(name: &str) -> (Cause, String) {
    (Cause::Touch, name.to_owned())
}

#[test]
fn a_file_that_is_touched_written_or_replaced_is_told() {
    let mut scene =
        Scene::prepared(&["a"], |directory| fs::write(directory.join("a"), "").unwrap());
    // As touch(1) does it.
    let file = File::options().write(true).open(scene.path("a")).unwrap();
    file.set_modified(SystemTime::now()).unwrap();
    drop(file);
    assert_eq!(scene.next(), touched("a"));
    scene.write("a");
    assert_eq!(scene.next(), touched("a"));
    scene.write("new");
    fs::rename(scene.path("new"), scene.path("a")).unwrap();
    assert_eq!(scene.next(), touched("a"));
}

#[test]
fn a_file_that_is_read_or_removed_or_has_another_mode_is_not() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut scene =
        Scene::prepared(&["a"], |directory| fs::write(directory.join("a"), "").unwrap());
    fs::read(scene.path("a")).unwrap();
    fs::set_permissions(scene.path("a"), fs::Permissions::from_mode(0o600)).unwrap();
    scene.write("b");
    assert_eq!(scene.settle(), [] as [&str; 0]);
    fs::remove_file(scene.path("a")).unwrap();
    assert_eq!(scene.settle(), [] as [&str; 0]);
}

#[test]
fn a_file_that_is_made_is_told_even_with_its_directories() {
    let mut scene = Scene::new(&["one/two/three"]);
    fs::create_dir_all(scene.path("one/two")).unwrap();
    scene.write("one/two/three");
    assert_eq!(scene.next(), touched("one/two/three"));
    fs::rename(scene.path("one/two"), scene.path("gone")).unwrap();
    fs::create_dir(scene.path("one/two")).unwrap();
    scene.write("one/two/three");
    assert_eq!(scene.next(), touched("one/two/three"));
}

#[test]
fn a_link_that_is_switched_on_the_way_is_told() {
    let mut scene = Scene::prepared(&["current/a"], |directory| {
        for release in ["first", "second"] {
            fs::create_dir(directory.join(release)).unwrap();
            fs::write(directory.join(release).join("a"), "").unwrap();
        }
        symlink("first", directory.join("current")).unwrap();
    });
    symlink("second", scene.path("next")).unwrap();
    fs::rename(scene.path("next"), scene.path("current")).unwrap();
    assert_eq!(scene.next(), touched("current/a"));
    scene.write("first/a");
    assert_eq!(scene.settle(), [] as [&str; 0]);
    scene.write("second/a");
    assert_eq!(scene.next(), touched("current/a"));
}

#[test]
fn a_directory_is_touched_by_what_comes_and_goes_in_it() {
    let mut scene =
        Scene::prepared(&["d"], |directory| fs::create_dir(directory.join("d")).unwrap());
    scene.write("d/a");
    assert_eq!(scene.next(), touched("d"));
}

#[test]
fn what_is_not_configured_any_more_is_not_told() {
    let mut scene = Scene::new(&["a"]);
    scene.serve(&["b"], 2);
    scene.write("a");
    assert_eq!(scene.settle(), [] as [&str; 0]);
    scene.write("b");
    assert_eq!(scene.next(), touched("b"));
}

#[test]
fn modules_are_watched_until_a_generation_serves_that_does_not_import_them() {
    let mut scene = Scene::new(&[]);
    for name in ["old.py", "kept.py"] {
        scene.write(name);
        scene.module(name, 1);
    }
    scene.settle();
    scene.write("old.py");
    assert_eq!(scene.next(), (Cause::Module, "old.py".to_owned()));
    scene.module("kept.py", 2);
    scene.serve(&[], 2);
    scene.write("old.py");
    assert_eq!(scene.settle(), [] as [&str; 0]);
    scene.write("kept.py");
    assert_eq!(scene.next(), (Cause::Module, "kept.py".to_owned()));
}

#[test]
fn links_in_a_circle_end() {
    let mut scene = Scene::prepared(&["a"], |directory| {
        symlink("b", directory.join("a")).unwrap();
        symlink("a", directory.join("b")).unwrap();
    });
    fs::remove_file(scene.path("a")).unwrap();
    scene.write("a");
    assert_eq!(scene.next(), touched("a"));
}
