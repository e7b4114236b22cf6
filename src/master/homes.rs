//! Whether an instance needs the homes of people. If not, the generator has its unit hide them: keys of
//! SSH and what else lies there is no matter of a web application.

use std::fs;
use std::path::{Path, PathBuf};

use rwsgi_core::config::Service;
use rwsgi_core::config::service::{HOMES, names_home};

/// Whether `path` is in a home.
pub fn has(path: &Path) -> bool {
    HOMES.iter().any(|home| path.starts_with(home))
}

/// Whether the instance that `ini` describes needs homes, run by a user with the home `home`. What cannot
/// be seen, because file systems are not mounted yet, may lead there.
pub fn are_needed(service: &Service, ini: &Path, home: Option<&Path>) -> bool {
    let leads = |path: &Path| path.canonicalize().map_or(true, |real| has(&real));
    service.names_home
        || home.is_some_and(|home| has(home) || leads_there_if_any(home))
        || leads(ini)
        || leads_there_if_any(Path::new(LOCAL_PYTHON))
        || service.code.iter().any(|path| leads(path) || environment_needs(path))
}

/// The interpreter that is taken before the one of the distribution, where somebody has put one.
const LOCAL_PYTHON: &str = "/usr/local/bin/python3";

/// The home of a user of the system need not be there.
fn leads_there_if_any(path: &Path) -> bool {
    path.canonicalize().is_ok_and(|real| has(&real))
}

/// Whether a virtual environment runs an interpreter, or has packages "editable", from a home.
fn environment_needs(path: &Path) -> bool {
    let Ok(configuration) = fs::read_to_string(path.join("pyvenv.cfg")) else { return false };
    let libraries = children(&path.join("lib")).into_iter().map(|lib| lib.join("site-packages"));
    let mut links = libraries.flat_map(|packages| children(&packages)).filter(|file| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(".pth") || name.ends_with(".egg-link") || name.starts_with("__editable__")
    });
    names_home(&configuration)
        || ["bin/python3", "bin/python"].iter().any(|name| leads_there_if_any(&path.join(name)))
        || links.any(|file| fs::read_to_string(file).is_ok_and(|text| names_home(&text)))
}

fn children(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rwsgi_core::config::raw::RawOption;
    use rwsgi_core::config::service::service as read;
    use rwsgi_core::config::{Argument, Context, Sources};

    use super::*;

    /// Whether these lines, in a file of this directory, need homes.
    fn needed(place: &Path, lines: &str, home: Option<&str>) -> bool {
        let ini = place.join("shop.ini");
        fs::write(&ini, format!("[rwsgi]\nhttp = :8000\n{lines}\n")).unwrap();
        let file = ini.to_str().unwrap();
        let file = Argument::File(RawOption::argument("ini", file, 1, file));
        let sources = Sources { arguments: vec![file], ..Sources::default() };
        let service = read(&sources, &Context { cwd: place.into(), ..Context::default() }).unwrap();
        are_needed(&service, &ini, home.map(Path::new))
    }

    #[test]
    fn what_is_written_what_links_lead_to_and_who_serves_decide() {
        let place = tempfile::tempdir().unwrap();
        let place = place.path().canonicalize().unwrap();
        fs::create_dir_all(place.join("venv/bin")).unwrap();
        fs::create_dir_all(place.join("venv/lib/python3.9/site-packages")).unwrap();
        fs::write(place.join("venv/pyvenv.cfg"), "home = /usr/bin\n").unwrap();
        let project = "chdir = %d\nvirtualenv = venv\nmodule = shop";
        assert!(!needed(&place, project, Some("/var/lib/rwsgi")));
        assert!(needed(&place, project, Some("/home/al")));
        assert!(needed(&place, &format!("{project}\nstatic-map = /s=/home/al/s"), None));
        assert!(needed(&place, "chdir = %d/not-mounted-yet\nmodule = shop", None));
        symlink("/root", place.join("current")).unwrap();
        // Whether or not this user may look into it.
        assert!(needed(&place, "chdir = %d/current\nmodule = shop", None));
        let link = place.join("venv/lib/python3.9/site-packages/shop.pth");
        fs::write(&link, "/home/al/shop\n").unwrap();
        assert!(needed(&place, project, None));
        fs::write(&link, "/srv/shop\n").unwrap();
        assert!(!needed(&place, project, None));
        fs::write(place.join("venv/pyvenv.cfg"), "home = /root/.pyenv/bin\n").unwrap();
        assert!(needed(&place, project, None));
    }
}
