//! Rules for requests, and fields of responses.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::client::Client;
use crate::support::packet::{self, Packet};
use crate::support::server::Server;
use crate::support::setup::Setup;
use crate::support::uwsgi::Uwsgi;
use crate::support::wait;

const APP: &str = "
def application(environ, start_response):
    path = environ['PATH_INFO']
    if path == '/raise':
        raise ValueError(path)
    status = {'/404': '404 Not Found', '/500': '500 Oops'}.get(path[:4], '200 OK')
    start_response(status, [('Content-Type', 'text/plain'), ('X-App', '1'), ('X-Whole', 'yes')])
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
route = ^/auth basicauth-next:realm,ann:secret
route = ^/auth basicauth:realm,bob:other
route = ^/staff basicauth:realm,%dstaff
route = ^/fn addheader:X-Fn: ${base64[PATH_INFO]} ${hex[PATH_INFO]} ${cookie[a]} ${qs[q]} ${uwsgi[wid]}
error-route-status = 404 addheader:X-Error: $1${uwsgi[status]}
error-route = ^/404/re(.*) redirect:/other$1
error-route = ^/500 break:503
error-route = ^/b409 addheader:X-Error: ${PATH_INFO}
route = ^/b409 break:409
collect-header = X-Whole WHOLE
pull-header = X-App APP
response-route = ^/rs addheader:X-Collected: ${WHOLE} ${APP}
response-route-if = equal:${PATH_INFO};/rs/redirect redirect:/other
response-route = ^/rg goto:end
response-route = ^/rg addheader:X-Wrong: 1
response-route-label = end
response-route-status = 200 addheader:X-Status: 200
response-route-status = 404 addheader:X-Status: 404
response-route = ^/rb break:410
response-route = ^/clear clearheaders:202 Accepted
response-route = ^/clear addheader:X-After: 1
";

