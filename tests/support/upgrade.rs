//! A server whose program is replaced while it runs, as a package manager does it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use super::place::Place;
use super::setup::{Setup, python};

/// The program of `setup` becomes a copy in its directory, which [`upgrade`] replaces.
pub fn replaceable(setup: Setup) -> Setup {
    let directory = setup.place.join("bin");
    fs::create_dir(&directory).unwrap();
    for name in ["rwsgi", "next"] {
        fs::copy(env!("CARGO_BIN_EXE_rwsgi"), directory.join(name)).unwrap();
    }
    let binary = directory.join("rwsgi");
    setup.binary(binary)
}

/// Puts another copy of the program into its place; there is one at every moment.
pub fn upgrade(place: &Place) {
    let [running, next, last] = ["rwsgi", "next", "last"].map(|name| program(place, name));
    fs::hard_link(&running, &last).unwrap();
    fs::rename(&next, &running).unwrap();
    fs::rename(&last, &next).unwrap();
}

/// Puts a script of Python into its place. `real` in it is the program under test, `arguments` are
/// those of the script.
pub fn upgrade_to(place: &Place, script: &str) {
    let (python, real) = (python().display(), program(place, "next"));
    let head = "import os, sys, time\narguments = sys.argv[1:]";
    let text = format!("#!{python}\n{head}\nreal = {real:?}\n{script}\n");
    upgrade_to_bytes(place, text.as_bytes(), 0o755);
}

/// Puts something else into its place.
pub fn upgrade_to_bytes(place: &Place, bytes: &[u8], mode: u32) {
    let file = place.join("unpacked");
    fs::write(&file, bytes).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    fs::rename(file, program(place, "rwsgi")).unwrap();
}

/// For [`upgrade_to`]: waits at the gate `check` before it looks, and at the gate `start` after it was
/// executed in the place of the old one.
pub const WITH_GATES: &str = "\
def gate(name):
    open('entering-' + name, 'w').write(str(os.getpid()))
    os.rename('entering-' + name, 'entered-' + name)
    while not os.path.exists('open-' + name):
        time.sleep(0.005)

gate('check' if arguments[:1] == ['--takeover-check'] else 'start')
os.execv(real, [real] + arguments)";

fn program(place: &Place, name: &str) -> PathBuf {
    place.join("bin").join(name)
}
