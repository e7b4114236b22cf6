//! Files without the application, and files that the application names or wraps.

use std::os::unix::fs::symlink;
use std::time::Duration;

use crate::support::client::{Client, Response};
use crate::support::server::Server;
use crate::support::setup::Setup;
use crate::support::wait;

/// Wraps, names, or says that it was called.
const APP: &str = r#"
import gzip
import io
import os


def application(environ, start_response):
    path, query = environ['PATH_INFO'], environ['QUERY_STRING']
    say = lambda text: (environ['wsgi.errors'].write(text + '\n'), environ['wsgi.errors'].flush())
    if path == '/wrap':
        kind, _, name = query.partition(':')
        headers = [('Content-Type', 'text/plain')]
        file = open(name, 'rb')
        if kind == 'seek':
            file.seek(3)
        elif kind == 'read':
            file.read(5)
        elif kind == 'raw':
            file = open(name, 'rb', buffering=0)
        elif kind == 'short':
            headers.append(('Content-Length', '4'))
        elif kind == 'long':
            headers.append(('Content-Length', '4000'))
        elif kind == 'gzip':
            file = gzip.GzipFile(fileobj=file)
        elif kind == 'pipe':
            reading, writing = os.pipe()
            os.write(writing, file.read())
            os.close(writing)
            file = os.fdopen(reading, 'rb')
        elif kind == 'memory':
            file = io.BytesIO(file.read())
        elif kind == 'truncate':
            start_response('200 OK', headers)
            wrapped = environ['wsgi.file_wrapper'](file)
            os.truncate(name, 1000)
            return wrapped
        elif kind == 'closing':
            class Closing(io.BufferedReader):
                def close(self):
                    say('closed')
                    super().close()
            file = Closing(io.FileIO(name))
        start_response('200 OK', headers)
        return environ['wsgi.file_wrapper'](file, 4096)
    if path == '/wrap_after_write':
        start_response('200 OK', [])(b'first,')
        return environ['wsgi.file_wrapper'](open(query, 'rb'))
    if path in ('/x-sendfile', '/x-accel-redirect'):
        start_response('200 OK', [(path[1:], query), ('Content-Type', 'text/x-own'), ('X-Kept', 'yes')])
        return [b'the application']
    start_response('404 Not Found', [('Content-Type', 'text/plain')])
    return [environ['REQUEST_METHOD'].encode() + b' missed ' + path.encode('latin-1')]
"#;

/// A site with files, and `lines` in its configuration.
fn site(lines: &str) -> Server {
    let setup = Setup::new(lines).app(APP);
    for directory in ["files/css", "files/empty", "files/book", "secret", "shared"] {
        std::fs::create_dir_all(setup.place.join(directory)).unwrap();
    }
    for (name, text) in [
        ("files/a.txt", "0123456789"),
        ("files/css/site.css", "body { color: red }"),
        ("files/css/site.css.gz", "gzipped"),
        ("files/css/site.css.br", "brotlied"),
        ("files/book/index.html", "<h1>book</h1>"),
        ("files/.hidden", "hidden"),
        ("secret/key.txt", "secret"),
        ("shared/logo.svg", "<svg/>"),
    ] {
        setup.place.write(name, text);
    }
    setup.place.write("files/large.bin", &large());
    symlink(setup.place.join("secret/key.txt"), setup.place.join("files/link.txt")).unwrap();
    symlink(setup.place.join("shared"), setup.place.join("files/shared")).unwrap();
    setup.start()
}

/// Three megabytes in which every place is different.
fn large() -> String {
    (0..400_000).map(|number| format!("{number:07}\n")).collect()
}

fn ask(server: &Server, line: &str, fields: &str) -> Response {
    let mut client = server.connect();
    client.send(format!("{line} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{fields}\r\n"));
    if line.starts_with("HEAD ") { client.response_to_head() } else { client.response() }
}

