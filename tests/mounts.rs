//! Several applications in one instance, and what is done around their import.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::support::packet::{self, Packet};
use crate::support::server::Server;
use crate::support::setup::Setup;
use crate::support::uwsgi::Uwsgi;
use crate::support::wait;

/// Applications that say who they are, and where.
const MODULE: &str = "
def make(name):
    def application(environ, start_response):
        start_response('200 OK', [('Content-Type', 'text/plain')])
        where = environ.get('SCRIPT_NAME', ''), environ['PATH_INFO']
        return [('%s %s %s' % ((name,) + where)).encode()]
    return application
def create():
    return make('created')
class holder:
    held = staticmethod(make('held'))
one, two, application = make('one'), make('two'), make('file')
";

const MOUNTS: &str = "
mount = /a=shop:one
mount = /a/b=shop:two
mount = /c=file.py
manage-script-name = true
";

/// What uWSGI 2.0.21 answers with [`MOUNTS`].
const OF_UWSGI: [(&str, &str); 9] = [
    ("/", "one  /"),
    ("/a", "one /a "),
    ("/a/", "one /a /"),
    ("/a/x?q", "one /a /x"),
    ("/ab", "one  /ab"),
    ("/a/b", "two /a/b "),
    ("/a/b/c", "two /a/b /c"),
    ("/c/d", "file /c /d"),
    ("/%61/x", "one /a /x"),
];

fn with(lines: &str) -> Setup {
    let ini = format!("[uwsgi]\nhttp = 127.0.0.1:0\nchdir = %d\n{lines}\n");
    Setup::classic(&ini).file("shop.py", MODULE).file("file.py", MODULE)
}

