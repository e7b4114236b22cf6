//! Static files as a client meets them.

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{Method, StatusCode};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use rwsgi_core::config;
use rwsgi_core::config::files::{Compressed, Expiry, Map, Subject};

use crate::tree::{MODIFIED, Received, Tree, ask, find, get, get_with, misses, modify};
use crate::{FileError, Files, Found};

const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

#[test]
fn a_file_is_sent_with_all_that_a_client_needs() {
    let tree = Tree::new();
    let found = get(&tree.files(), "/static/a.css");
    assert_eq!((found.status(), &*found.body), (StatusCode::OK, "body { color: red }"));
    let fields = [
        ("content-type", "text/css; charset=utf-8"),
        ("content-length", "19"),
        ("last-modified", DATE),
        ("accept-ranges", "bytes"),
        ("vary", ""),
        ("cache-control", ""),
        ("content-encoding", ""),
    ];
    for (name, value) in fields {
        assert_eq!(found.field(name), value, "{name}");
    }
    let etag = found.field("etag");
    assert!(etag.starts_with("\"2ebc98a1.1dcd6500-13-") && etag.ends_with('"'), "{etag}");
}

#[test]
fn head_is_get_without_the_body() {
    let tree = Tree::new();
    let files = tree.files();
    let (head, get) =
        (ask(&files, &Method::HEAD, "/static/a.css", &[]), get(&files, "/static/a.css"));
    assert_eq!(head.head.headers(), get.head.headers());
    assert_eq!((head.status(), &*head.body), (StatusCode::OK, ""));
    let ranged = ask(&files, &Method::HEAD, "/static/a.css", &[("range", "bytes=0-1")]);
    assert_eq!((ranged.status(), ranged.field("content-length")), (StatusCode::OK, "19"));
}

#[test]
fn what_is_not_there_is_left_to_the_application() {
    let tree = Tree::new();
    let files = tree.files();
    let long = format!("/static/{}", "x".repeat(5000));
    for path in [
        "/",
        "/static",
        "/static/",
        "/static/none",
        "/static/docs",
        "/static/docs/",
        "/static/a.css/",
        "/static/a.css/x",
        "/statica.css",
        "/api/a.css",
        "/a.css",
        "*",
        "",
        "/static/a.css\0",
        &long,
    ] {
        assert!(misses(&files, path), "{path}");
    }
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let found = files.answer(&method, b"/static/a.css", b"/static/a.css", &Default::default);
        assert!(matches!(found, Found::Miss), "{method}");
    }
}

#[test]
fn without_configuration_there_is_nothing() {
    let files = Files::new(&config::Files::default());
    assert!(files.is_empty() && misses(&files, "/"));
    assert!(!Tree::new().files().is_empty());
}

#[test]
fn the_first_place_that_has_a_file_counts() {
    let tree = Tree::new();
    tree.write("other/a.css", "other");
    tree.write("other/static/c.css", "kept");
    let kept = Map { keeps_prefix: true, ..tree.map("/static", "other") };
    let config = config::Files {
        checked: vec![tree.path("public/docs"), tree.path("other")],
        maps: vec![
            tree.map("/static", "public"),
            tree.map("/static", "other"),
            tree.map("/icon", "public/a.css"),
            kept,
        ],
        ..Default::default()
    };
    let files = Files::new(&config);
    assert_eq!(get(&files, "/static/a.css").body, "body { color: red }");
    assert_eq!(get(&files, "/a.css").body, "other");
    assert_eq!(get(&files, "/static/c.css").body, "kept");
    assert_eq!(get(&files, "/deep/b.txt").body, "0123456789");
    assert_eq!(get(&files, "/icon").body, "body { color: red }");
    assert!(misses(&files, "/icon/") && misses(&files, "/icon/x"));
}

