//! Files that an application names, as a client meets them.

use http::{Method, Response, StatusCode};
use rwsgi_core::config;

use crate::tree::{Received, Tree, fields};
use crate::{FileError, Files};

/// `secret` may be sent from by path, and `public` as `/protected`.
fn files(tree: &Tree) -> Files {
    Files::new(&config::Files {
        sendfile: vec![tree.path("secret")],
        accel: vec![tree.map("/protected", "public")],
        ..Default::default()
    })
}

fn response(lines: &[(&'static str, &str)]) -> Response<()> {
    let mut head = Response::new(());
    *head.headers_mut() = fields(lines);
    head
}

/// What becomes of an application's response with these fields, for a GET with those.
fn sent(
    files: &Files,
    theirs: &[(&'static str, &str)],
    asked: &[(&'static str, &str)],
) -> Result<Option<Received>, FileError> {
    let mut head = response(theirs);
    let body = files.sendfile(&mut head, &Method::GET, &fields(asked))?;
    Ok(body.map(|body| Received::new(head, Some(&body))))
}

#[test]
fn a_named_file_takes_the_place_of_the_body() {
    let tree = Tree::new();
    let path = tree.path("secret/key");
    let theirs = [
        ("x-sendfile", path.to_str().unwrap()),
        ("content-type", "image/png"),
        ("content-length", "0"),
        ("etag", "\"of the empty body\""),
        ("content-disposition", "attachment"),
        ("cache-control", "private"),
    ];
    let found = sent(&files(&tree), &theirs, &[]).unwrap().unwrap();
    assert_eq!((found.status(), &*found.body), (StatusCode::OK, "secret"));
    let expected = [
        ("x-sendfile", ""),
        ("content-type", "image/png"),
        ("content-length", "6"),
        ("content-disposition", "attachment"),
        ("cache-control", "private"),
        ("accept-ranges", "bytes"),
        ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ];
    for (name, value) in expected {
        assert_eq!(found.field(name), value, "{name}");
    }
    assert!(found.field("etag").starts_with("\"2ebc98a1."));
}

#[test]
fn the_type_is_known_when_the_application_does_not_say() {
    let tree = Tree::new();
    let found = sent(&files(&tree), &[("x-accel-redirect", "/protected/a.css?x")], &[]);
    assert_eq!(found.unwrap().unwrap().field("content-type"), "text/css; charset=utf-8");
}

#[test]
fn conditions_and_ranges_count_as_for_static_files() {
    let tree = Tree::new();
    let files = files(&tree);
    let theirs = [("x-accel-redirect", "/protected/docs/deep/b%2Etxt"), ("set-cookie", "a=b")];
    let first = sent(&files, &theirs, &[]).unwrap().unwrap();
    let known = [("if-none-match", first.field("etag"))];
    let again = sent(&files, &theirs, &known).unwrap().unwrap();
    assert_eq!((again.status(), &*again.body), (StatusCode::NOT_MODIFIED, ""));
    assert_eq!(again.field("set-cookie"), "a=b");
    let part = sent(&files, &theirs, &[("range", "bytes=3-4")]).unwrap().unwrap();
    assert_eq!((part.status(), &*part.body), (StatusCode::PARTIAL_CONTENT, "34"));
    let none = sent(&files, &theirs, &[("range", "bytes=99-")]).unwrap().unwrap();
    assert_eq!((none.status(), &*none.body), (StatusCode::RANGE_NOT_SATISFIABLE, ""));
}

#[test]
fn only_a_plain_answer_to_reading_has_parts() {
    let tree = Tree::new();
    let files = files(&tree);
    let range = fields(&[("range", "bytes=0-1")]);
    let mut head = response(&[("x-accel-redirect", "/protected/a.css")]);
    *head.status_mut() = StatusCode::NOT_FOUND;
    let body = files.sendfile(&mut head, &Method::GET, &range).unwrap().unwrap();
    let found = Received::new(head, Some(&body));
    assert_eq!((found.status(), found.body.len()), (StatusCode::NOT_FOUND, 19));
    assert_eq!((found.field("content-length"), found.field("etag")), ("19", ""));
    let mut head = response(&[("x-accel-redirect", "/protected/a.css")]);
    let body = files.sendfile(&mut head, &Method::POST, &range).unwrap().unwrap();
    assert_eq!(Received::new(head, Some(&body)).body.len(), 19);
    let mut head = response(&[("x-accel-redirect", "/protected/a.css")]);
    let body = files.sendfile(&mut head, &Method::HEAD, &range).unwrap().unwrap();
    let found = Received::new(head, Some(&body));
    assert_eq!((found.field("content-length"), &*found.body), ("19", ""));
}

#[test]
fn what_names_no_file_stays_as_it_is() {
    let tree = Tree::new();
    assert!(sent(&files(&tree), &[("etag", "\"a\"")], &[]).unwrap().is_none());
    assert!(!files(&tree).replaces(&response(&[("etag", "\"a\"")])));
    let mut head = response(&[("x-sendfile", "/x")]);
    assert!(files(&tree).replaces(&head));
    *head.status_mut() = StatusCode::NO_CONTENT;
    let body = files(&tree).sendfile(&mut head, &Method::GET, &fields(&[])).unwrap();
    assert!(body.is_none() && !head.headers().contains_key("x-sendfile"));
}

#[test]
fn without_the_option_the_field_is_for_somebody_else() {
    let tree = Tree::new();
    let plain = tree.files();
    let mut head = response(&[("x-sendfile", "/x"), ("x-accel-redirect", "/y")]);
    assert!(!plain.replaces(&head));
    assert!(plain.sendfile(&mut head, &Method::GET, &fields(&[])).unwrap().is_none());
    assert_eq!(head.headers().len(), 2);
}

#[test]
fn nothing_outside_of_the_roots_is_sent_whoever_asks() {
    let tree = Tree::new();
    tree.link("secret/out", "../public/a.css");
    tree.link("public/out", "../secret/key");
    let files = files(&tree);
    let path = |name: &str| tree.path(name).to_str().unwrap().to_owned();
    let error = |name: &'static str, value: &str| {
        let mut head = response(&[(name, value)]);
        let error = files.sendfile(&mut head, &Method::GET, &fields(&[])).unwrap_err();
        assert!(!head.headers().contains_key(name), "{value}");
        error
    };
    for value in [path("public/a.css"), path("secret/out"), path("secret/../public/a.css")] {
        let error = error("x-sendfile", &value);
        assert!(matches!(error, FileError::Outside { .. }), "{error}");
        assert_eq!(error.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
    for value in [path("secret/none"), path("secret"), path("secret/key/x")] {
        let error = error("x-sendfile", &value);
        assert!(matches!(error, FileError::Missing(_)), "{error}");
        assert_eq!(error.status(), StatusCode::NOT_FOUND);
    }
    for value in ["key", "", "secret/key"] {
        assert!(matches!(error("x-sendfile", value), FileError::Unmapped(_)), "{value}");
    }
    for value in ["/other/a.css", "/protected/../a.css", "/protected%2F..%2Fa.css", "@named"] {
        assert!(matches!(error("x-accel-redirect", value), FileError::Unmapped(_)), "{value}");
    }
    let out = error("x-accel-redirect", "/protected/out");
    assert!(matches!(out, FileError::Outside { .. }));
    assert!(matches!(error("x-accel-redirect", "/protected/none"), FileError::Missing(_)));
}

#[test]
fn dots_within_the_root_are_the_applications_own() {
    let tree = Tree::new();
    let path = format!("{}/secret/../secret/key", tree.path("public").parent().unwrap().display());
    assert_eq!(sent(&files(&tree), &[("x-sendfile", &path)], &[]).unwrap().unwrap().body, "secret");
}