#[test]
fn a_file_is_sent_with_all_that_a_cache_needs() {
    let server = site("static-map=/static=files");
    let response = ask(&server, "GET /static/a.txt?v=1", "").expect(200);
    assert_eq!(response.text(), "0123456789");
    assert_eq!(response.field("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(response.field("content-length"), Some("10"));
    assert_eq!(response.field("accept-ranges"), Some("bytes"));
    assert_eq!(response.field("server"), Some("rwsgi"));
    let tag = response.field("etag").unwrap().to_owned();
    let head = ask(&server, "HEAD /static/a.txt", "").expect(200);
    assert_eq!(head.field("content-length"), Some("10"));
    assert_eq!(head.field("etag"), Some(tag.as_str()));
    let known = ask(&server, "GET /static/a.txt", &format!("If-None-Match: {tag}\r\n")).expect(304);
    assert_eq!(known.field("etag"), Some(tag.as_str()));
    ask(&server, "GET /static/a.txt", "If-None-Match: \"other\"\r\n").expect(200);
    ask(&server, "GET /static/a.txt", "If-Match: \"other\"\r\n").expect(412);
}

#[test]
fn a_modified_date_is_enough_for_a_cache() {
    let server = site("static-map=/static=files");
    let file = std::fs::File::open(server.place.join("files/a.txt")).unwrap();
    let time = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    file.set_modified(time).unwrap();
    let response = ask(&server, "GET /static/a.txt", "").expect(200);
    assert_eq!(response.field("last-modified"), Some("Sun, 09 Sep 2001 01:46:40 GMT"));
    let since = |date: &str| {
        ask(&server, "GET /static/a.txt", &format!("If-Modified-Since: {date}\r\n")).status
    };
    assert_eq!(since("Sun, 09 Sep 2001 01:46:40 GMT"), 304);
    assert_eq!(since("Sun, 09 Sep 2001 01:46:39 GMT"), 200);
    assert_eq!(since("not a date"), 200);
}

#[test]
fn parts_of_a_file_are_those_that_were_asked_for() {
    let server = site("static-map=/static=files");
    let part = |range: &str| ask(&server, "GET /static/a.txt", &format!("Range: {range}\r\n"));
    for (range, text, place) in [
        ("bytes=0-3", "0123", "bytes 0-3/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-2", "89", "bytes 8-9/10"),
        ("bytes=5-99", "56789", "bytes 5-9/10"),
    ] {
        let response = part(range).expect(206);
        assert_eq!(response.text(), text, "{range}");
        assert_eq!(response.field("content-range"), Some(place));
    }
    assert_eq!(part("bytes=10-").expect(416).field("content-range"), Some("bytes */10"));
    assert_eq!(part("lines=1-2").expect(200).text(), "0123456789");
    assert_eq!(part("bytes=3-1").expect(200).text(), "0123456789");
    let head = ask(&server, "HEAD /static/a.txt", "Range: bytes=0-3\r\n");
    assert!(head.status == 200 || head.status == 206);
}

#[test]
fn several_parts_of_a_large_file_come_as_one_response() {
    let server = site("static-map=/static=files");
    let whole = large();
    let range = "Range: bytes=0-9,1000000-1999999,-10\r\n";
    let response = ask(&server, "GET /static/large.bin", range).expect(206);
    let kind = response.field("content-type").unwrap().to_owned();
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").unwrap();
    let text = response.text();
    let parts: Vec<_> = text.split(&format!("--{boundary}")).collect();
    assert_eq!((parts[0].trim(), parts.len(), parts[4].trim()), ("", 5, "--"));
    for (part, (start, end)) in
        parts[1..4].iter().zip([(0, 10), (1_000_000, 2_000_000), (whole.len() - 10, whole.len())])
    {
        let (head, body) = part.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("bytes {start}-{}/{}", end - 1, whole.len())), "{head}");
        assert!(body.strip_suffix("\r\n").unwrap() == &whole[start..end]);
    }
}

#[test]
fn a_large_file_is_whole_and_the_connection_goes_on() {
    let server = site("static-map=/static=files");
    let mut client = server.connect();
    let get = "GET /static/large.bin HTTP/1.1\r\nHost: test\r\n\r\n";
    client.send([get, get, "GET /static/a.txt HTTP/1.1\r\nHost: test\r\n\r\n"].concat());
    for _ in 0..2 {
        assert!(client.response().expect(200).text() == large());
    }
    assert_eq!(client.response().expect(200).text(), "0123456789");
}

