//! The log of requests: what its lines say, where they go, and what they may cost.

use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::time::Instant;
use std::{fs, io::Read as _};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::journal::Journal;
use crate::support::server::Server;
use crate::support::setup::Setup;
use crate::support::wait;

const APP: &str = "
import uwsgi

def application(environ, start_response):
    path = environ['PATH_INFO']
    if path == '/vars':
        uwsgi.set_logvar('who', 'ann')
        uwsgi.set_logvar(b'n', b'7')
        assert uwsgi.get_logvar('who') == b'ann' and uwsgi.get_logvar('x') is None
        try:
            uwsgi.set_logvar('n', 1)
        except TypeError as error:
            assert str(error) == 'set_logvar() argument 2 must be str or bytes, not int', error
    status = {'/missing': '404 Not Found', '/broken': '500 Oh'}.get(path, '200 OK')
    body = b'' if path == '/empty' else b'hello'
    start_response(status, [('Content-Type', 'text/plain'), ('Content-Length', str(len(body)))])
    return [body]
";

/// What the four requests were to uWSGI 2.0.21 of Debian 12, with the same application: recorded
/// from its `req-logger`.
const REQUESTS: [&str; 4] = [
    "GET /a?b=1&c=%22 HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: probe/1\r\nAccept: */*\r\n\
     Referer: http://r.test/\r\n\r\n",
    "GET /vars HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: probe/2\r\nAccept: */*\r\n\r\n",
    "POST /missing HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: probe/1\r\nAccept: */*\r\n\
     X-Forwarded-For: 192.0.2.7, 10.0.0.1\r\nContent-Length: 3\r\n\
     Content-Type: application/x-www-form-urlencoded\r\n\r\nxyz",
    "HEAD /empty HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: probe/1\r\nAccept: */*\r\n\r\n",
];

fn start(lines: &str) -> Server {
    let lines = format!("processes=1\nreq-logger = file:%drequests\n{lines}");
    Setup::new(&lines).app(APP).start()
}

fn lines(server: &Server, count: usize) -> Vec<String> {
    wait::until("lines", || {
        let text = fs::read_to_string(server.place.join("requests")).ok()?;
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        (lines.len() >= count).then_some(lines)
    })
}

/// Sends the requests, and returns what is logged of them.
fn recorded(format: &str) -> Vec<String> {
    let server = start(format);
    for request in REQUESTS {
        let mut client = server.connect();
        client.send(request);
        if request.starts_with("HEAD") {
            client.response_to_head()
        } else {
            client.response()
        };
        drop(client);
    }
    let lines = lines(&server, REQUESTS.len());
    assert_eq!(lines.len(), REQUESTS.len(), "{lines:?}");
    lines
}

#[test]
fn each_variable_is_what_it_is_in_uwsgi() {
    let format = "log-format = %(uri)|%(method)|%(user)|%(addr)|%(host)|%(proto)|%(uagent)|%(referer)|\
                  %(status)|%(size)|%(rsize)|%(hsize)|%(cl)|%(wid)|%(switches)|%(vars)|%(core)|\
                  %(modifier1)|%(modifier2)|%(headers)|%(werr)|%(rerr)|%(ioerr)|\
                  %(var.HTTP_X_FORWARDED_FOR)|%(metric.x)|%(who)|%(n)|%(nothing)|%(unclosed";
    assert_eq!(
        recorded(format),
        [
            "/a?b=1&c=%22|GET|-|127.0.0.1|shop.test|HTTP/1.1|probe/1|http://r.test/|200|69|5|64|0|1|1|26|0|\
             0|0|2|0|0|0|-|0|-|-|-|%(unclosed",
            "/vars|GET|-|127.0.0.1|shop.test|HTTP/1.1|probe/2|-|200|69|5|64|0|1|1|24|0|\
             0|0|2|0|0|0|-|0|ann|7|-|%(unclosed",
            "/missing|POST|-|127.0.0.1|shop.test|HTTP/1.1|probe/1|-|404|76|5|71|3|1|1|30|0|\
             0|0|2|0|0|0|192.0.2.7, 10.0.0.1|0|-|-|-|%(unclosed",
            "/empty|HEAD|-|127.0.0.1|shop.test|HTTP/1.1|probe/1|-|200|64|0|64|0|1|1|24|0|\
             0|0|2|0|0|0|-|0|-|-|-|%(unclosed",
        ]
    );
}

