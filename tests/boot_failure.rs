//! Starts that fail, and what they say.

use std::net::TcpListener;

use crate::support::setup::Setup;

#[test]
fn an_import_error_is_70_with_its_traceback() {
    let setup = Setup::new("processes=2").app("def f():\n    import nothing_there\nf()\n");
    setup.run().refuses(70, &["Traceback", "app.py\", line 2, in f", "ModuleNotFoundError"]);
}

#[test]
fn a_syntax_error_is_70_with_its_line() {
    Setup::new("").app("x = (\n").run().refuses(70, &["SyntaxError", "app.py"]);
}

#[test]
fn an_application_that_exits_while_it_is_imported_is_70() {
    Setup::new("").app("import sys\nsys.exit(3)\n").run().refuses(70, &["SystemExit: 3"]);
    Setup::new("").app("import os\nos._exit(3)\n").run().refuses(70, &["template"]);
}

#[test]
fn a_missing_callable_is_70_and_named() {
    Setup::new("").app("app = 1\n").run().refuses(70, &["application"]);
    Setup::new("callable=app").app("app = 1\n").run().refuses(70, &["is not callable"]);
}

#[test]
fn an_import_error_in_each_worker_is_70_too() {
    let setup = Setup::new("lazy-apps=true\nprocesses=2").app("import nothing_there\n");
    setup.run().refuses(70, &["ModuleNotFoundError"]);
}

#[test]
fn a_missing_virtual_environment_is_told() {
    Setup::new("virtualenv=nope").run().refuses(78, &["app.ini:5:", "nope", "-m venv"]);
}

#[test]
fn a_missing_interpreter_is_told_with_all_that_was_tried() {
    let setup = Setup::new("python=python3.77");
    setup.run().refuses(78, &["no usable Python interpreter", "tried:", "python3.77: not in PATH"]);
}

#[test]
fn a_port_in_use_is_71_with_a_remedy() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let ini = format!("[rwsgi]\nhttp = {address}\nwsgi-file = app.py\n");
    let address = address.to_string();
    Setup::classic(&ini)
        .run()
        .refuses(71, &[&address, "another server listens there", "another server listens there: "]);
}

#[test]
fn a_socket_directory_that_is_missing_is_71_with_a_remedy() {
    let setup = Setup::classic("[rwsgi]\nhttp = nope/app.sock\nwsgi-file = app.py\n");
    setup.run().refuses(71, &["nope/app.sock", "mkdir"]);
}

#[test]
fn root_is_no_user_for_an_application_of_the_service() {
    for uid in ["root", "0"] {
        let setup = Setup::new(&format!("uid={uid}"));
        let setup = setup.variable("RWSGI_RUNTIME_DIRECTORY", "/nowhere");
        setup.run().refuses(78, &["not run as root", "uid=", "User="]);
    }
}