#[test]
fn a_reader_that_dawdles_gets_the_right_bytes() {
    let server = site("static-map=/static=files");
    let mut client = server.connect();
    client.send("GET /static/large.bin HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    assert!(!client.is_silent_for(wait::DEADLINE));
    let others: Vec<_> = (0..3).map(|_| ask(&server, "GET /static/a.txt", "")).collect();
    assert!(others.iter().all(|response| response.status == 200));
    assert!(client.response().expect(200).text() == large());
}

#[test]
fn what_is_not_there_is_the_applications() {
    let server = site("static-map=/static=files");
    for path in ["/static/none.txt", "/static/", "/static/empty", "/staticx/a.txt", "/a.txt"] {
        let response = ask(&server, &format!("GET {path}"), "").expect(404);
        assert_eq!(response.text(), format!("GET missed {path}"));
    }
    let post = ask(&server, "POST /static/a.txt", "Content-Length: 0\r\n").expect(404);
    assert_eq!(post.text(), "POST missed /static/a.txt");
}

#[test]
fn no_path_leaves_its_directory() {
    let server = site("static-map=/static=files\ncheck-static=files");
    for path in [
        "/static/../secret/key.txt",
        "/static/%2e%2e/secret/key.txt",
        "/static/..%2fsecret/key.txt",
        "/static/%2e%2e%2fsecret%2fkey.txt",
        "/static//../secret/key.txt",
        "/static/css/../../secret/key.txt",
        "/static/.%2e/secret/key.txt",
        "/static/a.txt%00.css",
        "/static/link.txt",
        "/link.txt",
        "/../secret/key.txt",
        "/%2e%2e/secret/key.txt",
        "//secret/key.txt",
        "/shared/logo.svg",
    ] {
        let response = ask(&server, &format!("GET {path}"), "");
        assert_eq!(response.status, 404, "{path}");
        assert!(response.text().starts_with("GET missed "), "{path}: {}", response.text());
    }
    server.wait_for_log("link.txt", 1);
}

#[test]
fn links_may_lead_where_it_is_said_to_be_safe() {
    let server = site("static-map=/static=files\nstatic-safe=shared");
    assert_eq!(ask(&server, "GET /static/shared/logo.svg", "").expect(200).text(), "<svg/>");
    ask(&server, "GET /static/link.txt", "").expect(404);
}

#[test]
fn check_static_index_and_skip_do_as_in_uwsgi() {
    let server = site("check-static=files\nstatic-index=index.html\nstatic-skip-ext=.txt");
    assert_eq!(ask(&server, "GET /book/", "").expect(200).text(), "<h1>book</h1>");
    assert_eq!(ask(&server, "GET /css/site.css", "").expect(200).text(), "body { color: red }");
    ask(&server, "GET /a.txt", "").expect(404);
    ask(&server, "GET /empty/", "").expect(404);
    let server = site("static-map2=/files=.");
    assert_eq!(ask(&server, "GET /files/a.txt", "").expect(200).text(), "0123456789");
}

#[test]
fn compressed_siblings_go_to_those_who_take_them() {
    let server = site("static-map=/static=files\nstatic-gzip-all=true");
    let css = |accept: &str| {
        let fields = format!("Accept-Encoding: {accept}\r\n");
        ask(&server, "GET /static/css/site.css", &fields).expect(200)
    };
    for (accept, text, coding) in [
        ("gzip", "gzipped", Some("gzip")),
        ("gzip, br", "brotlied", Some("br")),
        ("gzip;q=1, br;q=0", "gzipped", Some("gzip")),
        ("identity", "body { color: red }", None),
        ("deflate", "body { color: red }", None),
    ] {
        let response = css(accept);
        assert_eq!((response.text().as_str(), response.field("content-encoding")), (text, coding));
        assert_eq!(response.field("content-type"), Some("text/css; charset=utf-8"));
        assert!(response.field("vary").is_some_and(|vary| vary.contains("Accept-Encoding")));
    }
    let tags: Vec<_> = ["gzip", "br", "identity"]
        .iter()
        .map(|a| css(a).field("etag").unwrap().to_owned())
        .collect();
    assert!(tags[0] != tags[1] && tags[1] != tags[2] && tags[0] != tags[2]);
}

#[test]
fn clients_are_told_how_long_to_keep_a_file() {
    let server = site("static-map=/static=files\nstatic-expires=\\.css$ 3600");
    let css = ask(&server, "GET /static/css/site.css", "").expect(200);
    assert_eq!(css.field("cache-control"), Some("max-age=3600"));
    assert!(css.field("expires").is_some());
    assert_eq!(ask(&server, "GET /static/a.txt", "").expect(200).field("cache-control"), None);
}

#[test]
fn a_file_that_nobody_reads_stops_nobody() {
    let server = site("static-map=/static=files\nx-sendfile=files\nhttp-timeout=3");
    let huge = server.place.join("files/huge.bin");
    std::fs::File::create(&huge).unwrap().set_len(64 << 20).unwrap();
    let paths = [
        "/static/huge.bin".to_owned(),
        "/wrap?plain:files/huge.bin".to_owned(),
        format!("/x-sendfile?{}", huge.display()),
    ];
    let mut silent: Vec<_> = paths
        .iter()
        .map(|path| {
            let mut client = server.connect();
            client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
            assert_eq!(ask(&server, "GET /static/a.txt", "").expect(200).text(), "0123456789");
            ask(&server, "GET /other", "").expect(404);
            client
        })
        .collect();
    server.wait_for_log("(aborted)", 3);
    assert!(!silent.iter_mut().any(|client| client.response().complete));
}

#[test]
fn files_need_no_python_thread() {
    let server = site("static-map=/static=files");
    let other = Setup::new("static-map=/static=.").start();
    let mut busy = other.connect();
    busy.send("GET /gate?g HTTP/1.1\r\nHost: test\r\n\r\n");
    other.place.wait_for_gate("g");
    assert!(ask(&other, "GET /static/app.ini", "").expect(200).text().contains("static-map"));
    other.place.open_gate("g");
    busy.response().expect(200);
    drop(server);
}

fn wrapped(server: &Server, kind: &str, name: &str) -> Response {
    ask(server, &format!("GET /wrap?{kind}:{name}"), "")
}

#[test]
fn a_wrapped_file_is_sent_from_where_it_is_read() {
    let server = site("");
    for (kind, text) in [
        ("plain", "0123456789"),
        ("seek", "3456789"),
        ("read", "56789"),
        ("raw", "0123456789"),
        ("short", "0123"),
        ("memory", "0123456789"),
    ] {
        let response = wrapped(&server, kind, "files/a.txt").expect(200);
        assert_eq!(response.text(), text, "{kind}");
    }
    let response = wrapped(&server, "plain", "files/large.bin").expect(200);
    assert_eq!(response.field("content-length"), Some("3200000"));
    assert!(response.text() == large());
    assert!(wrapped(&server, "seek", "files/large.bin").expect(200).text() == large()[3..]);
    let head = ask(&server, "HEAD /wrap?plain:files/large.bin", "").expect(200);
    assert_eq!(head.field("content-length"), Some("3200000"));
    let mixed = ask(&server, "GET /wrap_after_write?files/a.txt", "").expect(200);
    assert_eq!(mixed.text(), "first,0123456789");
}

#[test]
fn a_wrapped_object_whose_bytes_are_not_the_files_is_read() {
    let server = site("");
    let python = crate::support::setup::python();
    let script = "import gzip; gzip.open('files/z.gz', 'wb').write(b'z' * 100000)";
    let status = std::process::Command::new(python)
        .args(["-c", script])
        .current_dir(server.place.path())
        .status();
    assert!(status.unwrap().success());
    assert_eq!(wrapped(&server, "gzip", "files/z.gz").expect(200).text(), "z".repeat(100_000));
}

#[test]
fn a_wrapped_pipe_or_a_file_that_does_not_know_its_size_is_read() {
    let server = site("");
    assert_eq!(wrapped(&server, "pipe", "files/a.txt").expect(200).text(), "0123456789");
    let status = wrapped(&server, "plain", "/proc/self/status").expect(200);
    assert!(status.complete && status.text().contains("\nPid:"), "{status:?}");
    assert_eq!(wrapped(&server, "plain", "/dev/null").expect(200).text(), "");
}

#[test]
fn a_file_that_becomes_shorter_while_it_is_sent_is_told() {
    let server = site("http=app.sock\nstatic-map=/static=files");
    let path = server.place.join("files/huge.bin");
    // More than the kernel holds for a client that does not read.
    for (mut client, length) in
        [(server.connect(), 64 << 20), (server.connect_locally(), 900 << 10)]
    {
        std::fs::File::create(&path).unwrap().set_len(length).unwrap();
        client.send("GET /static/huge.bin HTTP/1.1\r\nHost: test\r\n\r\n");
        client.take_up_to("\r\n\r\n");
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(10).unwrap();
        assert!((client.rest().len() as u64) < length);
    }
    server.wait_for_log("huge.bin` has become shorter while it was sent", 2);
    ask(&server, "GET /static/a.txt", "").expect(200);
}

#[test]
fn a_small_file_that_ends_before_its_size_breaks_off_and_is_not_logged_as_sent() {
    // Its size is that of a page, and its content is shorter.
    let lines = "static-map=/cpu=/sys/devices/system/cpu\nlog-format=told %(proto) %(werr)";
    let server = site(lines);
    for version in ["HTTP/1.1", "HTTP/1.0"] {
        let mut client = server.connect();
        client.send(format!("GET /cpu/online {version}\r\nHost: test\r\n\r\n"));
        assert!(!client.try_response(true).is_ok_and(|response| response.complete), "{version}");
        server.wait_for_log(&format!("told {version} 1"), 1);
    }
    server.wait_for_log("cpu/online` has become shorter while it was sent", 2);
    ask(&server, "GET /other", "").expect(404);
}

#[test]
fn a_wrapped_file_is_closed_and_holds_no_thread() {
    let server = site("");
    assert_eq!(wrapped(&server, "closing", "files/a.txt").expect(200).text(), "0123456789");
    server.wait_for_log("closed", 1);
    let mut slow = server.connect();
    slow.send("GET /wrap?plain:files/large.bin HTTP/1.1\r\nHost: test\r\n\r\n");
    for _ in 0..3 {
        ask(&server, "GET /other", "").expect(404);
    }
    assert!(slow.response().expect(200).text() == large());
    let worker = server.workers()[0];
    wait::until("the file is closed", || {
        let open = std::fs::read_dir(format!("/proc/{worker}/fd")).unwrap().flatten();
        let mut names = open.filter_map(|entry| std::fs::read_link(entry.path()).ok());
        (!names.any(|name| name.ends_with("large.bin"))).then_some(())
    });
}

#[test]
fn a_wrapped_file_that_is_too_short_never_looks_complete() {
    let server = site("");
    let incomplete = |mut client: Client| !client.try_response(true).is_ok_and(|r| r.complete);
    let mut client = server.connect();
    client.send("GET /wrap?long:files/a.txt HTTP/1.1\r\nHost: test\r\n\r\n");
    assert!(incomplete(client));
    server.wait_for_log("shorter", 1);
    let mut client = server.connect();
    client.send("GET /wrap?truncate:files/large.bin HTTP/1.1\r\nHost: test\r\n\r\n");
    let complete = client.try_response(true).is_ok_and(|response| {
        response.complete && response.body.len() as u64 != 1000 && response.body.len() != 3_200_000
    });
    assert!(!complete);
    ask(&server, "GET /other", "").expect(404);
}

#[test]
fn an_application_names_a_file_and_rwsgi_sends_it() {
    let server = site("x-sendfile=files\nx-accel-redirect=/protected=files");
    let path = |name: &str| server.place.join(name).display().to_string();
    let by_path = ask(&server, &format!("GET /x-sendfile?{}", path("files/a.txt")), "").expect(200);
    assert_eq!(by_path.text(), "0123456789");
    assert_eq!(by_path.field("x-sendfile"), None);
    assert_eq!(by_path.field("content-type"), Some("text/x-own"));
    assert_eq!(by_path.field("x-kept"), Some("yes"));
    let part = "Range: bytes=1-2\r\n";
    let part = ask(&server, "GET /x-accel-redirect?/protected/a.txt", part).expect(206);
    assert_eq!((part.text().as_str(), part.field("x-accel-redirect")), ("12", None));
    let large_file = format!("GET /x-sendfile?{}", path("files/large.bin"));
    assert!(ask(&server, &large_file, "").expect(200).text() == large());
    for (target, status) in [
        (format!("/x-sendfile?{}", path("secret/key.txt")), 500),
        (format!("/x-sendfile?{}", path("files/../secret/key.txt")), 500),
        (format!("/x-sendfile?{}", path("files/link.txt")), 500),
        (format!("/x-sendfile?{}", path("files/none")), 404),
        ("/x-sendfile?/etc/passwd".to_owned(), 500),
        ("/x-accel-redirect?/protected/../secret/key.txt".to_owned(), 500),
        ("/x-accel-redirect?/other/a.txt".to_owned(), 500),
    ] {
        let response = ask(&server, &format!("GET {target}"), "");
        assert!(!response.text().contains("secret") && response.field("x-sendfile").is_none());
        assert!(response.status == status, "{target}: {response:?}");
    }
}

#[test]
fn without_the_option_the_field_is_for_the_web_server_in_front() {
    let server = site("");
    let response = ask(&server, "GET /x-accel-redirect?/protected/a.txt", "").expect(200);
    assert_eq!(response.field("x-accel-redirect"), Some("/protected/a.txt"));
    assert_eq!(response.text(), "the application");
}