#[test]
fn the_line_of_uwsgi_is_that_of_uwsgi_but_for_its_numbers() {
    // Digits of process, sizes, times and durations are one `N`; those that count stay.
    let normal = |line: &str| {
        let mut line = line.to_owned();
        for (before, after) in
            [("[pid: ", "|"), (" vars in ", " "), ("} [", "]"), (" bytes in ", " msecs")]
        {
            let (head, tail) = line.split_once(before).unwrap();
            let (_, tail) = tail.split_once(after).unwrap();
            line = format!("{head}{before}N{after}{tail}");
        }
        line
    };
    let said: Vec<_> = recorded("log-format = uwsgi").iter().map(|line| normal(line)).collect();
    assert_eq!(
        said,
        [
            "[pid: N|app: 0|req: 1/1] 127.0.0.1 () {26 vars in N bytes} [N] GET /a?b=1&c=%22 => generated 5 \
             bytes in N msecs (HTTP/1.1 200) 2 headers in 64 bytes (1 switches on core 0)",
            "[pid: N|app: 0|req: 2/2] 127.0.0.1 () {24 vars in N bytes} [N] GET /vars => generated 5 \
             bytes in N msecs (HTTP/1.1 200) 2 headers in 64 bytes (1 switches on core 0)",
            "[pid: N|app: 0|req: 3/3] 127.0.0.1 () {30 vars in N bytes} [N] POST /missing => generated 5 \
             bytes in N msecs (HTTP/1.1 404) 2 headers in 71 bytes (1 switches on core 0)",
            "[pid: N|app: 0|req: 4/4] 127.0.0.1 () {24 vars in N bytes} [N] HEAD /empty => generated 0 \
             bytes in N msecs (HTTP/1.1 200) 2 headers in 64 bytes (1 switches on core 0)",
        ]
    );
}

#[test]
fn times_have_the_forms_of_uwsgi() {
    let said = &recorded("log-format = %(ltime)|%(ftime)|%(ctime)|%(time)|%(tmsecs)|%(secs)")[0];
    let parts: Vec<_> = said.split('|').collect();
    assert_eq!(parts[0], parts[1]);
    assert_eq!((parts[0].len(), &parts[0][2..3], &parts[0][11..12]), (26, "/", ":"), "{said}");
    assert_eq!((parts[2].len(), &parts[2][3..4]), (24, " "), "{said}");
    assert!(parts[4].starts_with(parts[3]) && parts[4].len() == 13, "{said}");
    assert_eq!(parts[5].split('.').nth(1).map(str::len), Some(6), "{said}");
    let said = recorded("log-date=%%Y/%%m\nlog-format-strftime\nlog-format = %(ftime) %(uri)");
    assert!(said[1].starts_with("20") && said[1].ends_with(" /vars") && said[1].len() == 13);
}

#[test]
fn the_address_is_the_whole_field_of_proxies_where_that_is_asked_for() {
    let said = recorded("log-x-forwarded-for\nlog-format = %(addr) %(uri)");
    assert_eq!(said[2], "192.0.2.7, 10.0.0.1 /missing");
    assert_eq!(said[3], "127.0.0.1 /empty");
}

