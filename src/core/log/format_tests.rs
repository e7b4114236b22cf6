use super::super::access::tests::access;
use super::super::clock::LTIME;
use super::*;

fn scene() -> Scene<'static> {
    Scene { now: 1_795_644_404_183_554, worker: 3, pid: 77, ftime: LTIME, forwarded: false }
}

fn line(format: &str) -> String {
    let mut out = Vec::new();
    let format = Format::compile(Some(format), false);
    format.append(&mut out, &access(b"/a?b=\"1\""), &scene());
    String::from_utf8(out).unwrap()
}

#[test]
fn a_variable_is_replaced_and_the_rest_stays() {
    assert_eq!(line("%(method) %(status)%% 100% %(unclosed"), "GET 404%% 100% %(unclosed");
    assert_eq!(line("%(uri)"), "/a?b=\\\"1\\\"");
    assert_eq!(line("%(who)|%(nobody)|%(var.HTTP_ACCEPT)|%(var.X)|%(metric.x)"), "ann|-|*/*|-|0");
}

#[test]
fn what_is_missing_is_a_dash() {
    assert_eq!(line("%(user) %(referer) %(request_id)"), "- - abc-7");
}

#[test]
fn numbers_are_those_of_uwsgi() {
    assert_eq!(line("%(size) %(rsize) %(hsize) %(headers)"), "76 12 64 2");
    assert_eq!(line("%(micros) %(msecs) %(secs)"), "1250 1 0.001250");
    assert_eq!(line("%(time) %(tmsecs) %(tmicros)"), "1795644404 1795644404182 1795644404182304");
    assert_eq!(line("%(vars) %(pktsize) %(core) %(wid) %(pid)"), "26 287 0 3 77");
    assert_eq!(line("%(werr) %(rerr) %(ioerr) %(modifier1) %(modifier2) %(cl)"), "0 0 0 0 0 0");
}

#[test]
fn the_line_of_uwsgi_is_that_of_uwsgi() {
    let said = line("uwsgi");
    let (before, after) = said.split_once(" [").unwrap();
    assert_eq!(before, "[pid: 77|app: 0|req: 2/5] 192.0.2.1 () {26 vars in 287 bytes}");
    let (_, after) = after.split_once("] ").unwrap();
    assert_eq!(
        after,
        "GET /a?b=\\\"1\\\" => generated 12 bytes in 1 msecs (HTTP/1.1 404) 2 headers in 64 bytes \
         (1 switches on core 0)"
    );
}

#[test]
fn json_stays_json_whatever_a_client_sends() {
    for format in ["json", "{\"agent\":\"%(uagent)\",\"uri\":\"%(uri)\",\"who\":\"%(who)\"}"] {
        let object: serde_json::Value = serde_json::from_str(&line(format)).unwrap();
        assert_eq!(object["uri"], "/a?b=\"1\"");
    }
    let object: serde_json::Value = serde_json::from_str(&line("json")).unwrap();
    assert_eq!(object["user_agent"], "say \"hi\" \\ there\n");
    assert_eq!((&object["status"], &object["complete"]), (&404.into(), &true.into()));
    assert!(object.get("referer").is_none());
}

#[test]
fn what_only_the_application_can_say_is_known_by_name() {
    assert_eq!(notes("%(uri) %(who) %(var.X) %(metric.y) %(status)"), ["who"]);
}
