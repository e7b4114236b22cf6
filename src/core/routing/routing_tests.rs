use std::cell::RefCell;
use std::collections::BTreeMap;

use super::*;
use crate::config::raw::RawOption;
use crate::config::{Argument, Context, Sources, load};

#[derive(Default)]
struct Request {
    variables: BTreeMap<String, Vec<u8>>,
    fields: Vec<String>,
    said: RefCell<Vec<String>>,
    /// Whether the password that was asked for has been hashed.
    is_settled: bool,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Subject for Request {
    fn variable(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        self.variables.get(name).map(|value| value.as_slice().into())
    }

    fn figure(&self, figure: Figure) -> Option<u64> {
        match figure {
            Figure::Worker => Some(3),
            Figure::Status => Some(404),
            _ => None,
        }
    }

    fn knows(&mut self, file: &Path, credentials: &[u8]) -> Option<bool> {
        let is_settled = !file.ends_with("slow") || self.is_settled;
        is_settled.then(|| credentials == b"ann:secret")
    }

    fn media_type(&self, path: &[u8]) -> Vec<u8> {
        [b"type of ", path].concat()
    }

    fn clear(&mut self, status: u16) {
        self.fields.push(format!("only {status}"));
    }

    fn set(&mut self, name: &str, value: Vec<u8>) {
        self.variables.insert(name.to_owned(), value);
    }

    fn add_field(&mut self, name: &str, value: Vec<u8>) {
        self.fields.push(format!("+{name}: {}", text(&value)));
    }

    fn remove_field(&mut self, name: &str) {
        self.fields.push(format!("-{name}"));
    }

    fn log(&self, line: &[u8]) {
        self.said.borrow_mut().push(text(line));
    }

    fn note(&self, name: &str, value: &[u8]) {
        self.said.borrow_mut().push(format!("{name}={}", text(value)));
    }

    fn silence(&mut self) {
        self.said.borrow_mut().push("silent".to_owned());
    }
}

/// Runs the rules of an INI file on a request with these variables.
fn routed(lines: &str, variables: &[(&str, &str)]) -> (Option<Answer>, Request) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("app.py"), "").unwrap();
    for file in ["staff", "slow"] {
        std::fs::write(directory.path().join(file), "").unwrap();
    }
    let file = directory.path().join("a.ini");
    std::fs::write(&file, format!("[uwsgi]\nhttp=:0\nwsgi-file=app.py\n{lines}\n")).unwrap();
    let context = Context { cwd: directory.path().to_owned(), ..Context::default() };
    let option = RawOption::argument("ini", &file.display().to_string(), 1, "--ini");
    let sources = Sources { arguments: vec![Argument::File(option)], ..Sources::default() };
    let config = load(&sources, &context).unwrap().0;
    let mut request = Request::default();
    for (name, value) in variables {
        request.set(name, value.as_bytes().to_vec());
    }
    let rules = &config.routing.rules;
    let phases = [&rules.request, &rules.error, &rules.response, &rules.done];
    let answer = phases.into_iter().find_map(|rules| run_all(rules, &mut request));
    (answer, request)
}

fn run_all(rules: &[Rule], request: &mut Request) -> Option<Answer> {
    let answer = run(rules, request);
    let Some(Answer::Later(index)) = answer else { return answer };
    request.is_settled = true;
    run_all(&rules[index..], request)
}

fn at(path: &str, lines: &str) -> (Option<Answer>, Request) {
    routed(lines, &[("PATH_INFO", path), ("QUERY_STRING", "q=1&r=2"), ("HTTP_HOST", "shop.test")])
}

#[test]
fn groups_and_variables_go_into_the_answer() {
    let lines = "route = ^/old/(.*) redirect:https://${HTTP_HOST}/$1?${qs[r]}$";
    let to = b"https://shop.test/a b?2$".to_vec();
    assert_eq!(at("/old/a b", lines).0, Some(Answer::Redirect(302, to)));
    assert_eq!(at("/new", lines).0, None);
}

#[test]
fn rules_act_in_their_order_until_one_ends_it() {
    let lines = "
route = ^/ addheader:A: 1
route-if = equal:${PATH_INFO};/x last:
route-if-not = startswith:${PATH_INFO};/y addheader:B: 2
route-run = addheader:C: 3";
    assert_eq!(at("/x", lines).1.fields, ["+A: 1"]);
    assert_eq!(at("/y", lines).1.fields, ["+A: 1", "+C: 3"]);
    assert_eq!(at("/z", lines).1.fields, ["+A: 1", "+B: 2", "+C: 3"]);
}

