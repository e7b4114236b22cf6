//! `rwsgi new` looks at a project and writes a configuration that serves it.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use crate::support::setup::{Setup, python};

const SITE: &str = "def application(environ, start_response):\n    \
                    start_response('200 OK', [('Content-Length', '4')])\n    return [b'shop']\n";

/// A place with these files, which everybody may read: settings are asked as somebody who is not root.
fn place(files: &[(&str, &str)], arguments: &[&str]) -> Setup {
    let mut setup = Setup::new("").arguments(arguments);
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(setup.place.path(), open).unwrap();
    for (name, text) in files {
        std::fs::create_dir_all(setup.place.join(name).parent().unwrap()).unwrap();
        setup = setup.file(name, text);
    }
    setup
}

/// A project of Django, as far as `rwsgi new` and the import need one.
fn django(settings: &str, arguments: &[&str]) -> Setup {
    let manage = "import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')\n";
    let conf = "import importlib, os\nsettings = importlib.import_module(os.environ['DJANGO_SETTINGS_MODULE'])\n";
    let files = [
        ("site/manage.py", manage),
        ("site/shop/__init__.py", ""),
        ("site/shop/settings.py", settings),
        ("site/shop/wsgi.py", SITE),
        ("site/django/__init__.py", ""),
        ("site/django/conf/__init__.py", conf),
        ("site/collected/logo.txt", "logo"),
    ];
    let setup = place(&files, arguments);
    std::fs::create_dir_all(setup.place.join("site/.venv/bin")).unwrap();
    for name in ["python", "python3"] {
        symlink(python(), setup.place.join("site/.venv/bin").join(name)).unwrap();
    }
    setup
}

/// What `new` has printed and written, to `out.ini`.
fn written(mut setup: Setup) -> (Setup, String, String) {
    let status = setup.run_again();
    let (told, ini) = (setup.place.read("stdout"), setup.place.read("out.ini"));
    assert!(status.success(), "{}", setup.place.read("stderr"));
    (setup, told, ini)
}

/// Serves what was written.
fn serves(setup: Setup) {
    let server = setup.arguments(&["--ini", "out.ini"]).start();
    assert_eq!(server.get("/x").expect(200).text(), "shop");
}

/// Who runs the tests: an interpreter in a home is closed to others.
fn user() -> String {
    nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().unwrap().name
}

fn new_django(settings: &str) -> (Setup, String, String) {
    let user = user();
    let mut line = vec!["new", "shop", "--django", "site", "--http", "127.0.0.1:0"];
    line.extend(["--user", &user, "-o", "out.ini"]);
    written(django(settings, &line))
}

#[test]
fn a_project_of_django_is_served_by_what_was_written() {
    let settings = "import os\nBASE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))\n\
                    WSGI_APPLICATION = 'shop.wsgi.application'\nALLOWED_HOSTS = ['x']\nDEBUG = True\n\
                    STATIC_URL = 'static/'\nSTATIC_ROOT = os.path.join(BASE, 'collected')\n";
    let (setup, told, ini) = new_django(settings);
    let site = setup.place.join("site").canonicalize().unwrap();
    let site = site.display();
    for line in [
        "http = 127.0.0.1:0".to_owned(),
        format!("chdir = {site}"),
        format!("virtualenv = {site}/.venv"),
        "module = shop.wsgi".to_owned(),
        "env = DJANGO_SETTINGS_MODULE=shop.settings".to_owned(),
        format!("static-map = /static={site}/collected"),
    ] {
        assert!(ini.lines().any(|it| it == line), "no `{line}` in:\n{ini}\n{told}");
    }
    assert!(told.contains("note: DEBUG is on"), "{told}");
    assert!(told.contains("  rwsgi --check out.ini\n"), "{told}");
    serves(setup);
}

#[test]
fn settings_that_cannot_be_asked_are_no_obstacle() {
    let (setup, told, ini) = new_django("raise ValueError('no secret')\n");
    assert!(ini.contains("module = shop.wsgi\n") && !ini.contains("static-map"), "{ini}");
    let note = "note: the settings could not be asked";
    assert!(told.contains(note) && told.contains("no secret"), "{told}");
    serves(setup);
}

