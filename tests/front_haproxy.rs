//! Behind HAProxy, which tells the client by the PROXY protocol or by X-Forwarded-For.

use crate::support::behind::{Behind, Way, each, environ};
use crate::support::client::Client;
use crate::support::front::Front;
use crate::support::load::reload_under_load;
use crate::support::server::Server;
use crate::support::setup::Setup;

const HTTP: &str = "mode http";
const TCP: &str = "mode tcp";

fn behind(lines: &str, defaults: &str, more: &str) -> Behind {
    let server = Server::new(lines);
    let backend = format!("server one {} {more}", server.address());
    let front = Front::haproxy(&server.place, defaults, &backend);
    Behind { front, server }
}

fn forwarded(lines: &str) -> Behind {
    let lines = format!("trusted-proxies=127.0.0.1\n{lines}");
    let server = Server::new(&lines);
    let set = "option forwardfor\nhttp-request set-header X-Forwarded-Proto http";
    let backend = format!("{set}\nserver one {}", server.address());
    let front = Front::haproxy(&server.place, HTTP, &backend);
    Behind { front, server }
}

fn version_1(lines: &str) -> Behind {
    behind(&format!("proxy-protocol=true\n{lines}"), HTTP, "send-proxy")
}

fn version_2(lines: &str) -> Behind {
    behind(&format!("proxy-protocol=true\n{lines}"), HTTP, "send-proxy-v2")
}

fn plain_tcp(lines: &str) -> Behind {
    behind(&format!("proxy-protocol=true\n{lines}"), TCP, "send-proxy-v2")
}

fn over_unix(lines: &str) -> Behind {
    let lines = format!("http=app.sock\nproxy-protocol=true\nchdir=%d\nwsgi-file=app.py\n{lines}");
    let server = Setup::classic(&format!("[rwsgi]\n{lines}\n")).start();
    let backend =
        format!("server one unix@{} send-proxy-v2", server.place.join("app.sock").display());
    let front = Front::haproxy(&server.place, HTTP, &backend);
    Behind { front, server }
}

const WAYS: [Way; 5] = [
    ("X-Forwarded-For", forwarded),
    ("send-proxy", version_1),
    ("send-proxy-v2", version_2),
    ("send-proxy-v2, tcp", plain_tcp),
    ("send-proxy-v2, unix", over_unix),
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
fn fields_for_the_web_server_are_passed_on() {
    each(&WAYS, "", |behind| behind.passes_a_field_on("X-Sendfile"));
}

#[test]
fn the_client_is_known_to_application_and_log() {
    each(&WAYS, "", |behind| {
        let mut client = Client::from("127.0.0.9", behind.front.address());
        for _ in 0..2 {
            let got = environ(&client.get("/environ").expect(200));
            assert_eq!(got["REMOTE_ADDR"], "127.0.0.9");
        }
        behind.server.wait_for_log("127.0.0.9 \"GET /environ HTTP/1.1\" 200", 2);
    });
}

#[test]
fn clients_of_different_addresses_are_not_mixed_up_on_kept_connections() {
    each(&WAYS, "", |behind| {
        let mut clients: Vec<_> = (1..=5)
            .map(|number| {
                let source = format!("127.0.2.{number}");
                (Client::from(&source, behind.front.address()), source)
            })
            .collect();
        for _ in 0..3 {
            for (client, source) in &mut clients {
                assert_eq!(environ(&client.get("/environ").expect(200))["REMOTE_ADDR"], **source);
            }
        }
    });
}

#[test]
fn health_checks_are_answered() {
    let server = Server::new("proxy-protocol=true\nprocesses=2");
    let checks = "option httpchk GET /ok\n\
        default-server check inter 500ms fall 9 rise 1 send-proxy-v2 check-send-proxy";
    let backend = format!("{checks}\nserver one {}", server.address());
    let front = Front::haproxy(&server.place, HTTP, &backend);
    server.wait_for_log("127.0.0.1 \"GET /ok HTTP/1.0\" 200", 3);
    front.get("/ok").expect(200);
    assert!(!server.log().contains("refused"), "{}", server.log());
}

#[test]
fn a_balancer_that_forgets_the_header_is_refused_and_told() {
    let behind = behind("proxy-protocol=true", HTTP, "");
    assert_eq!(behind.front.get("/ok").status, 502);
    behind.server.wait_for_log("does not begin with a PROXY header", 1);
}

#[test]
fn reloads_lose_nothing() {
    for (name, way) in WAYS {
        println!("--- {name}");
        let behind = way("processes=2\nthreads=2\ndisable-logging=true");
        reload_under_load(&behind.server, behind.front.address(), true, 3);
    }
}
