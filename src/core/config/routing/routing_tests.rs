use super::*;

fn problem(option: &str, text: &str) -> String {
    let invalid = rule(option, text).unwrap_err();
    format!("{} / {}", invalid.problem, invalid.help.unwrap_or_default())
}

#[test]
fn a_rule_is_a_test_and_an_action() {
    let Ok(Rule::Do(Test::Matches(variable, pattern), Action::Redirect(302, to))) =
        rule("route", "^/old/(.*) redirect:/new/$1?${QUERY_STRING}")
    else {
        panic!("not a redirect");
    };
    assert_eq!((variable.as_str(), pattern.as_str()), ("PATH_INFO", "^/old/(.*)"));
    let pieces = [
        Piece::Text("/new/".into()),
        Piece::Group(1),
        Piece::Text("?".into()),
        Piece::Variable("QUERY_STRING".into()),
    ];
    assert_eq!(to.0, pieces);
    let condition = rule("route-if-not", "equal:${HTTPS};on break:403 Forbidden");
    assert!(matches!(condition, Ok(Rule::Do(Test::If(_, false), Action::Status(403)))));
    assert_eq!(rule("route-run", "last:"), Ok(Rule::Do(Test::Always, Action::Last)));
}

#[test]
fn a_dollar_is_a_dollar_where_nothing_follows_that_means_something() {
    let read = |text| Template::read(text).map(|template| template.0);
    assert_eq!(read("a$b$"), Ok(vec![Piece::Text("a$b$".into())]));
    assert_eq!(read("$10"), Ok(vec![Piece::Group(1), Piece::Text("0".into())]));
    assert_eq!(read("${cookie[a]}"), Ok(vec![Piece::Cookie("a".into())]));
    assert!(read("${HOST").is_err() && read("${a b}").is_err() && read("${time[unix]}").is_err());
}

#[test]
fn what_rwsgi_does_not_have_is_refused_by_name() {
    let refused = [
        ("route", "^/x", "has no action"),
        ("route", "^/( last", "regular expression"),
        ("route", "^/(?=x) last", "PCRE"),
        ("route", "^/ http:127.0.0.1:1", "no proxy"),
        ("route", "^/ frobnicate:", "has the action `frobnicate`"),
        ("route", "^/ break:99", "no status"),
        ("route", "^/ static:$1", "directory"),
        ("route", "^/ addheader:Content-Length: 1", "the connection"),
        ("route", "^/ addheader:A B: 1", "no name of a field"),
        ("route", "^/ basicauth:realm,file.htpasswd", "the web server"),
        ("route", "^/ addvar:wsgi.input=1", "sets no variable"),
        ("route-if", "equal:a last", "equal:ONE;OTHER"),
        ("route-if", "lord:x last", "condition `lord`"),
        ("route-if", "ipv4in:${REMOTE_ADDR};ten last", "no network"),
    ];
    for (option, text, what) in refused {
        assert!(problem(option, text).contains(what), "{text}: {}", problem(option, text));
    }
}

#[test]
fn fields_are_checked_when_they_are_read() {
    assert_eq!(field("X-A: b: c"), Ok(("X-A".to_owned(), "b: c")));
    assert!(field("none").is_err() && field(": x").is_err() && field_value("a\rb").is_err());
}

proptest::proptest! {
    #[test]
    fn no_rule_panics(text in "\\PC{0,60}", option in 0..12_usize) {
        let _ = rule(RULES[option], &text);
    }
}