#[test]
fn applications_of_flask_are_found_by_directory_and_by_name() {
    let app = SITE.replace("application", "create_app") + "\nsite = Flask(__name__)\n";
    let files = [("site/shop/__init__.py", app.as_str())];
    for what in ["site", "shop:create_app()"] {
        let line = ["new", "shop", "--flask", what, "--dry-run"];
        if what == "site" {
            let ended = place(&files, &line).run();
            let both = ended.stdout.contains("\nmodule = shop\n");
            assert!(both && ended.stdout.contains("\ncallable = site\n"), "{}", ended.stdout);
        } else {
            let ended = place(&[("shop.py", app.as_str())], &line).run();
            assert!(ended.stdout.contains("\ncallable = create_app()\n"), "{}", ended.stdout);
        }
    }
    let ended = place(&[("site/x.py", "")], &["new", "shop", "--flask", "site"]).run();
    ended.refuses(1, &["has no application of Flask"]);
}

#[test]
fn a_file_is_served_by_what_was_written() {
    let line = ["new", "shop", "--wsgi", "50%/it.py", "--http", "127.0.0.1:0", "-o", "out.ini"];
    let (setup, _, ini) =
        written(place(&[("50%/it.py", &SITE.replace("application", "app"))], &line));
    assert!(ini.contains("wsgi-file = it.py\ncallable = app\n"), "{ini}");
    serves(setup);
}

#[test]
fn settings_are_those_of_what_serves() {
    let manage = "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings.local')\n";
    let wsgi = "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings.live')\n";
    let line = ["new", "shop", "--django", ".", "--dry-run"];
    let layout = |wsgi: &'static str| {
        // In a layout with `src`, the project is a directory below.
        let files = [
            ("src/manage.py", manage),
            ("src/shop/wsgi.py", wsgi),
            ("src/shop/settings/live.py", ""),
        ];
        place(&files, &line).run()
    };
    let ended = layout(wsgi);
    let settings = "\nenv = DJANGO_SETTINGS_MODULE=shop.settings.";
    assert!(
        ended.stdout.contains(&format!("{settings}live\n")),
        "{}\n{}",
        ended.stdout,
        ended.stderr
    );
    assert!(
        ended.stdout.contains("/src\nmodule = shop.wsgi\n")
            || ended.stdout.contains("/src\npythonpath")
    );
    let ended = layout("");
    assert!(ended.stdout.contains(&format!("{settings}local\n")), "{}", ended.stdout);
    let note = "shop.settings.local is taken, but there is shop.settings.live, too";
    assert!(ended.stderr.contains(note), "{}", ended.stderr);
}

#[test]
fn an_application_of_asgi_is_refused() {
    for (name, source) in [
        ("main.py", "from fastapi import FastAPI\napp = FastAPI(title='x')\n"),
        ("asgi.py", "application = get_asgi_application()\n"),
        ("app.py", "async def app(scope, receive, send):\n    pass\n"),
    ] {
        let ended = place(&[(name, source)], &["new", "x", "--wsgi", name, "--dry-run"]).run();
        ended.refuses(1, &["an application of ASGI", "rwsgi serves WSGI only"]);
    }
    let both = "app = FastAPI()\napplication = WSGIMiddleware(app)\n";
    assert_eq!(
        place(&[("x.py", both)], &["new", "x", "--wsgi", "x.py", "--dry-run"]).run().code(),
        0
    );
}

#[test]
fn a_file_in_a_package_is_run_from_outside_of_it() {
    let files = [
        ("site/shop/__init__.py", ""),
        ("site/shop/wsgi.py", SITE),
        ("site/requirements.txt", "x\n"),
    ];
    let ended = place(&files, &["new", "x", "--wsgi", "site/shop/wsgi.py", "--dry-run"]).run();
    assert!(ended.stdout.contains("/site\nwsgi-file = shop/wsgi.py\n"), "{}", ended.stdout);
    assert!(
        ended.stderr.contains("pip install -r requirements.txt; then once more"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_file_that_is_there_is_never_written_over() {
    let setup =
        place(&[("out.ini", "precious")], &["new", "a", "--wsgi", "app.py", "-o", "out.ini"]);
    let ended = setup.run();
    ended.refuses(1, &["out.ini exists and is left alone"]);
    assert_eq!(ended.place.read("out.ini"), "precious");
}

#[test]
fn a_wrong_command_line_says_how_it_is_used() {
    for (line, why) in [
        (&["new", "--wsgi", "app.py"][..], "a name of letters"),
        (&["new", "../x", "--wsgi", "app.py"], "a name of letters"),
        (&["new", "x"], "--django, --flask or --wsgi"),
        (&["new", "x", "--wsgi", "a", "--flask", "b"], "one application"),
        (&["new", "x", "--frob", "1"], "no option `--frob`"),
    ] {
        Setup::new("").arguments(line).run().refuses(64, &[why, "rwsgi new NAME --django DIR"]);
    }
    let ended = Setup::new("").arguments(&["new", "x", "--django", "nowhere"]).run();
    ended.refuses(1, &["nowhere: No such file"]);
}
