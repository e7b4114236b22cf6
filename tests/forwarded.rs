//! Who the client is behind proxies, and which of them are believed.

use serde_json::Value;

use crate::support::client::Client;
use crate::support::packet::Packet;
use crate::support::server::Server;
use crate::support::setup::Setup;

/// A proxy of this machine.
const PROXY: &str = "127.0.0.2";

/// What the application is told when this address sends these fields.
fn environ(server: &Server, source: &str, fields: &str) -> Value {
    told(&mut Client::from(source, server.address()), fields)
}

fn told(client: &mut Client, fields: &str) -> Value {
    client.send(format!(
        "GET /environ HTTP/1.1\r\nHost: inner.test\r\nConnection: close\r\n{fields}\r\n"
    ));
    let body = client.response().expect(200).body;
    serde_json::from_slice::<Value>(&body).unwrap()["environ"].take()
}

fn serve(lines: &str) -> Server {
    Server::new(&format!("trusted-proxies={PROXY}\n{lines}"))
}

const FIELDS: &str = "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n\
    X-Forwarded-Host: shop.test:8443\r\nX-Forwarded-Port: 8443\r\nX-Forwarded-Prefix: /admin\r\n\
    Forwarded: for=203.0.113.8;proto=http\r\n";

#[test]
fn a_trusted_proxy_tells_client_and_scheme_to_application_and_log() {
    let server = serve("");
    let got = environ(&server, PROXY, FIELDS);
    assert_eq!(got["REMOTE_ADDR"], "203.0.113.9");
    assert_eq!(got["REMOTE_PORT"], "");
    assert_eq!(got["wsgi.url_scheme"], "https");
    assert_eq!(got["HTTP_X_FORWARDED_FOR"], "203.0.113.9");
    assert_eq!(got["HTTP_HOST"], "inner.test");
    assert_eq!(got["SERVER_PORT"], server.address().port().to_string());
    server.wait_for_log("203.0.113.9 \"GET /environ HTTP/1.1\" 200", 1);
}

#[test]
fn what_the_proxies_are_not_known_to_set_is_the_clients_and_removed() {
    let got = environ(&serve(""), PROXY, FIELDS);
    for name in ["X_FORWARDED_HOST", "X_FORWARDED_PORT", "X_FORWARDED_PREFIX", "FORWARDED"] {
        assert_eq!(got.get(format!("HTTP_{name}")), None, "{name}");
    }
}

#[test]
fn nothing_of_a_stranger_is_believed_or_passed_on() {
    let server = serve("");
    let mut spelled = FIELDS.replace("X-Forwarded", "X_Forwarded");
    spelled.push_str(FIELDS);
    let got = environ(&server, "127.0.0.3", &spelled);
    assert_eq!(
        (&got["REMOTE_ADDR"], &got["wsgi.url_scheme"]),
        (&"127.0.0.3".into(), &"http".into())
    );
    for (name, value) in got.as_object().unwrap() {
        assert!(!name.contains("FORWARDED"), "{name}: {value}");
    }
    server.wait_for_log("127.0.0.3 \"GET /environ", 1);
    assert!(!server.log().contains("203.0.113"), "{}", server.log());
}

#[test]
fn host_and_port_are_believed_where_that_is_said() {
    let lines = "trusted-proxy-headers=x-forwarded-for x-forwarded-host x-forwarded-port";
    let got = environ(&serve(lines), PROXY, FIELDS);
    assert_eq!(
        (&got["HTTP_HOST"], &got["SERVER_PORT"]),
        (&"shop.test:8443".into(), &"8443".into())
    );
    assert_eq!(got["wsgi.url_scheme"], "http");
    assert_eq!(got["HTTP_X_FORWARDED_HOST"], "shop.test:8443");
    assert_eq!(got.get("HTTP_X_FORWARDED_PROTO"), None);
}