/// The same with files in directories of their own.
fn with_files(lines: &str, files: &[(&str, &str)]) -> Setup {
    let setup = with(lines);
    for (name, text) in files {
        let path = setup.place.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    setup
}

fn says(server: &Server, path: &str, text: &str) {
    assert_eq!(server.get(path).expect(200).text(), text, "{path}");
}

#[test]
fn the_longest_prefix_is_asked_and_becomes_script_name() {
    let server = with(MOUNTS).start();
    for (path, text) in OF_UWSGI {
        says(&server, path, text);
    }
    server.wait_for_log("requests for no mount go to `mount = /a=shop:one`", 1);
}

#[test]
fn uwsgi_answers_the_same() {
    let place = with("").place;
    let lines = format!("single-interpreter = true\n{MOUNTS}");
    let uwsgi = Uwsgi::start(&place, "python3", &lines);
    let ask = |path: &str| {
        let mut client = TcpStream::connect(("127.0.0.1", uwsgi.port)).ok()?;
        write!(client, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
        let mut text = String::new();
        client.read_to_string(&mut text).ok()?;
        Some(text.split_once("\r\n\r\n")?.1.to_owned())
    };
    wait::until("uWSGI serves", || ask("/"));
    let answers = OF_UWSGI.map(|(path, _)| ask(path));
    for ((path, text), answer) in OF_UWSGI.iter().zip(answers) {
        assert_eq!(answer.as_deref(), Some(*text), "{path}");
    }
}

#[test]
fn a_module_serves_what_is_for_no_mount() {
    let lines = "module = shop:create()\nmount = /h=shop:holder.held\nmount = /f/=file.py:two";
    let server = with(&format!("{lines}\nmanage-script-name = 1")).start();
    says(&server, "/", "created  /");
    says(&server, "/h/x", "held /h /x");
    says(&server, "/f", "two /f ");
}

#[test]
fn without_a_default_the_rest_is_not_found() {
    let server = with(&format!("{MOUNTS}no-default-app = true")).start();
    server.get("/").expect(404);
    server.get("/ab").expect(404);
    says(&server, "/c", "file /c ");
}

#[test]
fn the_root_can_be_a_mount() {
    let server = with("mount = /x=shop:one\nmount = /=shop:two\nmanage-script-name = true").start();
    says(&server, "/y", "two  /y");
    says(&server, "/x/y", "one /x /y");
}

#[test]
fn a_web_server_names_the_mount() {
    let ini = "[uwsgi]\nsocket = 127.0.0.1:0\nsocket = app.sock\nchdir = %d\nmodule = shop:application\n\
               mount = /a=shop:one\nmount = /b=shop:two\n";
    let server = Setup::classic(ini).file("shop.py", MODULE).start();
    let answer = |packet: Packet| packet::ask(&server, &packet).expect(200).text();
    let at = |path: &str, mount: &str| Packet::get(path).var("SCRIPT_NAME", mount);
    assert_eq!(answer(Packet::get("/a/x")), "file  /a/x");
    assert_eq!(answer(at("/x", "/a")), "one /a /x");
    assert_eq!(answer(at("/b/x", "/b").modifier(30)), "two /b /x");
    assert_eq!(answer(at("/x", "/other")), "file /other /x");
    assert_eq!(answer(Packet::get("/x").var("UWSGI_APPID", "/b")), "two  /x");
}

#[test]
fn workers_import_all_of_them_with_lazy_apps_and_threads() {
    let server = with(&format!("{MOUNTS}lazy-apps = true\nthreads = 3\nprocesses = 2")).start();
    for (path, text) in OF_UWSGI {
        says(&server, path, text);
    }
}

#[test]
fn the_line_of_uwsgi_counts_the_applications() {
    let server = with(&format!("{MOUNTS}log-format = uwsgi")).start();
    says(&server, "/c", "file /c ");
    server.wait_for_log("|app: 2|req: 1/1]", 1);
}

#[test]
fn one_that_cannot_be_imported_is_a_failed_start_that_names_its_mount() {
    let lines = "mount = /ok=shop:one\nmount = /bad=shop:none\nmanage-script-name = true";
    with(lines).run().refuses(70, &["mount=/bad, module=shop:none", "there is no `none` in it"]);
}

#[test]
fn without_need_app_the_others_serve() {
    let lines =
        "need-app = false\nmount = /ok=shop:one\nmount = /bad=shop:none\nmanage-script-name = true";
    let server = with(lines).start();
    server.wait_for_log("mount=/bad, module=shop:none; the others serve", 1);
    says(&server, "/ok/x", "one /ok /x");
    server.get("/bad/x").expect(500);
    server.wait_for_log("could not be imported at the start: mount=/bad, module=shop:none", 1);
    let none = "need-app = false\nmount = /a=shop:none\nmount = /b=shop:nothing";
    with(none).run().refuses(70, &["module=shop:no"]);
}

#[test]
fn factories_are_called_with_literals_and_nothing_else() {
    let lines = |call: &str| format!("module = shop:{call}");
    let server = with(&lines("make(name=\"a(b) = \" 'c', )")).start();
    says(&server, "/", "a(b) = c  /");
    let server =
        with("mount = /m=shop:make((1, {'a': [-2, None]}))\nmanage-script-name = true").start();
    says(&server, "/m", "(1, {'a': [-2, None]}) /m ");
    for call in [
        "make(create())",
        "make(name)",
        "make(*[1])",
        "make(**{'name': 1})",
        "create()()",
        "make(1,",
    ] {
        let code = if call.ends_with(')') { 70 } else { 78 };
        let texts = ["make(", "create()", "debug=False"];
        let said = if call.starts_with("make") { &texts[..1] } else { &texts[1..2] };
        with(&lines(call)).run().refuses(code, said);
        with(&lines(call)).run().refuses(code, &texts[2..]);
    }
    with(&lines("make(1, 2)")).run().refuses(70, &["takes 1 positional argument"]);
}

#[test]
fn mounts_that_contradict_each_other_are_errors_of_the_configuration() {
    let same = "mount = /a=shop:one\nmount = /a/=shop:two";
    with(same).run().refuses(78, &["have the same prefix", "remove one of the lines"]);
    let root = "module = shop\nmount = /=shop:two";
    with(root).run().refuses(78, &["contradict each other", "give one a prefix by `mount`"]);
    let host = "mount = shop.test/a=shop:two";
    with(host).run().refuses(78, &["not chosen by the host"]);
    with("mount = /a=none.py").run().refuses(78, &["`mount = /a=none.py` cannot be read"]);
}

#[test]
fn a_mount_that_no_request_can_reach_is_told() {
    let server = with("module = shop\nmount = /a=shop:one").start();
    server.wait_for_log("`mount` is not obeyed for requests by HTTP", 1);
    says(&server, "/a", "file  /a");
}

const REPORT: &str = "
import os, sys
import settings
def application(environ, start_response):
    start_response('200 OK', [])
    names = 'FIRST', 'SECOND', 'TAKEN', 'OF_DIR'
    said = [sys.argv, settings.__name__, os.getcwd()] + [os.environ.get(name) for name in names]
    said.append('late' in sys.modules)
    return [repr(said).encode()]
";

#[test]
fn arguments_environment_and_directory_are_as_configured() {
    let lines = "
wsgi-file = app.py
pyargv = --settings  production
env = FIRST=1
env = SECOND=a=b
env = SECOND=c
unenv = TAKEN
envdir = vars
pymodule-alias = settings=shop
post-pymodule-alias = late=file.py
chdir2 = vars
";
    let setup = with_files(lines, &[("vars/OF_DIR", "of dir\n")]);
    let server = setup.app(REPORT).variable("TAKEN", "x").start();
    let directory = server.place.join("vars").canonicalize().unwrap();
    let expected = format!(
        "[['rwsgi', '--settings', 'production'], 'shop', '{}', '1', 'c', None, 'of dir', True]",
        directory.display()
    );
    says(&server, "/", &expected);
}

#[test]
fn modules_are_imported_after_the_application_from_directories_by_pattern() {
    let application = "
import sys
assert 'extra' not in sys.modules
def application(environ, start_response):
    start_response('200 OK', [])
    return [','.join(sorted({'extra', 'shared'} & set(sys.modules))).encode()]
";
    let lines = "wsgi-file = app.py\npythonpath = libs/*\nimport = extra\nshared-import = shared";
    let setup = with_files(lines, &[("libs/x/extra.py", ""), ("libs/y/shared.py", "")]);
    let server = setup.app(application).start();
    says(&server, "/", "extra,shared");
    let missing = with("module = shop\nimport = no_such_module").run();
    missing.refuses(70, &["a module cannot be imported: import=no_such_module", "ModuleNotFound"]);
}

#[test]
fn code_in_the_configuration_is_an_application() {
    let server = with("eval = import shop; application = shop.make('evaluated')").start();
    says(&server, "/", "evaluated  /");
    with("eval = 1 +").run().refuses(70, &["eval, callable=application", "SyntaxError"]);
}

#[test]
fn an_application_of_paste_is_asked_of_pastedeploy() {
    let stub = "
def loadapp(uri):
    import shop
    return shop.make(uri.rsplit('/', 1)[1])
";
    let stubs = [("shop.ini", "[app:admin]"), ("paste/__init__.py", ""), ("paste/deploy.py", stub)];
    let server = with_files("paste = config:shop.ini#admin", &stubs).start();
    says(&server, "/", "shop.ini#admin  /");
    with("ini-paste = shop.ini")
        .run()
        .refuses(78, &["write `ini = FILE` and `paste = config:FILE`"]);
}
