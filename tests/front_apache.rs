//! Behind Apache, by mod_proxy_uwsgi and by mod_proxy_http.

use crate::support::behind::{Behind, Way, each, environ};
use crate::support::client::Client;
use crate::support::front::Front;
use crate::support::load::reload_under_load;
use crate::support::server::Server;
use crate::support::setup::Setup;

fn behind(server: Server, target: &str) -> Behind {
    let lines = format!("ProxyPass / {target}\nRequestHeader set X-Forwarded-Proto http");
    let front = Front::apache(&server.place, &lines);
    Behind { front, server }
}

fn uwsgi(lines: &str) -> Behind {
    let server = Setup::uwsgi(lines).start();
    let target = format!("uwsgi://{}/", server.uwsgi_address());
    behind(server, &target)
}

fn uwsgi_over_unix(lines: &str) -> Behind {
    let server = Setup::uwsgi(&format!("chmod-socket=666\n{lines}")).start();
    let target = format!("unix:{}|uwsgi://rwsgi/", server.place.join("app.sock").display());
    behind(server, &target)
}

fn proxy(lines: &str) -> Behind {
    let server = Server::new(lines);
    let target = format!("http://{}/", server.address());
    behind(server, &target)
}

fn proxy_over_unix(lines: &str) -> Behind {
    let lines = format!("http=app.sock\nchmod-socket=666\nchdir=%d\nwsgi-file=app.py\n{lines}");
    let server = Setup::classic(&format!("[rwsgi]\n{lines}\n")).start();
    let target = format!("unix:{}|http://rwsgi/", server.place.join("app.sock").display());
    behind(server, &target)
}

const WAYS: [Way; 4] = [
    ("mod_proxy_uwsgi", uwsgi),
    ("mod_proxy_uwsgi, unix", uwsgi_over_unix),
    ("mod_proxy_http", proxy),
    ("mod_proxy_http, unix", proxy_over_unix),
];

#[test]
fn requests_and_responses_are_passed_on() {
    each(&WAYS, "", Behind::passes_requests_and_responses_on);
}

#[test]
fn bodies_are_carried_both_ways() {
    each(&WAYS, "", Behind::carries_bodies);
}

#[test]
fn chunked_uploads_are_passed_on_by_mod_proxy_http_alone() {
    [proxy(""), proxy_over_unix("")].iter().for_each(Behind::carries_chunked_uploads);
    let (response, _) = uwsgi("").chunked_upload();
    assert_eq!(response.status, 411);
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
fn fields_for_the_web_server_are_passed_on() {
    each(&WAYS, "", |behind| behind.passes_a_field_on("X-Sendfile"));
}

#[test]
fn the_client_is_known_by_mod_proxy_uwsgi() {
    for behind in [uwsgi(""), uwsgi_over_unix("")] {
        let mut client = Client::from("127.0.0.9", behind.front.address());
        client.send("GET /environ HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n");
        let got = environ(&client.response().expect(200));
        assert_eq!(
            (&got["REMOTE_ADDR"], &got["HTTP_HOST"]),
            (&"127.0.0.9".into(), &"shop.test".into())
        );
        assert_eq!(got["SCRIPT_NAME"], "");
        behind.server.wait_for_log("127.0.0.9 \"GET /environ HTTP/1.1\" 200", 1);
    }
}

#[test]
fn the_client_behind_mod_proxy_http_is_known_where_apache_is_trusted() {
    for (behind, peer) in [
        (proxy("trusted-proxies=127.0.0.1"), "127.0.0.9"),
        (proxy_over_unix("trusted-proxies=unix"), "127.0.0.9"),
        (proxy(""), "127.0.0.1"),
    ] {
        let mut client = Client::from("127.0.0.9", behind.front.address());
        client.send(
            "GET /environ HTTP/1.1\r\nHost: shop.test\r\nX-Forwarded-For: 203.0.113.1\r\n\
            Connection: close\r\n\r\n",
        );
        let got = environ(&client.response().expect(200));
        assert_eq!(got["REMOTE_ADDR"], peer);
        assert_eq!(got["HTTP_X_FORWARDED_FOR"], "203.0.113.1, 127.0.0.9");
    }
}

#[test]
fn reloads_lose_nothing() {
    for way in [uwsgi, proxy] {
        let behind = way("processes=2\nthreads=2\ndisable-logging=true");
        reload_under_load(&behind.server, behind.front.address(), true, 5);
    }
}