#[test]
fn entries_are_followed_from_the_end_as_long_as_they_are_proxies() {
    let server = serve("trusted-proxies=10.0.0.0/8\ntrusted-proxies=fd00::/8");
    for (list, client) in [
        ("203.0.113.9", "203.0.113.9"),
        ("203.0.113.9, 10.0.0.1", "203.0.113.9"),
        ("198.51.100.1, 203.0.113.9, 10.0.0.1, fd00::1", "203.0.113.9"),
        ("10.9.9.9, 10.0.0.1", "10.9.9.9"),
        ("\", garbage, 203.0.113.9", "203.0.113.9"),
        ("2001:db8::9, 127.0.0.2", "2001:db8::9"),
        ("203.0.113.9\r\nX-Forwarded-For: 10.0.0.1", "203.0.113.9"),
    ] {
        let got = environ(&server, PROXY, &format!("X-Forwarded-For: {list}\r\n"));
        assert_eq!(got["REMOTE_ADDR"], client, "{list}");
    }
}

#[test]
fn proxies_can_be_counted() {
    let server = serve("trusted-proxy-count=2");
    for (list, client) in [
        ("198.51.100.1, 203.0.113.9, 192.0.2.1", "203.0.113.9"),
        ("203.0.113.9, 192.0.2.1", "203.0.113.9"),
        ("192.0.2.1", "192.0.2.1"),
    ] {
        let got = environ(&server, PROXY, &format!("X-Forwarded-For: {list}\r\n"));
        assert_eq!(got["REMOTE_ADDR"], client, "{list}");
    }
    let got = environ(&server, "127.0.0.3", "X-Forwarded-For: 203.0.113.9, 192.0.2.1\r\n");
    assert_eq!(got["REMOTE_ADDR"], "127.0.0.3");
}

#[test]
fn the_standard_field_is_read_where_proxies_set_it() {
    let server = serve("trusted-proxy-headers=forwarded\ntrusted-proxies=10.0.0.0/8");
    let field = "Forwarded: for=evil, for=\"[2001:db8::9]:4711\";proto=https;host=shop.test, \
        for=10.0.0.1\r\nX-Forwarded-For: 198.51.100.1\r\n";
    let got = environ(&server, PROXY, field);
    assert_eq!((&got["REMOTE_ADDR"], &got["REMOTE_PORT"]), (&"2001:db8::9".into(), &"4711".into()));
    assert_eq!(got.get("HTTP_X_FORWARDED_FOR"), None);
    // What the innermost proxy says of the others is not what they say of the client.
    assert_eq!(
        (&got["wsgi.url_scheme"], &got["HTTP_HOST"]),
        (&"https".into(), &"shop.test".into())
    );
}

#[test]
fn unix_sockets_and_everybody_can_be_trusted() {
    for (peers, is_unix) in [("unix", true), ("*", true), ("*", false)] {
        let lines = "chdir=%d\nwsgi-file=app.py\nhttp=127.0.0.1:0\nhttp=app.sock";
        let ini = format!("[rwsgi]\n{lines}\ntrusted-proxies={peers}\n");
        let server = Setup::classic(&ini).start();
        let mut client =
            if is_unix { Client::unix(&server.place.join("app.sock")) } else { server.connect() };
        let got = told(&mut client, "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n");
        assert_eq!(got["REMOTE_ADDR"], "203.0.113.9", "{peers}");
        assert_eq!(got["wsgi.url_scheme"], "https", "{peers}");
    }
}

#[test]
fn an_untrusted_unix_socket_has_no_client() {
    let lines = "chdir=%d\nwsgi-file=app.py\nhttp=app.sock";
    let server = Setup::classic(&format!("[rwsgi]\n{lines}\ntrusted-proxies={PROXY}\n")).start();
    let mut client = Client::unix(&server.place.join("app.sock"));
    let got = told(&mut client, FIELDS);
    assert_eq!((&got["REMOTE_ADDR"], got.get("HTTP_X_FORWARDED_FOR")), (&"".into(), None));
}

