//! Rules for requests, and fields of responses.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::support::packet::{self, Packet};
use crate::support::server::Server;
use crate::support::setup::Setup;
use crate::support::uwsgi::Uwsgi;
use crate::support::wait;

const APP: &str = "
def application(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain'), ('X-App', '1')])
    names = 'SCRIPT_NAME', 'PATH_INFO', 'QUERY_STRING', 'FOO', 'REMOTE_USER'
    return ['|'.join(environ.get(name) or '' for name in names).encode()]
";

/// What both are asked, by the same configuration.
const RULES: &str = r"
route = ^/old/(.*) redirect:/new/$1
route = ^/perm redirect-permanent:/new
route = ^/brk break:403 Forbidden
route = ^/ah addheader:X-Route: one
route = ^/ah addheader:X-Route: two
route = ^/rw/(.*)$ rewrite:/got/$1?x=1
route = ^/rwq$ rewrite:/got
route = ^/rl$ rewrite-last:/skipped
route = ^/skipped addheader:X-Wrong: 1
route = ^/st static:%dfile.txt
route = ^/dh delheader:X-App
route = ^/fx setpathinfo:/changed
route = ^/chain addheader:X-A: 1
route = ^/chain last:
route = ^/chain addheader:X-Wrong: 1
route = ^/gt goto:lab
route = ^/gt addheader:X-Wrong: 1
route-label = lab
route = ^/gt addheader:X-Lab: 1
route-if = equal:${PATH_INFO};/eq addheader:X-Eq: 1
route-if = startswith:${PATH_INFO};/eq addheader:X-Sw: 1
route-if-not = startswith:${PATH_INFO};/ addheader:X-Wrong: 1
route-if = regexp:${REQUEST_URI};x=(\d+) addheader:X-Re: $1
route-if = isfile:%dfile.txt addheader:X-File: 1
route-host = ^shop addheader:X-Host: ${HTTP_HOST}
route-uri = ^/ur\?(.*) addheader:X-Uri: $1
route-qs = q=(.*) addheader:X-Qs: $1
route-user-agent = ^test addheader:X-Ua: 1
route-remote-addr = ^127 addheader:X-Ra: 1
route = ^/sv addvar:FOO=bar$1
route = ^/auth basicauth:realm,ann:secret
";

/// Paths, and fields of the request.
const ASKED: [(&str, &str); 22] = [
    ("/", ""),
    ("/old/a?b", ""),
    ("/perm", ""),
    ("/brk", ""),
    ("/ah", ""),
    ("/rw/ab?y=2", ""),
    ("/rwq?z", ""),
    ("/rl", ""),
    ("/st", ""),
    ("/dh", ""),
    ("/fx", ""),
    ("/chain", ""),
    ("/gt", ""),
    ("/eq", ""),
    ("/eq/1?x=55", ""),
    ("/ur?abc", ""),
    ("/x?q=7", ""),
    ("/x", "User-Agent: test\r\n"),
    ("/sv", ""),
    ("/auth", ""),
    ("/auth", "Authorization: Basic YW5uOnNlY3JldA==\r\n"),
    ("/auth", "Authorization: Basic YW5uOndyb25n\r\n"),
];

/// Status, fields that rules are about, and the body where the application or a file is it.
fn answer(port: u16, (path, fields): (&str, &str)) -> Option<String> {
    let mut client = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(client, "GET {path} HTTP/1.0\r\nHost: shop.test\r\n{fields}\r\n").ok()?;
    let mut bytes = Vec::new();
    client.read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.to_owned();
    let about = |line: &&str| {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        name.starts_with("x-") || ["location", "www-authenticate"].contains(&name.as_str())
    };
    let mut kept: Vec<_> = lines.filter(about).map(str::to_ascii_lowercase).collect();
    kept.sort();
    let body = if status == "200" { body } else { "" };
    Some(format!("{path} {fields:?}: {status} {kept:?} {body}"))
}

fn with(lines: &str) -> Setup {
    Setup::new(lines).app(APP).file("file.txt", "a file\n")
}

#[test]
fn uwsgi_answers_the_same() {
    let place = with("").place;
    let plugins = "python3,router_redirect,router_rewrite,router_static,router_basicauth";
    let lines = format!("chdir = %d\nwsgi-file = app.py\n{RULES}");
    let uwsgi = Uwsgi::start(&place, plugins, &lines);
    wait::until("uWSGI serves", || answer(uwsgi.port, ASKED[0]));
    let theirs: Vec<_> = ASKED.iter().map(|&asked| answer(uwsgi.port, asked)).collect();
    let server = with(RULES).start();
    let ours = ASKED.iter().map(|&asked| answer(server.address().port(), asked));
    for (ours, theirs) in ours.zip(theirs) {
        assert_eq!(ours, theirs);
    }
}

/// Some of what both say, for where uWSGI is not installed.
#[test]
fn rules_answer_rewrite_and_mark() {
    let server = with(RULES).start();
    let port = server.address().port();
    let marks = r#""x-app: 1", "x-file: 1", "x-host: shop.test", "x-ra: 1""#;
    let expected = [
        (1, r#"302 ["location: /new/a"] "#.to_owned()),
        (3, "403 [] ".to_owned()),
        (4, format!(r#"200 [{marks}, "x-route: one", "x-route: two"] |/ah|||"#)),
        (5, format!("200 [{marks}] |/got/ab|x=1&y=2||")),
        (6, format!("200 [{marks}] |/got|z||")),
        (8, "200 [] a file\n".to_owned()),
        (18, format!("200 [{marks}] |/sv||bar|")),
        (20, format!("200 [{marks}] |/auth|||ann")),
    ];
    for (index, text) in expected {
        let said = answer(port, ASKED[index]).unwrap();
        assert!(said.ends_with(&format!(": {text}")), "{said}\n{text}");
    }
}

fn says(server: &Server, path: &str, text: &str) {
    assert_eq!(server.get(path).expect(200).text(), text, "{path}");
}

#[test]
fn rules_see_the_path_below_the_mount() {
    let lines = "mount = /m=app.py\nmanage-script-name = true\nroute = ^/in rewrite:/out\n";
    let server = with(lines).start();
    says(&server, "/m/in", "/m|/out|||");
    says(&server, "/in", "|/out|||");
    says(&server, "/m/x", "/m|/x|||");
}

#[test]
fn rules_are_for_the_uwsgi_protocol_too() {
    let rules = "route = ^/a rewrite:/b\nroute = ^/c break:410";
    let server = Setup::uwsgi(rules).app(APP).start();
    let ask = |target: &str| packet::ask(&server, &Packet::get(target));
    assert_eq!(ask("/a").expect(200).text(), "|/b|||");
    ask("/c").expect(410);
}

#[test]
fn rules_come_before_static_files() {
    let server = with("check-static = %d\nroute = ^/app break:404").start();
    assert_eq!(server.get("/file.txt").expect(200).text(), "a file\n");
    server.get("/app.py").expect(404);
}

#[test]
fn a_decoded_path_makes_no_field_and_leads_nowhere_else() {
    let rules = "
route = (?s)^/to(.*) redirect:/x$1
route = (?s)^/field(.*) addheader:X-Field: a$1
route = ^/media/(.*) static:%dmedia/$1";
    let server = with(rules).start();
    let redirected = server.get("/to%0d%0aSet-Cookie:%20a=b").expect(302);
    assert_eq!(redirected.field("location"), Some("/x%0D%0ASet-Cookie:%20a=b"));
    assert_eq!(redirected.field("set-cookie"), None);
    let answered = server.get("/field%0d%0aSet-Cookie:%20a=b").expect(200);
    assert_eq!((answered.field("x-field"), answered.field("set-cookie")), (None, None));
    server.wait_for_log("X-Field is not added to a response", 1);
    for path in ["/media/../app.py", "/media/%2e%2e/app.py", "/media//etc/passwd", "/media/none"] {
        server.get(path).expect(404);
    }
}

#[test]
fn a_file_of_a_rule_is_sent_as_static_files_are() {
    let server = with("route = ^/st static:%dfile.txt").start();
    let whole = server.get("/st").expect(200);
    assert_eq!(whole.field("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(whole.text(), "a file\n");
    let part = server.ask("GET /st HTTP/1.1\r\nHost: t\r\nRange: bytes=2-5\r\n\r\n").expect(206);
    assert_eq!(part.text(), "file");
    let post = "POST /st HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n";
    server.ask(post).expect(405);
}

#[test]
fn the_log_is_told_and_spared() {
    let rules = "log-format = %(uri) %(where)\nroute = ^/a log:seen ${PATH_INFO}\nroute = ^/a logvar:where=here\n\
                 route = ^/quiet donotlog:";
    let server = with(rules).start();
    server.get("/quiet").expect(200);
    server.get("/a").expect(200);
    server.wait_for_log("seen /a", 1);
    server.wait_for_log("/a here", 1);
    assert!(!server.log().contains("/quiet"));
}

#[test]
fn every_response_has_the_fields_of_the_configuration() {
    let lines = "add-header = X-Frame-Options: DENY\nadd-header = X-Two: 1\nadd-header = X-Two: 2\n\
                 del-header = X-App\nstatic-map = /f=file.txt";
    let server = with(lines).start();
    for path in ["/", "/f"] {
        let answer = server.get(path).expect(200);
        assert_eq!(answer.field("x-frame-options"), Some("DENY"), "{path}");
        assert_eq!(answer.field("x-app"), None, "{path}");
    }
    let refused = server.ask("GET / HTTP/1.1\r\nHost: t\r\nExpect: x\r\n\r\n").expect(417);
    assert_eq!(refused.field("x-frame-options"), Some("DENY"));
}

#[test]
fn mistakes_are_errors_of_the_configuration_with_their_place() {
    let refused = |line: &str, texts: &[&str]| with(line).run().refuses(78, texts);
    refused("route = ^/( break:403", &["app.ini:5:9: `route = ^/( break:403` is not a regular"]);
    refused("route = ^/(?!a) last", &["look-around", "PCRE has these"]);
    refused("route = ^/ http:127.0.0.1:1", &["the action `http`", "rwsgi is no proxy"]);
    refused("route-run = goto:x", &["goes to `x`, which is no `route-label` below it"]);
    refused("add-header = Content-Length: 1", &["depends on the connection"]);
    refused("add-header = X-A", &["is no field of a header", "write `Name: value`"]);
    refused("final-route = ^/ log:x", &["`final-route` cannot be obeyed", "`route-run`"]);
    refused("response-route-run = addheader:A: 1", &["cannot be obeyed", "`add-header`"]);
}