#[test]
fn goto_leads_to_its_label_and_on() {
    let lines = "
route = ^/x goto:end
route-run = addheader:A: 1
route-label = other
route-run = addheader:B: 2
route-label = end
route-run = delheader:C";
    assert_eq!(at("/x", lines).1.fields, ["-C"]);
    assert_eq!(at("/y", lines).1.fields, ["+A: 1", "+B: 2", "-C"]);
}

#[test]
fn a_rewrite_sets_path_and_query_for_what_follows() {
    let lines = "
route = ^/a/(.*) rewrite:/b/$1?x=1
route = ^/b/ addheader:Query: ${QUERY_STRING}
route = ^/b/ rewrite-last:/c
route = ^/c break:500
route = ^/plain setpathinfo:slash";
    let (answer, request) = at("/a/z", lines);
    assert_eq!(
        (answer, request.fields.as_slice()),
        (None, &["+Query: x=1&q=1&r=2".to_owned()][..])
    );
    assert_eq!(request.variables["PATH_INFO"], b"/c");
    assert_eq!(request.variables["QUERY_STRING"], b"x=1&q=1&r=2");
    assert_eq!(at("/plain", lines).1.variables["PATH_INFO"], b"/slash");
}

#[test]
fn conditions_are_those_of_uwsgi() {
    let holds = |condition: &str| {
        let lines = format!("route-if = {condition} break:204");
        let variables = [
            ("PATH_INFO", "/a.css"),
            ("CONTENT_LENGTH", "20"),
            ("REMOTE_ADDR", "10.1.2.3"),
            ("HTTP_COOKIE", "a=1; session=x"),
        ];
        routed(&lines, &variables).0.is_some()
    };
    for condition in [
        "exists:/etc",
        "isdir:/etc",
        "isfile:/etc/passwd",
        "isexec:/bin/sh",
        "empty:${HTTP_HOST}",
        "eq:${cookie[session]};x",
        "endswith:${PATH_INFO};.css",
        "contains:${PATH_INFO};a.",
        "regexp:${PATH_INFO};\\.css$",
        "ishigher:${CONTENT_LENGTH};3",
        ">=:${CONTENT_LENGTH};20",
        "islower:${CONTENT_LENGTH};21",
        "<=:${HTTP_NONE};0",
        "ipv4in:${REMOTE_ADDR};10.0.0.0/8",
        "ipv4in:${REMOTE_ADDR};10.1.2.3",
    ] {
        assert!(holds(condition), "{condition}");
    }
    for condition in [
        "exists:/none",
        "isdir:/etc/passwd",
        "isfile:/etc",
        "islink:/etc",
        "empty:x",
        "equal:${HTTP_HOST};x",
        "ishigher:${CONTENT_LENGTH};20",
        "ipv6in:${REMOTE_ADDR};::/0",
        "ipv4in:${HTTP_HOST};10.0.0.0/8",
    ] {
        assert!(!holds(condition), "{condition}");
    }
}

#[test]
fn a_file_does_not_leave_the_directory_of_the_configuration() {
    let lines = "route = ^/m/(.*) static:/srv/media/x-$1";
    let root = "/srv/media/".to_owned();
    let path = b"/srv/media/x-a/b".to_vec();
    assert_eq!(at("/m/a/b", lines).0, Some(Answer::File { path, root }));
    assert_eq!(at("/m/a/../../../etc/passwd", lines).0, Some(Answer::Status(404)));
    let whole = at("/x", "route = ^/x static:/srv/robots.txt").0;
    let path = "/srv/robots.txt".to_owned();
    assert_eq!(whole, Some(Answer::File { root: path.clone(), path: path.into_bytes() }));
}

#[test]
fn a_password_is_asked_for_and_names_the_user() {
    let lines = "route = ^/admin basicauth:Shop,ann:secret\nroute-run = log:${REMOTE_USER}";
    assert_eq!(at("/admin", lines).0, Some(Answer::Unauthorized("Shop".into())));
    let with = [("PATH_INFO", "/admin"), ("HTTP_AUTHORIZATION", "Basic YW5uOnNlY3JldA==")];
    let (answer, request) = routed(lines, &with);
    assert_eq!((answer, request.said.into_inner()), (None, vec!["ann".to_owned()]));
}