#[test]
fn encoders_make_what_they_make_in_uwsgi() {
    let json = r#"log-req-encoder = json {"msg":"${msg}","year":"${strftime:%Y}"}"#;
    let said =
        recorded(&format!("{json}\nlog-req-encoder = nl\nlog-format = \"%(uagent)\" %(uri)"));
    assert!(said[0].starts_with(r#"{"msg":"\"probe/1\" /a?b=1&c=%22","year":"20"#), "{said:?}");
    let said = recorded(
        "log-req-encoder = prefix [p]\nlog-req-encoder = format x ${msg} y\nlog-format = %(uri)",
    );
    assert_eq!(said[1], "x [p]/vars y");
}

#[test]
fn no_client_forges_a_line_or_breaks_an_object() {
    for format in ["json", r#"{"user_agent":"%(uagent)","uri":"%(uri)","status":%(status)}"#] {
        let server = start(&format!("log-format = {format}"));
        let mut client = server.connect();
        client.send("GET /%0a\" HTTP/1.1\r\nHost: a\r\nUser-Agent: \"}\\\t\u{e9}{\r\n\r\n");
        let status = client.response().status;
        let object: Value = serde_json::from_str(&lines(&server, 1)[0]).unwrap();
        assert_eq!(object["status"], status);
        if status == 200 {
            assert_eq!(object["uri"], "/%0a\"");
        }
    }
}

#[test]
fn only_what_is_asked_for_is_logged_with_logging_disabled() {
    let server = start("disable-logging\nlog-4xx\nlog-5xx\nlog-zero\nlog-format = %(uri)");
    for path in ["/a", "/missing", "/broken", "/empty", "/b", "/missing"] {
        server.get(path);
    }
    assert_eq!(lines(&server, 4), ["/missing", "/broken", "/empty", "/missing"]);
    let server = start("disable-logging\nlog-big=6\nlog-slow=60000\nlog-format = %(uri)");
    server.get("/a");
    assert!(server.place.read("requests").is_empty());
}

#[test]
fn each_sink_gets_requests_and_all_else_stays_where_it_was() {
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.set_read_timeout(Some(wait::DEADLINE)).unwrap();
    let port = udp.local_addr().unwrap().port();
    for (logger, begin, end) in [
        (format!("socket:127.0.0.1:{port}"), "GET /a 200".to_owned(), "\n"),
        (format!("rsyslog:127.0.0.1:{port},shop"), "<30>".to_owned(), "worker 1: GET /a 200"),
        (
            format!("syslog5424:udp://127.0.0.1:{port},shop,local1"),
            "<142>1 2".to_owned(),
            " worker=\"1\"] GET /a 200",
        ),
    ] {
        let lines =
            format!("processes=1\nreq-logger={logger}\nlog-format=%(method) %(uri) %(status)\n");
        let server = Setup::new(&lines).app(APP).start();
        server.get("/a").expect(200);
        let mut bytes = [0; 4096];
        let length = udp.recv(&mut bytes).unwrap();
        let text = String::from_utf8_lossy(&bytes[..length]);
        assert!(text.starts_with(&begin) && text.ends_with(end), "{logger}: {text}");
        assert!(!server.log().contains("/a"));
    }
}

#[test]
fn a_unix_socket_gets_a_datagram_for_each_line() {
    let setup = Setup::new("processes=1\nreq-logger=socket:%dlines\nlog-format=%(uri)\n").app(APP);
    let socket = UnixDatagram::bind(setup.place.join("lines")).unwrap();
    socket.set_read_timeout(Some(wait::DEADLINE)).unwrap();
    let server = setup.start();
    server.get("/a").expect(200);
    let mut bytes = [0; 99];
    assert_eq!(socket.recv(&mut bytes).unwrap(), 3);
    assert_eq!(&bytes[..3], b"/a\n");
}

#[test]
fn a_route_takes_its_lines_from_the_others() {
    let setup = Setup::new(
        "processes=1\nreq-logger=file:%drest\nreq-logger=api file:%dapi\n\
         log-req-route=api ^/api\nlog-format=%(uri)\n",
    );
    let server = setup.app(APP).start();
    for path in ["/a", "/api/1", "/b"] {
        server.get(path).expect(200);
    }
    let read = |name: &str| fs::read_to_string(server.place.join(name)).unwrap_or_default();
    wait::until("lines", || {
        (read("rest") == "/a\n/b\n" && read("api") == "/api/1\n").then_some(())
    });
}

#[test]
fn a_logger_has_its_encoders_and_what_is_drained_is_nowhere() {
    let setup = Setup::new(
        "processes=1\nlogger=stdio\nlog-socket=%dlines\nlogger=api file:%dapi\nlog-route=api ^/api\n\
         log-encoder=json:api {\"m\":\"${msg}\"}\nlog-drain=^/health\nlog-format=%(uri)\n",
    );
    let socket = UnixDatagram::bind(setup.place.join("lines")).unwrap();
    socket.set_read_timeout(Some(wait::DEADLINE)).unwrap();
    let server = setup.app(APP).start();
    for path in ["/health", "/api/1", "/b"] {
        server.get(path).expect(200);
    }
    wait::until("a line", || (server.place.read("api") == "{\"m\":\"/api/1\"}\n").then_some(()));
    let (mut said, mut bytes) = (String::new(), [0; 4096]);
    while !said.ends_with("/b\n") {
        let length = socket.recv(&mut bytes).unwrap();
        said.push_str(&String::from_utf8_lossy(&bytes[..length]));
    }
    wait::until("a line", || server.log().contains("/b\n").then_some(()));
    for said in [said, server.log()] {
        assert!(!said.contains("/health") && !said.contains("/api/1"), "{said}");
        assert!(said.contains(" has imported the application"), "{said}");
    }
}

#[test]
fn only_what_a_filter_takes_is_in_the_log() {
    let ini = "[rwsgi]\nhttp=app.sock\nchdir=%d\nwsgi-file=app.py\nlogto=%dlog\nlog-format=%(uri)\n\
               log-filter=^/a\nlog-filter=^/b\n";
    let mut server = Setup::classic(ini).app(APP).start();
    let mut client = server.connect_locally();
    for path in ["/a", "/c", "/b"] {
        client.get(path).expect(200);
    }
    assert!(server.stop().success());
    assert_eq!(server.place.read("log"), "/a\n/b\n");
}

#[test]
fn rotation_by_size_loses_no_line_of_any_worker() {
    let setup = Setup::new(
        "processes=3\nreq-logger=file:%drequests\nlog-maxsize=2k\nlog-format=%(uri) %(wid)\n",
    );
    let mut server = setup.app(APP).start();
    let count = 600;
    for number in 0..count {
        server.get(&format!("/{number}/{}", "x".repeat(40))).expect(200);
    }
    assert!(server.stop().success());
    let mut seen = Vec::new();
    let mut files = 0;
    for entry in fs::read_dir(server.place.path()).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name().to_string_lossy().starts_with("requests") {
            files += 1;
            seen.extend(
                fs::read_to_string(entry.path())
                    .unwrap()
                    .lines()
                    .map(|line| line.split('/').nth(1).unwrap().parse::<usize>().unwrap()),
            );
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..count).collect::<Vec<_>>());
    assert!(files > 3, "{files}");
}

#[test]
fn a_touch_rotates_and_a_signal_opens_anew() {
    let setup = Setup::new(
        "processes=2\nreq-logger=file:%drequests\nlog-format=%(uri)\nlog-backupname=%dold\n\
         touch-logrotate=%drotate\n",
    );
    setup.place.write("rotate", "");
    let server = setup.app(APP).start();
    let read = |name: &str| fs::read_to_string(server.place.join(name)).unwrap_or_default();
    server.get("/a").expect(200);
    wait::until("a line", || (read("requests") == "/a\n").then_some(()));
    server.place.write("rotate", "again");
    wait::until("the backup", || (read("old") == "/a\n").then_some(()));
    wait::until("a line in the new file", || {
        server.get("/b").expect(200);
        read("requests").contains("/b").then_some(())
    });
    fs::rename(server.place.join("requests"), server.place.join("moved")).unwrap();
    server.signal(Signal::SIGUSR1);
    wait::until("a line in the newest file", || {
        server.get("/c").expect(200);
        read("requests").contains("/c").then_some(())
    });
}

#[test]
fn a_sink_that_takes_nothing_stops_no_request_and_costs_no_error() {
    let setup = Setup::classic(
        "[rwsgi]\nhttp = app.sock\nchdir = %d\nwsgi-file = app.py\nreq-logger=file:%dpipe\nlogto=%dlog\n",
    );
    let pipe = setup.place.join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut reader = fs::File::options().read(true).write(true).open(&pipe).unwrap();
    let app = format!(
        "{APP}\ninner = application\ndef application(environ, start_response):\n    \
                       if environ['PATH_INFO'] == '/raise':\n        raise KeyError('seen')\n    \
                       return inner(environ, start_response)\n"
    );
    let mut server = setup.app(&app).start();
    let mut client = server.connect_locally();
    for _ in 0..3000 {
        client.get(&format!("/{}", "x".repeat(100))).expect(200);
    }
    client.get("/raise").expect(500);
    wait::until("the error", || {
        server.place.read("log").contains("KeyError: 'seen'").then_some(())
    });
    assert!(reader.read(&mut [0; 99]).unwrap() > 0);
    assert!(server.stop().success());
}

#[test]
fn more_than_the_rate_is_counted_and_told() {
    let mut server = start("log-rate=10\nlog-format=%(uri)");
    let mut client = server.connect();
    let began = Instant::now();
    (0..300).for_each(|_| drop(client.get("/a").expect(200)));
    let most = 38 + 10 * (began.elapsed().as_secs() + 1);
    assert!(server.stop().success());
    let logged = server.place.read("requests").lines().count() as u64;
    assert!((37..=most).contains(&logged), "{logged}, not {most}");
    server.wait_for_log(" served and not logged: there are more than `log-rate` allows", 1);
}

#[test]
fn what_no_logger_is_says_what_to_write() {
    let refuses = |line: &str, texts: &[&str]| {
        Setup::new(line).app(APP).run().refuses(78, texts);
    };
    refuses(
        "logger = redislog:127.0.0.1:6379",
        &["a logger that rwsgi does not have", "syslog5424:udp"],
    );
    refuses("req-logger = file:", &["names no file", "file:/var/log"]);
    refuses("log-syslog = shop,loud", &["names no facility", "log-syslog"]);
    refuses("log-socket = somewhere", &["has no destination"]);
    refuses("log-encoder = nl:errors", &["no `logger` with the name `errors`"]);
    refuses("log-route = errors ^x", &["no `logger` with the name `errors`"]);
    refuses("log-req-encoder = yaml x", &["an encoder that rwsgi does not have"]);
    refuses("log-req-encoder = gzip", &["does not make lines", "logrotate"]);
    refuses("log-date = %&", &["no format of a time"]);
    refuses("log-slow = soon", &["log-slow"]);
}

#[test]
fn a_request_is_one_entry_of_the_journal_with_its_fields() {
    let lines = "processes=1\nlogging=journal\nlog-format=%(method) %(uri) %(who)\n";
    let setup = Setup::classic(&format!(
        "[rwsgi]\nhttp = app.sock\nchdir = %d\nwsgi-file = app.py\n{lines}"
    ));
    let Some((setup, journal)) = Journal::of(setup.app(APP)) else { return };
    let server = setup.start();
    let mut client = server.connect_locally();
    client.get("/vars?a=1").expect(200);
    client.get("/broken").expect(500);
    let entry = journal.wait_for("REQUEST_PATH", "/vars");
    assert_eq!(entry.get("MESSAGE"), "GET /vars?a=1 ann");
    assert_eq!((entry.get("RWSGI_EVENT"), entry.get("PRIORITY")), ("access", "6"));
    assert_eq!((entry.get("HTTP_STATUS"), entry.get("RESPONSE_BYTES")), ("200", "5"));
    assert_eq!((entry.get("REQUEST_METHOD"), entry.get("RWSGI_WORKER")), ("GET", "1"));
    assert_eq!(entry.get("REQUEST_ID").len(), 32);
    assert_eq!(journal.wait_for("REQUEST_PATH", "/broken").get("PRIORITY"), "4");
}
