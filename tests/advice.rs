//! Errors that one meets first name the remedy.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Command;

use crate::support::setup::{Ended, Setup, python};

/// The attempt to serve `module` with the files of the place.
fn refused(setup: Setup) -> Ended {
    let ended = setup.run();
    assert_eq!(ended.code(), 70, "{}", ended.stderr);
    ended
}

fn of_module(module: &str, lines: &str) -> Setup {
    Setup::classic(&format!(
        "[rwsgi]\nhttp = 127.0.0.1:0\nchdir = %d\npythonpath = %d\nmodule = {module}\n{lines}\n"
    ))
}

fn directory(setup: &Setup, name: &str) {
    std::fs::create_dir_all(setup.place.join(name)).unwrap();
}

#[test]
fn a_missing_module_that_a_virtual_environment_beside_has_names_that() {
    let setup = of_module("shop", "").file("shop.py", "import flaskette\n");
    directory(&setup, ".venv/bin");
    directory(&setup, ".venv/lib/python3.9/site-packages/flaskette");
    let venv = setup.place.join(".venv");
    let line = format!("add the line `virtualenv = {}`", venv.display());
    refused(setup).refuses(70, &["No module named 'flaskette'", &line, "it was looked for with"]);
}

#[test]
fn a_missing_module_that_a_directory_of_the_project_has_names_that() {
    let setup = of_module("shop.wsgi", "");
    directory(&setup, "src/shop");
    let line = format!("add the line `pythonpath = {}`", setup.place.join("src").display());
    refused(setup).refuses(70, &[&line]);
}

#[test]
fn a_missing_module_of_the_environment_that_is_used_is_to_be_installed() {
    let setup = of_module("shop", "virtualenv = %d/venv").file("shop.py", "import flaskette\n");
    let venv = setup.place.join("venv");
    let made = Command::new(python()).args(["-m", "venv", "--without-pip"]).arg(&venv).status();
    assert!(made.unwrap().success());
    refused(setup).refuses(70, &["bin/python -m pip install flaskette"]);
}

#[test]
fn an_environment_of_another_python_is_told() {
    let setup = of_module("shop", "virtualenv = %d/venv").file("shop.py", "import flaskette\n");
    directory(&setup, "venv/bin");
    directory(&setup, "venv/lib/python3.1/site-packages");
    symlink(python(), setup.place.join("venv/bin/python")).unwrap();
    refused(setup).refuses(70, &["was made by Python 3.1, and"]);
}

#[test]
fn a_module_that_is_not_where_chdir_leads_says_where_it_was_sought() {
    refused(of_module("shopp.wsgi", "")).refuses(70, &["there is neither shopp.py nor a package"]);
    let setup = of_module("shop.wsgi", "").file("shop.py", "");
    refused(setup).refuses(70, &["'shop' is not a package"]);
}

#[test]
fn a_callable_of_another_name_is_found() {
    let app = "from os import getcwd\ndef app(environ, start_response): pass\nclass C: pass\n";
    let texts = ["there is no `application` in it, but: app. Name it: `callable = NAME`"];
    refused(Setup::new("").app(app)).refuses(70, &texts);
    refused(Setup::new("").app("x = 1\n")).refuses(70, &["nor anything like a WSGI callable"]);
}

#[test]
fn an_error_inside_a_factory_is_not_taken_for_a_missing_callable() {
    let app = "def make():\n    return None.nothing\n";
    let ended = refused(Setup::new("callable = make()").app(app));
    assert!(!ended.stderr.contains("there is no `make`"), "{}", ended.stderr);
}

#[test]
fn missing_settings_of_django_name_the_line() {
    let app = "class ImproperlyConfigured(Exception): pass\n\
               raise ImproperlyConfigured('You must define DJANGO_SETTINGS_MODULE')\n";
    let setup = Setup::new("").app(app);
    directory(&setup, "shop");
    let setup = setup.file("shop/settings.py", "");
    refused(setup).refuses(70, &["add the line `env = DJANGO_SETTINGS_MODULE=shop.settings`"]);
}

#[test]
fn indentation_of_tabs_and_spaces_and_python_2_are_told() {
    let app = "if True:\n        x = 1\n\ty = 2\n";
    refused(Setup::new("").app(app)).refuses(70, &["mixes tabs and spaces"]);
    refused(Setup::new("").app("print 'x'\n")).refuses(70, &["looks like code for Python 2"]);
}

#[test]
fn a_file_that_the_user_of_the_application_may_not_read_names_what_is_closed() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let setup = Setup::new("uid = nobody").app("open('secret/key')\n");
    directory(&setup, "secret");
    let setup = setup.file("secret/key", "x");
    let open = |name: &str, mode: u32| {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(setup.place.join(name), mode).unwrap();
    };
    open("", 0o755);
    open("app.py", 0o644);
    open("secret", 0o700);
    let ended = setup.run();
    // Where the extension is below a directory that is closed to nobody, nothing can be shown.
    if !ended.stderr.contains("PermissionError") {
        return;
    }
    ended.refuses(70, &["user nobody may not enter the directory", "setfacl -m u:nobody:x"]);
}