#[test]
fn nothing_is_believed_unless_somebody_is_trusted_but_this_machine_may_pass_fields_on() {
    let server = Server::new("");
    let got = environ(&server, PROXY, FIELDS);
    assert_eq!((&got["REMOTE_ADDR"], &got["wsgi.url_scheme"]), (&PROXY.into(), &"http".into()));
    assert_eq!(got["HTTP_X_FORWARDED_FOR"], "203.0.113.9");
    assert_eq!(got["HTTP_X_FORWARDED_PREFIX"], "/admin");
    assert!(!server.log().contains("was removed"), "{}", server.log());
}

#[test]
fn fields_of_other_machines_are_removed_and_that_is_told_once() {
    // A client of another machine, in the words of a balancer on this one.
    let server = Server::new("proxy-protocol=true");
    for count in 1..=3 {
        let mut client = server.connect();
        client.send(format!("PROXY TCP4 203.0.113.{count} 198.51.100.2 4711 443\r\n"));
        let got = told(&mut client, FIELDS);
        assert_eq!(got["REMOTE_ADDR"], format!("203.0.113.{count}"));
        assert!(!got.as_object().unwrap().keys().any(|name| name.contains("FORWARDED")));
    }
    server.wait_for_log("GET /environ", 3);
    let log = server.log();
    assert_eq!(log.matches(" from 203.0.113.1 was removed").count(), 1, "{log}");
    assert_eq!(log.matches("was removed").count(), 1, "{log}");
}

#[test]
fn the_clients_of_trusted_balancers_have_to_be_trusted_themselves() {
    let server = serve("proxy-protocol=true\ntrusted-proxies=10.0.0.0/8");
    for (announced, client) in [("203.0.113.1", "203.0.113.1"), ("10.0.0.1", "198.51.100.1")] {
        let mut balancer = Client::from(PROXY, server.address());
        balancer.send(format!("PROXY TCP4 {announced} 198.51.100.2 4711 443\r\n"));
        let got = told(&mut balancer, "X-Forwarded-For: 198.51.100.1\r\n");
        assert_eq!(got["REMOTE_ADDR"], client, "{announced}");
    }
}

#[test]
fn a_web_server_may_speak_for_the_proxies_in_front_of_it() {
    let server = Setup::uwsgi("trusted-proxies=10.0.0.0/8").start();
    let ask = |remote: &str| {
        let packet = Packet::get("/environ")
            .var("REMOTE_ADDR", remote)
            .var("HTTP_X_FORWARDED_FOR", "198.51.100.1, 203.0.113.9")
            .var("HTTP_X_FORWARDED_PROTO", "https");
        let mut client = Client::connect(server.uwsgi_address());
        client.send(packet.bytes());
        let body = client.response().expect(200).body;
        serde_json::from_slice::<Value>(&body).unwrap()["environ"].take()
    };
    let behind = ask("10.0.0.1");
    assert_eq!(
        (&behind["REMOTE_ADDR"], &behind["wsgi.url_scheme"]),
        (&"203.0.113.9".into(), &"https".into())
    );
    let direct = ask("192.0.2.1");
    assert_eq!(
        (&direct["REMOTE_ADDR"], &direct["wsgi.url_scheme"]),
        (&"192.0.2.1".into(), &"http".into())
    );
    assert_eq!(direct.get("HTTP_X_FORWARDED_FOR"), None);
    server.wait_for_log("203.0.113.9 \"GET /environ", 1);
    server.wait_for_log("192.0.2.1 \"GET /environ", 1);
}

#[test]
fn what_a_web_server_says_is_believed_where_nobody_is_named() {
    let server = Setup::uwsgi("").start();
    let mut client = Client::connect(server.uwsgi_address());
    client.send(Packet::get("/environ").var("HTTP_X_FORWARDED_FOR", "203.0.113.9").bytes());
    let body = client.response().expect(200).body;
    let got = serde_json::from_slice::<Value>(&body).unwrap()["environ"].take();
    assert_eq!(
        (&got["REMOTE_ADDR"], &got["HTTP_X_FORWARDED_FOR"]),
        (&"192.0.2.7".into(), &"203.0.113.9".into())
    );
}