#[test]
fn a_directory_has_an_index_and_its_path_a_slash() {
    let tree = Tree::new();
    let config = config::Files { index: vec!["no".into(), "index.html".into()], ..tree.config() };
    let files = Files::new(&config);
    let found = get(&files, "/static/docs/");
    assert_eq!((&*found.body, found.field("content-type")), ("index", "text/html; charset=utf-8"));
    assert!(misses(&files, "/static/") && misses(&files, "/static/docs/deep"));
    let moved = get(&files, "/static/docs?a=/b?c");
    assert_eq!(moved.status(), StatusCode::MOVED_PERMANENTLY);
    assert_eq!(moved.field("location"), "./docs/?a=/b?c");
    assert_eq!((moved.field("content-length"), &*moved.body), ("0", ""));
    // Without a target nobody knows how the path was written.
    let found = files.answer(&Method::GET, b"/static/docs", b"", &Default::default);
    assert!(matches!(found, Found::Miss));
}

#[test]
fn some_paths_are_always_the_applications() {
    let tree = Tree::new();
    tree.write("public/settings.py", "SECRET");
    tree.write("public/docs/index.py", "SECRET");
    let config = config::Files {
        skipped: vec![".py".into()],
        index: vec!["index.py".into(), "index.html".into()],
        ..tree.config()
    };
    let files = Files::new(&config);
    assert!(misses(&files, "/static/settings.py") && misses(&files, "/static//settings.py"));
    assert_eq!(get(&files, "/static/docs/").body, "index");
}

#[test]
fn links_are_followed_within_the_root_only() {
    let tree = Tree::new();
    tree.link("public/absolute", tree.path("public/a.css"));
    tree.link("public/relative", "docs/deep/b.txt");
    tree.link("public/out", "../secret/key");
    tree.link("public/there", tree.path("secret"));
    tree.link("public/circle", "circle");
    tree.link("public/dead", "none");
    let files = tree.files();
    assert_eq!(get(&files, "/static/absolute").body, "body { color: red }");
    assert_eq!(get(&files, "/static/relative").body, "0123456789");
    assert!(misses(&files, "/static/circle") && misses(&files, "/static/dead"));
    for path in ["/static/out", "/static/there/key"] {
        let Found::Refused(FileError::Outside { location, .. }) = find(&files, path) else {
            panic!("{path}");
        };
        assert_eq!(location, tree.path("secret/key"));
    }
    let safe = config::Files { safe: vec![tree.path("secret")], ..tree.config() };
    assert_eq!(get(&Files::new(&safe), "/static/out").body, "secret");
}

#[test]
fn a_sibling_directory_whose_name_begins_the_same_is_outside() {
    let tree = Tree::new();
    tree.write("public-not/key", "secret");
    tree.link("public/out", "../public-not/key");
    assert!(matches!(find(&tree.files(), "/static/out"), Found::Refused(_)));
}

#[test]
fn dots_do_not_lead_out() {
    let tree = Tree::new();
    let files = tree.files();
    for path in ["/static/../secret/key", "/static/./a.css", "/static/docs/../a.css", "/static/.."]
    {
        assert!(misses(&files, path), "{path}");
    }
}

