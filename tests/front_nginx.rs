//! Behind nginx, by `uwsgi_pass` and by `proxy_pass`.

use crate::support::behind::{Behind, Way, each, environ};
use crate::support::client::Client;
use crate::support::front::Front;
use crate::support::load::reload_under_load;
use crate::support::server::Server;
use crate::support::setup::Setup;

/// As the distribution has it.
const PARAMS: &str = "include /etc/nginx/uwsgi_params;";
const PROXY: &str = "proxy_http_version 1.1;\nproxy_set_header Connection \"\";\n\
    proxy_set_header Host $host;\nproxy_set_header X-Forwarded-For $remote_addr;\n\
    proxy_set_header X-Forwarded-Proto $scheme;";

fn behind(server: Server, http: &str, location: &str) -> Behind {
    let location =
        format!("location / {{\n{location}\n}}\nlocation /internal/ {{\ninternal;\nalias ./;\n}}");
    let front = Front::nginx(&server.place, http, &location);
    Behind { front, server }
}

fn uwsgi(lines: &str, more: &str) -> Behind {
    let server = Setup::uwsgi(lines).start();
    let pass = format!("{PARAMS}\nuwsgi_pass {};\n{more}", server.uwsgi_address());
    behind(server, "", &pass)
}

fn uwsgi_over_unix(lines: &str) -> Behind {
    let server = Setup::uwsgi(lines).start();
    let pass = format!("{PARAMS}\nuwsgi_pass unix:{};", server.place.join("app.sock").display());
    behind(server, "", &pass)
}

fn upstream(server: &str) -> String {
    format!("upstream rwsgi {{\nserver {server};\nkeepalive 8;\n}}")
}

fn proxy(lines: &str) -> Behind {
    let server = Server::new(lines);
    let upstream = upstream(&server.address().to_string());
    behind(server, &upstream, &format!("{PROXY}\nproxy_pass http://rwsgi;"))
}

fn proxy_over_unix(lines: &str) -> Behind {
    let server =
        Setup::classic(&format!("[rwsgi]\nhttp=app.sock\nchdir=%d\nwsgi-file=app.py\n{lines}\n"))
            .start();
    let upstream = upstream(&format!("unix:{}", server.place.join("app.sock").display()));
    behind(server, &upstream, &format!("{PROXY}\nproxy_pass http://rwsgi;"))
}

/// Without any directive but the one: HTTP/1.0, a connection for each request.
fn bare_proxy(lines: &str) -> Behind {
    let server = Server::new(lines);
    let pass = format!("proxy_pass http://{};", server.address());
    behind(server, "", &pass)
}

/// nginx passes on what comes as it comes.
fn unbuffered(lines: &str) -> Behind {
    uwsgi(lines, "uwsgi_request_buffering off;\nuwsgi_buffering off;")
}

const WAYS: [Way; 6] = [
    ("uwsgi_pass", |lines| uwsgi(lines, "")),
    ("uwsgi_pass, unix", uwsgi_over_unix),
    ("uwsgi_pass, unbuffered", unbuffered),
    ("proxy_pass", proxy),
    ("proxy_pass, unix", proxy_over_unix),
    ("proxy_pass, HTTP/1.0", bare_proxy),
];

#[test]
fn requests_and_responses_are_passed_on() {
    each(&WAYS, "", Behind::passes_requests_and_responses_on);
}

#[test]
fn bodies_are_carried_both_ways() {
    each(&WAYS, "", Behind::carries_bodies);
    each(&WAYS, "", Behind::carries_chunked_uploads);
}

#[test]
fn clients_are_told_to_continue() {
    each(&WAYS, "", Behind::tells_clients_to_continue);
}

#[test]
fn broken_responses_do_not_pass_for_complete_ones() {
    each(&WAYS, "", Behind::passes_broken_responses_on_as_broken);
}

#[test]
fn what_nobody_waits_for_is_stopped() {
    each(&WAYS, "", Behind::stops_what_nobody_waits_for);
}

#[test]
fn uwsgi_params_of_the_distribution_tell_all_that_an_application_needs() {
    for behind in [uwsgi("", ""), uwsgi_over_unix("")] {
        let mut client = Client::from("127.0.0.9", behind.front.address());
        client.send(
            "POST /environ/%2e/a%2Fb?x=%20y HTTP/1.1\r\nHost: shop.test\r\nContent-Type: text/x\r\n\
            Content-Length: 3\r\nX_Spoofed: 1\r\nProxy: evil\r\nConnection: close\r\n\r\nabc",
        );
        let got = environ(&client.response().expect(200));
        let port = client.local_port().to_string();
        let server_port = behind.front.address().port().to_string();
        for (name, value) in [
            ("REQUEST_METHOD", "POST"),
            ("QUERY_STRING", "x=%20y"),
            ("CONTENT_TYPE", "text/x"),
            ("CONTENT_LENGTH", "3"),
            ("REQUEST_URI", "/environ/%2e/a%2Fb?x=%20y"),
            ("PATH_INFO", "/environ/a/b"),
            ("SERVER_PROTOCOL", "HTTP/1.1"),
            ("REQUEST_SCHEME", "http"),
            ("wsgi.url_scheme", "http"),
            ("REMOTE_ADDR", "127.0.0.9"),
            ("REMOTE_PORT", port.as_str()),
            ("SERVER_PORT", server_port.as_str()),
            ("SCRIPT_NAME", ""),
        ] {
            assert_eq!(got[name], value, "{name}");
        }
        // nginx drops the name with `_` and passes Proxy on.
        assert!(!got.contains_key("HTTP_X_SPOOFED") && !got.contains_key("HTTP_PROXY"));
        behind.server.wait_for_log("127.0.0.9 \"POST /environ/%2e/a%2Fb?x=%20y HTTP/1.1\" 200", 1);
    }
}

