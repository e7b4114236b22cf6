use super::*;

fn ask(option: &str, text: &str) -> Result<Rule, Invalid> {
    let (phase, option) = Phase::of(option).unwrap();
    rule(phase, option, text)
}

fn problem(option: &str, text: &str) -> String {
    let invalid = ask(option, text).unwrap_err();
    format!("{} / {}", invalid.problem, invalid.help.unwrap_or_default())
}

#[test]
fn a_rule_is_a_test_and_an_action() {
    let Ok(Rule::Do(Test::Matches(variable, pattern), Action::Redirect(302, to))) =
        ask("route", "^/old/(.*) redirect:/new/$1?${QUERY_STRING}")
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
    let condition = ask("route-if-not", "equal:${HTTPS};on break:403 Forbidden");
    assert!(matches!(condition, Ok(Rule::Do(Test::If(_, false), Action::Status(403)))));
    assert_eq!(ask("route-run", "last:"), Ok(Rule::Do(Test::Always, Action::Last)));
}

#[test]
fn a_dollar_is_a_dollar_where_nothing_follows_that_means_something() {
    let read = |text| Template::read(text).map(|template| template.0);
    assert_eq!(read("a$b$"), Ok(vec![Piece::Text("a$b$".into())]));
    assert_eq!(read("$10"), Ok(vec![Piece::Group(1), Piece::Text("0".into())]));
    assert_eq!(read("${cookie[a]}"), Ok(vec![Piece::Function(Function::Cookie("a".into()))]));
    assert!(read("${HOST").is_err() && read("${a b}").is_err() && read("${time[noon]}").is_err());
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
        ("response-route", "^/ rewrite:/x", "the action `rewrite` after the application has run"),
        ("error-route-run", "setuser:ann", "the action `setuser` after the application has run"),
        ("final-route-if", "empty: break:403", "the action `break` after the response has left"),
        ("route-run", "clearheaders:200", "the action `clearheaders` before there is a response"),
        ("final-route-status", "4.. log:x", "no status"),
        ("route", "^/ log:${httptime[soon]}", "no number of seconds"),
        ("route", "^/ log:${uwsgi[lq]}", "not known here"),
        ("route", "^/ basicauth:realm", "a file of htpasswd"),
        ("route", "^/ basicauth:re\"alm,a:b", "cannot be in a field"),
        ("route", "^/ addvar:wsgi.input=1", "sets no variable"),
        ("route-if", "equal:a last", "equal:ONE;OTHER"),
        ("route-if", "lord:x last", "condition `lord`"),
        ("route-if", "ipv4in:${REMOTE_ADDR};ten last", "no network"),
    ];
    for (option, text, what) in refused {
        assert!(problem(option, text).contains(what), "{text}: {}", problem(option, text));
    }
}

/// Those of uWSGI 2.0 and of the plugins in its tree.
const OF_UWSGI: &str = "continue last break return break-with-status log donotlog donotoffload logvar goto addvar \
    addheader delheader remheader clearheaders resetheaders disableheaders signal send send-crnl chdir setapp \
    setuser sethome setfile setscriptname setmethod seturi setremoteaddr setpathinfo fixpathinfo setdocroot \
    setscheme setprocname alarm setmodifier1 setmodifier2 + - * / flush fixcl forcecl harakiri access basicauth \
    basicauth-next cache cache-continue cache-store cachestore cacheset cachevar cacheinc cachedec cachemul \
    cachediv chunked expires file file-next fastfile fastfile-next sendfile sendfile-next static static-next gzip \
    hash http httpdumb httpconnect proxyhttp proxyhttpconnect ldapauth ldapauth-next memcached memcached-continue \
    memcached-store memcachedstore metricinc metricdec metricmul metricdiv metricset offload uwsgi proxyuwsgi \
    radius radius-next redirect redirect-301 redirect-302 redirect-permanent redis redis-continue redis-store \
    redisstore rewrite rewrite-last spnego spnego-next ssi symcall symcall-next tofile to-file toupper xmldir call \
    rpc rpcret rpcblob rpcnext rpcraw rpcvar cgi cgihelper gridfs template toxslt xslt";

#[test]
fn every_action_of_uwsgi_is_done_or_refused_with_advice() {
    let is_done = |name: &str| action::names().any(|known| known == name);
    let is_refused = |name: &str| refused::REFUSED.iter().any(|(names, _)| names.contains(&name));
    for name in OF_UWSGI.split_whitespace() {
        assert!(is_done(name) != is_refused(name), "{name}");
        let read = ask("route-run", &format!("{name}:"));
        let advice = read.err().and_then(|invalid| invalid.help).unwrap_or_default();
        assert!(!advice.contains("the rest is for"), "{name}: {advice}");
    }
}

#[test]
fn fields_are_collected_by_their_names() {
    let read = |text| collected(text, true);
    let (field, variable) = ("x-user".to_owned(), "USER".to_owned());
    assert_eq!(read("X-User USER"), Ok(Collected { field, variable, pulled: true }));
    assert!(read("X-User").is_err() && read("a b c").is_err() && read("X:User U").is_err());
    assert!(read("Content-Length L").is_err() && collected("Content-Length L", false).is_ok());
}

#[test]
fn fields_are_checked_when_they_are_read() {
    assert_eq!(field("X-A: b: c"), Ok(("X-A".to_owned(), "b: c")));
    assert!(field("none").is_err() && field(": x").is_err() && field_value("a\rb").is_err());
}

proptest::proptest! {
    #[test]
    fn no_rule_panics(text in "\\PC{0,60}", option in 0..12_usize) {
        let kind = ["route", "route-if", "route-run", "route-status"][option % 4];
        let phase = [Phase::Request, Phase::Response, Phase::Final][option / 4];
        let _ = rule(phase, kind, &text);
    }
}