#[test]
fn who_is_unknown_to_a_lenient_rule_may_be_known_to_the_next() {
    let lines = "route-run = basicauth-next:Shop,ann:secret\nroute-run = basicauth:Shop,bob:x";
    let user = |said: &str| {
        let (answer, request) = routed(lines, &[("HTTP_AUTHORIZATION", said)]);
        answer.is_none().then(|| text(&request.variables["REMOTE_USER"]))
    };
    assert_eq!(user("Basic YW5uOnNlY3JldA==").as_deref(), Some("ann"));
    assert_eq!(user("Basic Ym9iOng=").as_deref(), Some("bob"));
    assert_eq!(user("Basic Ym9iOnk="), None);
    assert_eq!(routed(lines, &[]).0, Some(Answer::Unauthorized("Shop".into())));
    let lines = "route-run = basicauth:Shop,staff";
    let said = [("HTTP_AUTHORIZATION", "Basic YW5uOnNlY3JldA==")];
    assert_eq!(routed(lines, &said).1.variables["REMOTE_USER"], b"ann");
    assert_eq!(routed(lines, &[("REMOTE_USER", "eve")]).0, None);
}

#[test]
fn rules_go_on_where_they_have_stopped_for_a_password() {
    let lines = "
route-run = log:before
route-run = basicauth-next:Shop,slow
route-run = log:${REMOTE_USER}
route-run = basicauth:Shop,slow
route-run = log:after";
    let (answer, request) = routed(lines, &[("HTTP_AUTHORIZATION", "Basic YW5uOnNlY3JldA==")]);
    assert_eq!((answer, request.is_settled), (None, true));
    assert_eq!(request.said.into_inner(), ["before", "ann", "after"]);
    let (answer, request) = routed(lines, &[("HTTP_AUTHORIZATION", "Basic Ym9iOng=")]);
    assert_eq!(answer, Some(Answer::Unauthorized("Shop".into())));
    assert_eq!(request.said.into_inner(), ["before", ""]);
}

#[test]
fn rules_of_responses_know_the_status_and_change_it() {
    let lines = "
error-route-status = 404 addheader:A: 1
error-route-status = 500 addheader:B: 1
response-route-run = goto:end
response-route-run = addheader:C: 1
response-route-label = end
response-route-if = equal:${uwsgi[status]};404 clearheaders:410 Gone
final-route-run = logvar:status=${uwsgi[status]}${uwsgi[rtime]}";
    let (answer, request) = routed(lines, &[]);
    assert_eq!(
        (answer, request.fields.as_slice()),
        (None, &["+A: 1", "only 410"].map(str::to_owned)[..])
    );
    assert_eq!(request.said.into_inner(), ["status=404"]);
}

#[test]
fn functions_put_what_they_make_of_a_variable_into_texts() {
    let said = |text: &str| {
        let lines = format!("route-run = log:{text}");
        let variables = [("A", "a?/~"), ("HTTP_COOKIE", "a=1; b=2"), ("QUERY_STRING", "q=1&r=2")];
        routed(&lines, &variables).1.said.into_inner().remove(0)
    };
    assert_eq!(said("${cookie[b]}${qs[r]}${qs[none]}"), "22");
    assert_eq!(said("${base64[A]} ${hex[A]} ${mime[A]}"), "YT8vfg== 613F2F7E type of a?/~");
    assert_eq!(said("${uwsgi[wid]}-${uwsgi[rsize]}"), "3-");
    let uuid = said("${uwsgi[uuid]}");
    let lengths: Vec<_> = uuid.split('-').map(str::len).collect();
    assert_eq!(lengths, [8, 4, 4, 4, 12], "{uuid}");
    assert!(uuid[14..].starts_with('4') && uuid[19..].starts_with(['8', '9', 'a', 'b']), "{uuid}");
    let number = |text: &str| said(text).parse::<u64>().unwrap();
    let (seconds, micros) = (number("${time[unix]}"), number("${time[micros]}"));
    assert!((seconds..seconds + 60).contains(&(micros / 1_000_000)));
    let time = said("${httptime[0]}");
    assert!(
        time.len() == "Thu, 26 Nov 2026 01:28:26 GMT".len() && time.ends_with(" GMT"),
        "{time}"
    );
}

#[test]
fn the_log_is_told_what_rules_say() {
    let lines = "
route-run = logvar:where=${PATH_INFO}
route-run = log:at $0 ${PATH_INFO}
route-run = donotlog:
route-run = fixpathinfo:
route-run = setscriptname:/s
route-run = addvar:A=b";
    let variables = [("PATH_INFO", "/app/x"), ("SCRIPT_NAME", "/app")];
    let (_, request) = routed(lines, &variables);
    assert_eq!(request.said.into_inner(), ["where=/app/x", "at  /app/x", "silent"]);
    assert_eq!(request.variables["PATH_INFO"], b"/x");
    assert_eq!(request.variables["SCRIPT_NAME"], b"/s");
    assert_eq!(request.variables["A"], b"b");
}
