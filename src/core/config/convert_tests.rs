//! What is converted means the same.

use proptest::prelude::*;

use super::super::load::Argument;
use super::*;

fn sources(text: &str) -> Sources {
    let file = Argument::File(RawOption::argument("ini", "-", 1, "-"));
    let sources = Sources {
        environment: vec![("HOME".into(), "/home/shop".into()), ("A".into(), "$(HOME)".into())],
        arguments: vec![file],
        ..Sources::default()
    };
    sources.stdin.keep(text.as_bytes().to_vec());
    sources
}

fn context() -> Context {
    Context { cwd: "/".into(), ..Context::default() }
}

fn converted(text: &str) -> String {
    convert(&sources(text), &context()).unwrap_or_else(|errors| {
        panic!("{}", errors.iter().map(ToString::to_string).collect::<String>())
    })
}

/// What counts, by name.
fn effective(text: &str) -> Vec<(&'static str, String)> {
    let mut findings = Findings::default();
    let raw = load::collect_arguments(&sources(text), &context(), &mut findings);
    assert!(findings.errors.is_empty(), "{text}\n{:?}", findings.errors);
    let mut all: Vec<(&'static str, String)> = Vec::new();
    for option in &raw.options {
        let Some(spec) = spec(&option.key) else { continue };
        all.retain(|(name, _)| spec.list || *name != spec.name);
        all.push((spec.name, option.value.clone()));
    }
    all.sort_by_key(|(name, _)| *name);
    all
}

#[test]
fn includes_loops_and_references_are_written_out_with_their_origin() {
    let text = "[uwsgi]\nbase = /srv\nworkers = 2\nprocess = 4\nfor = a b\nenv = X_%(_)=%(base)\n\
                endfor =\nplugins = python3\nchroot = /x\nupload-progress = 1\n";
    let expected = format!(
        "; Written by rwsgi {} (`rwsgi convert`).\n[rwsgi]\n\
         \n; Application\n\
         ; stdin:6:7: env = X_%(_)=%(base)\nenv = X_a=/srv\n\
         ; stdin:6:7: env = X_%(_)=%(base)\nenv = X_b=/srv\n\
         \n; Workers\n\
         ; stdin:4:11: process = 4\nprocesses = 4\n\
         \n; Not in this version:\n;   upload-progress = 1\n;     the progress of uploads is not told\n\
         \n; Not needed here:\n;   plugins = python3\n;     Python and HTTP are built in\n\
         \n; Not supported: rwsgi does not start with these:\n;   chroot = /x\n;     the application",
        crate::VERSION
    );
    let text = converted(text);
    assert!(text.starts_with(&expected), "{text}");
}

#[test]
fn what_would_mean_something_else_is_protected() {
    for line in [
        "env = A=100%% %(nope) %%d",
        "env = A=$(A)",
        "set = chdir=/a # b",
        "set = chdir=# b",
        "set-ph = nothing=1\nenv = A=%(nothing)%%(percent)",
        "set = env= A=  ",
        "module = x\nenv = B=%%(module)",
    ] {
        let text = format!("[uwsgi]\n{line}\n");
        let again = converted(&text);
        assert_eq!(effective(&again), effective(&text), "{again}");
    }
}

#[test]
fn errors_are_those_of_the_configuration() {
    let errors = convert(&sources("[uwsgi]\nprocesses = four\nnonsense = 1\n"), &context());
    assert_eq!(errors.unwrap_err().len(), 2);
    let errors = convert(&sources("[uwsgi]\nenv = A=@(exec://echo 1; echo 2)\n"), &context());
    assert!(errors.unwrap_err()[0].to_string().contains("is more than a line"));
}

proptest! {
    #[test]
    fn what_is_converted_has_the_same_values(
        lines in proptest::collection::vec(
            ("(env = A=|chdir = /|pythonpath = /|set = chdir=/|set = env= A=)",
             "[a#;%$() =/{}]{0,3}(%\\(a\\)|%\\(module\\)|\\$\\(A\\)|%%| # | ; |\\(|b){0,4}"),
            0..8,
        ),
    ) {
        let mut text = "[uwsgi]\na = x y\nmodule = shop\n".to_owned();
        for (key, value) in &lines {
            text += &format!("{key}{value}\n");
        }
        let mut findings = Findings::default();
        let raw = load::collect_arguments(&sources(&text), &context(), &mut findings);
        Settings::read_all(&raw, &mut findings);
        prop_assume!(findings.errors.is_empty());
        let again = converted(&text);
        prop_assert_eq!(effective(&again), effective(&text), "{}\n---\n{}", text, again);
    }
}