/// Paths, and fields of the request.
const ASKED: [(&str, &str); 38] = [
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
    ("/auth", "Authorization: Basic Ym9iOm90aGVy\r\n"),
    ("/staff", ""),
    ("/staff", "Authorization: Basic YW5uOnNlY3JldA==\r\n"),
    ("/staff", "Authorization: Basic Ym9iOnNlY3JldA==\r\n"),
    ("/staff", "Authorization: Basic Ym9iOm90aGVy\r\n"),
    ("/fn?q=1", "Cookie: b=3; a=2\r\n"),
    ("/404", ""),
    ("/404/rest", ""),
    ("/500", ""),
    ("/b409", ""),
    ("/rs", ""),
    ("/rs/redirect", ""),
    ("/rg", ""),
    ("/rb", ""),
    ("/clear", ""),
    ("/clear/404", ""),
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
    let staff = "ann:abNANd1rDfiNc\nbob:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n";
    Setup::new(lines).app(APP).file("file.txt", "a file\n").file("staff", staff)
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
    let marks = r#""x-file: 1", "x-host: shop.test", "x-ra: 1""#;
    let ends = r#""x-status: 200", "x-whole: yes"] "#;
    let expected = [
        (1, r#"302 ["location: /new/a"] "#.to_owned()),
        (3, "403 [] ".to_owned()),
        (4, format!(r#"200 [{marks}, "x-route: one", "x-route: two", {ends}|/ah|||"#)),
        (5, format!("200 [{marks}, {ends}|/got/ab|x=1&y=2||")),
        (6, format!("200 [{marks}, {ends}|/got|z||")),
        (8, "200 [\"x-status: 200\"] a file\n".to_owned()),
        (18, format!("200 [{marks}, {ends}|/sv||bar|")),
        (29, format!(r#"302 ["location: /otherst", "x-error: 404", {marks}] "#)),
        (32, format!(r#"200 ["x-collected: yes 1", {marks}, {ends}|/rs|||"#)),
        (20, format!("200 [{marks}, {ends}|/auth|||ann")),
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
fn a_response_without_a_body_gets_none_by_a_rule() {
    let app = "def application(environ, start_response):
    status = environ['PATH_INFO'][1:4]
    start_response(status + ' X', [('X-Old', '1')])
    return []
";
    let rules =
        "response-route = /file static:%dfile.txt\nresponse-route = /clear clearheaders:204";
    let server = with(rules).app(app).start();
    let mut client = server.connect();
    for path in ["/204/file", "/304/file", "/200/clear"] {
        let response = client.get(path);
        let fields = ["content-length", "content-type", "x-old"].map(|name| response.field(name));
        assert_eq!((fields, response.text().as_str()), ([None; 3], ""), "{path}");
    }
    assert_eq!(client.get("/200/file").expect(200).text(), "a file\n");
}

#[test]
fn the_log_is_told_and_spared() {
    let rules = "log-format = %(uri) %(where)\nroute = (?s)^/a log:seen ${PATH_INFO}\nroute = ^/a logvar:where=here\n\
                 route = ^/quiet donotlog:";
    let server = with(rules).start();
    server.get("/quiet").expect(200);
    server.get("/a").expect(200);
    server.wait_for_log("seen /a", 1);
    server.get("/a%0d%0aforged:%1b[31m%00").expect(200);
    server.wait_for_log(r"seen /a\x0d\x0aforged:\x1b[31m\x00", 1);
    server.wait_for_log("/a here", 1);
    assert!(!server.log().contains("/quiet"));
}

#[test]
fn what_responses_and_rules_say_is_in_the_log() {
    let rules = "mount = /m=app.py\nmanage-script-name = true\ncollect-header = X-App APP\n\
                 pull-header = X-Whole WHOLE\nroute = ^/a addvar:FOO=bar\nroute-run = setuser:ann\n\
                 final-route-status = 404 donotlog:\nfinal-route = ^/a logvar:bytes=${uwsgi[rsize]}\n\
                 final-route = ^/late log:after ${uwsgi[status]} ${APP}\nresponse-route = ^/quiet donotlog:\n\
                 log-format = %(uri) %(var.APP) %(var.WHOLE) %(var.FOO) %(var.SCRIPT_NAME)|%(var.PATH_INFO) %(user) %(bytes)";
    let server = with(rules).start();
    let answered = server.get("/m/a").expect(200);
    assert_eq!((answered.field("x-app"), answered.field("x-whole")), (Some("1"), None));
    server.get("/404").expect(404);
    server.get("/quiet").expect(200);
    server.get("/late").expect(200);
    server.wait_for_log("after 200 1", 1);
    server.wait_for_log("/late 1 yes - -|/late ann", 1);
    server.wait_for_log("/m/a 1 yes bar /m|/a ann 14", 1);
    assert!(!server.log().contains("/404") && !server.log().contains("/quiet"));
}

/// uWSGI sends the page with status 200.
#[test]
fn a_file_of_a_rule_for_responses_keeps_the_status() {
    let rules = "error-route-status = 404 static:%dfile.txt\nresponse-route = ^/b break:503";
    let server = with(rules).start();
    let page = server.get("/404").expect(404);
    assert_eq!((page.text(), page.field("x-app")), ("a file\n".to_owned(), None));
    let post = "POST /404 HTTP/1.1\r\nHost: t\r\nRange: bytes=2-3\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(server.ask(post).expect(404).text(), "a file\n");
    let mut client = server.connect();
    client.send("HEAD /404 HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
    let head = client.response_to_head().expect(404);
    assert_eq!((head.field("content-length"), client.rest()), (Some("7"), Vec::new()));
}

/// The application yields the rest of its response to nobody, and is closed.
#[test]
fn a_rule_takes_the_place_of_a_response_that_streams() {
    const STREAM: &str = "
def application(environ, start_response):
    start_response('200 OK', [])
    def body():
        try:
            for _ in range(1000):
                yield b'x' * 65536
        finally:
            print('closed')
    return body()
";
    let rules = "response-route = ^/busy break:503\nresponse-route-run = delheader:Content-Type";
    let server = Setup::new(rules).app(STREAM).start();
    assert_eq!(server.get("/busy").expect(503).text(), "Service Unavailable");
    server.wait_for_log("closed", 1);
    assert_eq!(server.get("/").expect(200).text().len(), 65_536_000);
}

#[test]
fn a_file_of_htpasswd_says_who_passes() {
    let (crypt, sha) = ("abNANd1rDfiNc", "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=");
    let setup = with("route = ^/ basicauth:realm,htpasswd\nlog-format = %(uri) by %(user)")
        .file("htpasswd", &format!("ann:{crypt}\nbob:{sha}\neve:$apr1$abcdefgh$x\n"));
    let file = setup.place.join("htpasswd");
    let server = setup.start();
    let ask = |path: &str, credentials: &str| {
        let said =
            format!("GET {path} HTTP/1.1\r\nHost: t\r\nAuthorization: Basic {credentials}\r\n\r\n");
        server.ask(&said).status
    };
    let (ann, bob, eve) = ("YW5uOnNlY3JldA==", "Ym9iOnNlY3JldA==", "ZXZlOnNlY3JldA==");
    assert_eq!((ask("/", ann), ask("/", bob), ask("/", "YW5uOng=")), (200, 200, 401));
    let refused = server.get("/").expect(401);
    assert_eq!(refused.field("www-authenticate"), Some("Basic realm=\"realm\""));
    assert_eq!(ask("/", eve), 401);
    server.wait_for_log("the hash of this user is none of crypt(3): `htpasswd -B` makes one", 1);
    std::fs::write(&file, format!("bob:{sha}\n# ann has left\n")).unwrap();
    assert_eq!((ask("/now", ann), ask("/now", bob)), (401, 200));
    server.wait_for_log("/now by bob", 1);
    let none = "route-run = basicauth:realm,%dnone";
    with(none).run().refuses(78, &["lets nobody pass", "a file of htpasswd, relative to `chdir`"]);
}

#[test]
fn error_pages_are_for_errors_that_the_application_does_not_answer() {
    let lines = "error-page-403 = 403.html\nerror-page-404 = none.html\nerror-page-404 = huge.html\n\
                 error-page-404 = 404.html\nerror-page-500 = 500.html\nroute = ^/forbidden break:403\nroute = ^/gone break:410\n\
                 route = ^/nowhere static:%dnowhere.txt";
    let page = |name: &str| format!("<h1>{name}</h1>\n");
    let mut setup = with(lines).file("huge.html", &"x".repeat(5 << 20));
    for status in ["403", "404", "500"] {
        setup = setup.file(&format!("{status}.html"), &page(status));
    }
    let server = setup.start();
    server.wait_for_log("none.html", 1);
    server.wait_for_log("huge.html` is larger than 4 MiB", 1);
    for (path, status) in [("/forbidden", 403), ("/nowhere", 404), ("/raise", 500)] {
        let answered = server.get(path).expect(status);
        assert_eq!(answered.text(), page(&status.to_string()));
        assert_eq!(answered.field("content-type"), Some("text/html; charset=utf-8"));
    }
    for (path, status) in [("/404", 404), ("/gone", 410)] {
        let answered = server.get(path).expect(status);
        assert_eq!(
            answered.field("content-type").map(|kind| kind.starts_with("text/plain")),
            Some(true)
        );
        assert!(!answered.text().contains("<h1>"), "{path}");
    }
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
    refused(
        "final-route = ^/ break:403",
        &["`break` after the response has left", "`response-route`"],
    );
    refused(
        "response-route-run = rewrite:/x",
        &["after the application has run", "write it as `route`"],
    );
    refused("final-route-run = goto:x", &["which is no `final-route-label` below it"]);
    refused("route-status = 404 log:x", &["route-status"]);
    refused("pull-header = X-A", &["names no field and variable"]);
}

/// bcrypt with a cost of 13: half a second for each password.
const SLOW: &str = "ann:$2b$13$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";
const WRONG: &str = "GET /slow HTTP/1.1\r\nHost: t\r\nAuthorization: Basic YW5uOndyb25n\r\n\r\n";

#[test]
fn wrong_passwords_keep_nobody_waiting() {
    let rules = "threads = 1\nroute = ^/slow basicauth:Shop,%dslow\nroute-run = addheader:X-On: 1";
    let server = with(rules).file("slow", SLOW).start();
    let guess = |_| {
        let mut guess = server.connect();
        guess.send(WRONG);
        guess
    };
    let mut guesses: Vec<_> = (0..80).map(guess).collect();
    for path in ["/", "/b", "/c"] {
        server.get(path).expect(200);
    }
    let silent = |guess: &mut Client| guess.is_silent_for(Duration::from_millis(1));
    assert!(guesses.iter_mut().any(silent), "all passwords were hashed before others were served");
    server.wait_for_log("too many passwords wait to be hashed", 1);
    // Those before are told; there was no room for the others, or they have waited for too long.
    let (mut wrong, mut later) = (0, 0);
    for guess in &mut guesses {
        let answer = guess.response();
        assert_eq!(answer.field("x-on"), None);
        match answer.status {
            401 => wrong += 1,
            _ => {
                assert_eq!(answer.expect(503).field("retry-after"), Some("5"));
                later += 1;
            }
        }
    }
    assert!(wrong > 0 && later > 14, "{wrong} {later}");
}