#[test]
fn what_is_no_regular_file_is_nothing_and_does_not_block() {
    let tree = Tree::new();
    let fifo = tree.path("public/fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(tree.path("public/socket")).unwrap();
    tree.link("public/null", "/dev/null");
    let files = tree.files();
    for path in ["/static/fifo", "/static/socket", "/static/null"] {
        assert!(misses(&files, path), "{path}");
    }
}

#[test]
fn a_file_that_may_not_be_read_is_complained_of() {
    if nix::unistd::geteuid().is_root() {
        return;
    }
    let tree = Tree::new();
    let closed = std::fs::Permissions::from_mode(0o000);
    std::fs::set_permissions(tree.path("public/a.css"), closed).unwrap();
    let Found::Refused(error) = find(&tree.files(), "/static/a.css") else { panic!() };
    assert!(error.to_string().contains("cannot be opened: Permission denied"), "{error}");
}

#[test]
fn a_deployment_may_switch_the_root() {
    let tree = Tree::new();
    tree.write("releases/1/a.css", "one");
    tree.write("releases/2/a.css", "two");
    tree.link("current", "releases/1");
    let config = config::Files { checked: vec![tree.path("current")], ..Default::default() };
    let files = Files::new(&config);
    assert_eq!(get(&files, "/a.css").body, "one");
    tree.link("next", "releases/2");
    std::fs::rename(tree.path("next"), tree.path("current")).unwrap();
    assert_eq!(get(&files, "/a.css").body, "two");
    tree.link("releases/2/old", tree.path("releases/1/a.css"));
    assert!(matches!(find(&files, "/old"), Found::Refused(_)));
}

#[test]
fn a_root_may_come_later() {
    let tree = Tree::new();
    let config = config::Files { checked: vec![tree.path("later")], ..Default::default() };
    let files = Files::new(&config);
    assert!(misses(&files, "/a"));
    tree.write("later/a", "a");
    assert_eq!(get(&files, "/a").body, "a");
}

#[test]
fn who_has_the_file_is_told_so() {
    let tree = Tree::new();
    let config = config::Files {
        expiries: vec![Expiry {
            subject: Subject::Type("text/css".into()),
            seconds: 60,
            since_modified: false,
        }],
        compressed: Compressed { all: true, ..Default::default() },
        ..tree.config()
    };
    let files = Files::new(&config);
    let first = get(&files, "/static/a.css");
    for condition in [("if-none-match", first.field("etag")), ("if-modified-since", DATE)] {
        let again = get_with(&files, "/static/a.css", &[condition]);
        assert_eq!((again.status(), &*again.body), (StatusCode::NOT_MODIFIED, ""));
        for name in ["etag", "vary", "cache-control"] {
            assert_eq!(again.field(name), first.field(name), "{name}");
        }
        for name in ["content-type", "content-length", "last-modified"] {
            assert_eq!(again.field(name), "", "{name}");
        }
    }
    let failed = get_with(&files, "/static/a.css", &[("if-match", "\"other\"")]);
    assert_eq!((failed.status(), &*failed.body), (StatusCode::PRECONDITION_FAILED, ""));
    assert_eq!((failed.field("content-length"), failed.field("cache-control")), ("0", ""));
}

#[test]
fn parts_are_sent_to_who_asks_for_them() {
    let tree = Tree::new();
    let files = tree.files();
    let path = "/static/docs/deep/b.txt";
    let range = |text| get_with(&files, path, &[("range", text)]);
    let part = range("bytes=2-4");
    assert_eq!((part.status(), &*part.body), (StatusCode::PARTIAL_CONTENT, "234"));
    assert_eq!(part.field("content-range"), "bytes 2-4/10");
    assert_eq!(part.field("content-length"), "3");
    assert_eq!(range("bytes=-3").body, "789");
    assert_eq!(range("bytes=0-").status(), StatusCode::PARTIAL_CONTENT);
    let none = range("bytes=10-");
    assert_eq!((none.status(), &*none.body), (StatusCode::RANGE_NOT_SATISFIABLE, ""));
    assert_eq!(none.field("content-range"), "bytes */10");
    assert_eq!((none.field("content-length"), none.field("content-type")), ("0", ""));
    let etag = part.field("etag");
    for (condition, whole) in [(etag, false), ("\"x\"", true), (DATE, false)] {
        let found = get_with(&files, path, &[("range", "bytes=2-4"), ("if-range", condition)]);
        assert_eq!(found.status() == StatusCode::OK, whole, "{condition}");
    }
}

#[test]
fn several_parts_are_a_multipart_of_the_length_it_says() {
    let tree = Tree::new();
    let content: String =
        (0..1000).map(|n| char::from(b'a' + u8::try_from(n % 26).unwrap())).collect();
    tree.write("public/long.txt", &content);
    let found = get_with(&tree.files(), "/static/long.txt", &[("range", "bytes=500-509,0-4,-2")]);
    assert_eq!(found.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(found.field("content-length"), found.body.len().to_string());
    assert_eq!(found.field("content-range"), "");
    let boundary =
        found.field("content-type").strip_prefix("multipart/byteranges; boundary=").unwrap();
    let parts: Vec<_> = found.body.split(&format!("--{boundary}")).collect();
    assert_eq!(parts.len(), 5);
    assert_eq!((parts[0], parts[4]), ("", "--\r\n"));
    let expected = [(500, 510), (0, 5), (998, 1000)];
    for ((from, to), part) in expected.into_iter().zip(&parts[1..]) {
        let text = format!(
            "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: bytes {from}-{}/1000\
             \r\n\r\n{}\r\n",
            to - 1,
            &content[from..to]
        );
        assert_eq!(*part, text);
    }
}

#[test]
fn an_empty_file_is_a_file() {
    let found = get(&Tree::new().files(), "/static/empty");
    assert_eq!((found.status(), found.field("content-length")), (StatusCode::OK, "0"));
    assert_eq!(found.field("content-type"), "application/octet-stream");
}

#[test]
fn a_change_within_a_second_has_another_tag_and_no_date_yet() {
    let tree = Tree::new();
    let files = tree.files();
    let path = tree.path("public/a.css");
    let tag = || get(&files, "/static/a.css").field("etag").to_owned();
    let first = tag();
    modify(&path, UNIX_EPOCH + MODIFIED + Duration::from_nanos(1));
    let second = tag();
    // As a release that is built with one date: the same time, the same size, by rename.
    tree.write("public/new", "body { color: tan }");
    modify(&tree.path("public/new"), UNIX_EPOCH + MODIFIED);
    std::fs::rename(tree.path("public/new"), &path).unwrap();
    let third = tag();
    assert!(first != second && first != third && second != third);
    let other_worker = tree.files();
    assert_eq!(get(&other_worker, "/static/a.css").field("etag"), third);
    modify(&path, SystemTime::now() + Duration::from_secs(5));
    assert_eq!(get(&files, "/static/a.css").field("last-modified"), "");
    modify(&path, UNIX_EPOCH + Duration::from_secs(1));
    assert_eq!(get(&files, "/static/a.css").field("last-modified"), "");
}

/// A tree whose file has siblings in some codings.
fn compressed(suffixes: &[&str]) -> Tree {
    let tree = Tree::new();
    for suffix in suffixes {
        tree.write(&format!("public/a.css{suffix}"), &format!("coded{suffix}"));
    }
    tree
}

fn with_siblings(tree: &Tree, compressed: Compressed) -> Files {
    Files::new(&config::Files { compressed, ..tree.config() })
}

#[test]
fn the_best_sibling_that_is_there_is_sent() {
    let tree = compressed(&[".gz", ".zst"]);
    let files = with_siblings(&tree, Compressed { all: true, ..Default::default() });
    let cases = [
        ("gzip, deflate, br, zstd", "zstd", "coded.zst"),
        ("gzip", "gzip", "coded.gz"),
        ("br", "", "body { color: red }"),
        ("gzip;q=0", "", "body { color: red }"),
    ];
    for (accepted, coding, body) in cases {
        let found = get_with(&files, "/static/a.css", &[("accept-encoding", accepted)]);
        assert_eq!((found.field("content-encoding"), &*found.body), (coding, body));
        assert_eq!(found.field("content-type"), "text/css; charset=utf-8");
        assert_eq!(found.field("vary"), "Accept-Encoding");
        assert_eq!(found.field("content-length"), body.len().to_string());
    }
    let plain = get(&files, "/static/docs/deep/b.txt");
    assert_eq!((plain.field("vary"), &*plain.body), ("Accept-Encoding", "0123456789"));
    assert!(misses(&files, "/static/none"));
}

#[test]
fn siblings_have_their_own_tags_and_parts() {
    let tree = compressed(&[".gz"]);
    let files = with_siblings(&tree, Compressed { all: true, ..Default::default() });
    let gzip = ("accept-encoding", "gzip");
    let (coded, plain) = (get_with(&files, "/static/a.css", &[gzip]), get(&files, "/static/a.css"));
    assert_ne!(coded.field("etag"), plain.field("etag"));
    let known = ("if-none-match", coded.field("etag"));
    assert_eq!(
        get_with(&files, "/static/a.css", &[gzip, known]).status(),
        StatusCode::NOT_MODIFIED
    );
    assert_eq!(get_with(&files, "/static/a.css", &[known]).status(), StatusCode::OK);
    let part = get_with(&files, "/static/a.css", &[gzip, ("range", "bytes=6-")]);
    assert_eq!((part.field("content-encoding"), &*part.body), ("gzip", "gz"));
    tree.write("public/a.css.gz", &"z".repeat(1000));
    let several = [gzip, ("range", "bytes=0-1,500-501")];
    assert_eq!(get_with(&files, "/static/a.css", &several).status(), StatusCode::OK);
}

#[test]
fn files_have_siblings_by_pattern_directory_or_name() {
    let tree = compressed(&[".gz"]);
    let none = || Compressed::default();
    let css = || vec![r"/a\.css$".parse().unwrap()];
    let cases = [
        (none(), false),
        (Compressed { patterns: css(), ..none() }, true),
        (Compressed { patterns: vec![r"\.js$".parse().unwrap()], ..none() }, false),
        (Compressed { prefixes: vec![tree.path("public")], ..none() }, true),
        (Compressed { prefixes: vec![tree.path("public/docs")], ..none() }, false),
        (Compressed { suffixes: vec![".css".into()], ..none() }, true),
        (Compressed { suffixes: vec![".cs".into()], ..none() }, false),
    ];
    for (compressed, expected) in cases {
        let files = with_siblings(&tree, compressed.clone());
        let found = get_with(&files, "/static/a.css", &[("accept-encoding", "gzip")]);
        assert_eq!(found.field("content-encoding") == "gzip", expected, "{compressed:?}");
        assert_eq!(found.field("vary").is_empty(), !expected, "{compressed:?}");
    }
}

#[test]
fn a_sibling_that_leads_out_is_not_sent_and_the_file_is() {
    let tree = Tree::new();
    tree.link("public/a.css.gz", tree.path("secret/key"));
    let files = with_siblings(&tree, Compressed { all: true, ..Default::default() });
    let found = get_with(&files, "/static/a.css", &[("accept-encoding", "gzip")]);
    assert_eq!((&*found.body, found.field("content-encoding")), ("body { color: red }", ""));
}

#[test]
fn no_swap_of_a_link_between_check_and_use_leads_out() {
    let tree = Tree::new();
    tree.write("public/inner", "public");
    tree.link("public/link", "inner");
    let files = tree.files();
    let done = AtomicBool::new(false);
    let swap = || {
        while !done.load(Ordering::Relaxed) {
            for target in ["../secret/key", "inner"] {
                tree.link("public/next", target);
                std::fs::rename(tree.path("public/next"), tree.path("public/link")).unwrap();
            }
        }
    };
    let race = || {
        let (mut inside, mut refused) = (0, 0);
        // As often as it takes for both to happen, on a machine that is busy too.
        for round in 0..1_000_000 {
            match find(&files, "/static/link") {
                Found::Answer(answer) => {
                    if Received::from(answer).body != "public" {
                        return Err("what is outside was sent");
                    }
                    inside += 1;
                }
                Found::Refused(_) => refused += 1,
                Found::Miss => return Err("the link is always there"),
            }
            if round >= 4000 && inside > 0 && refused > 0 {
                return Ok(());
            }
        }
        Err("nothing raced")
    };
    std::thread::scope(|scope| {
        scope.spawn(swap);
        let outcome = race();
        done.store(true, Ordering::Relaxed);
        assert_eq!(outcome, Ok(()));
    });
}

#[test]
fn no_path_leads_out_of_the_root() {
    let tree = Tree::new();
    tree.link("public/out", "../secret/key");
    tree.link("public/there", "../secret");
    let files = Files::new(&config::Files {
        checked: vec![tree.path("public/docs")],
        maps: vec![tree.map("/static", "public"), tree.map("", "public")],
        index: vec!["key".into()],
        ..Default::default()
    });
    let words = [
        "..", ".", "", "public", "secret", "key", "docs", "out", "there", "a.css", "deep",
        "static", "\\..", "..;", "%2e%2e", "\u{0}", "proc", "etc", "passwd",
    ];
    let paths = prop::collection::vec(prop::sample::select(words.to_vec()), 0..7);
    let mut runner = TestRunner::new(ProptestConfig { cases: 5000, ..ProptestConfig::default() });
    let outcome = runner.run(&paths, |parts| {
        if let Found::Answer(answer) = find(&files, &format!("/{}", parts.join("/"))) {
            let body = Received::from(answer).body;
            prop_assert!(body == "body { color: red }", "{}", body);
        }
        Ok(())
    });
    outcome.unwrap();
}