#[test]
fn an_application_below_a_path_finds_its_own_with_modifier_30() {
    let behind = uwsgi("", "uwsgi_modifier1 30;\nuwsgi_param SCRIPT_NAME /shop;");
    let got = environ(&behind.front.get("/shop/environ/x").expect(200));
    assert_eq!((&got["SCRIPT_NAME"], &got["PATH_INFO"]), (&"/shop".into(), &"/environ/x".into()));
    behind.front.get("/shopping/environ").expect(404);
}

#[test]
fn a_scheme_and_more_variables_can_be_set() {
    let behind = uwsgi("", "uwsgi_param HTTPS on;\nuwsgi_param X-Real-IP $remote_addr;");
    let got = environ(&behind.front.get("/environ").expect(200));
    assert_eq!(
        (&got["wsgi.url_scheme"], &got["X-Real-IP"]),
        (&"https".into(), &"127.0.0.1".into())
    );
}

#[test]
fn the_client_behind_proxy_pass_is_known_where_nginx_is_trusted() {
    for (behind, peer) in [
        (proxy("trusted-proxies=127.0.0.1"), "127.0.0.9"),
        (proxy_over_unix("trusted-proxies=unix"), "127.0.0.9"),
        (proxy(""), "127.0.0.1"),
        (proxy_over_unix(""), ""),
    ] {
        let mut client = Client::from("127.0.0.9", behind.front.address());
        client.send(
            "GET /environ HTTP/1.1\r\nHost: shop.test\r\nX-Forwarded-For: 203.0.113.1\r\n\
            X-Forwarded-Host: evil.test\r\nConnection: close\r\n\r\n",
        );
        let got = environ(&client.response().expect(200));
        assert_eq!(got["REMOTE_ADDR"], peer);
        // nginx overwrites the one, and passes the other on.
        assert_eq!(got["HTTP_X_FORWARDED_FOR"], "127.0.0.9");
        let is_trusted = peer == "127.0.0.9";
        assert_eq!(got.contains_key("HTTP_X_FORWARDED_HOST"), !is_trusted);
        assert_eq!(got["HTTP_HOST"], "shop.test");
    }
}

#[test]
fn connections_to_rwsgi_are_kept() {
    let behind = proxy("");
    let port = || environ(&behind.front.get("/environ").expect(200))["REMOTE_PORT"].clone();
    let first = port();
    for _ in 0..5 {
        assert_eq!(port(), first);
    }
}

#[test]
fn a_file_that_the_application_names_is_sent_by_nginx() {
    each(&WAYS, "", |behind| {
        behind.server.place.write("front/a b.txt", "from nginx");
        let response = behind.front.get("/send?X-Accel-Redirect=/internal/a%20b.txt").expect(200);
        assert_eq!(response.text(), "from nginx");
        assert_eq!(response.field("x-accel-redirect"), None);
        behind.front.get("/internal/a%20b.txt").expect(404);
        behind.passes_a_field_on("X-Sendfile");
    });
}

#[test]
fn a_body_above_limit_post_is_413_behind_nginx_too() {
    for (name, way) in WAYS {
        let behind = way("limit-post=1000");
        let mut client = behind.front.connect();
        client.send(format!(
            "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 600000\r\nConnection: close\r\n\r\n{}",
            "x".repeat(600_000)
        ));
        assert_eq!(client.response().status, 413, "{name}");
        behind.front.get("/ok").expect(200);
    }
}

#[test]
fn a_head_that_is_too_large_is_told_and_the_next_request_served() {
    let behind = uwsgi("buffer-size=4096", "");
    let cookie = "x".repeat(5000);
    let request = format!("GET /ok HTTP/1.1\r\nHost: test\r\nCookie: {cookie}\r\n\r\n");
    assert_eq!(behind.front.ask(&request).status, 502);
    behind.server.wait_for_log("larger than `buffer-size` (4096)", 1);
    behind.front.get("/ok").expect(200);
}

#[test]
fn uwsgi_pass_and_proxy_pass_to_the_wrong_port_tell_what_is_wrong() {
    let server = Setup::uwsgi("").start();
    let pass = format!("proxy_pass http://{};", server.uwsgi_address());
    let wrong = behind(server, "", &pass);
    assert!(wrong.front.get("/ok").expect(400).text().contains("uwsgi_pass"));
    let server = Server::new("");
    let pass = format!("{PARAMS}\nuwsgi_pass {};", server.address());
    let wrong = behind(server, "", &pass);
    wrong.front.get("/ok");
    wrong.server.wait_for_log("bad request refused", 1);
}

/// Reloads under a bounded stream of requests.
fn loses_nothing(way: fn(&str) -> Behind, keep: bool) {
    let behind = way("processes=2\nthreads=2\ndisable-logging=true");
    reload_under_load(&behind.server, behind.front.address(), keep, 5);
}

#[test]
fn reloads_behind_uwsgi_pass_lose_nothing() {
    loses_nothing(|lines| uwsgi(lines, ""), true);
    loses_nothing(uwsgi_over_unix, false);
}

#[test]
fn reloads_behind_proxy_pass_lose_nothing() {
    loses_nothing(proxy, true);
    loses_nothing(proxy_over_unix, false);
}
