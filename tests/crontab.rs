//! Commands at certain times. Which minute is whose is for the unit tests of `core::cron` and
//! `master::crontab`; here the next one comes.

use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::support::control::{setup, status, tell};
use crate::support::setup::Setup;
use crate::support::upgrade::{replaceable, upgrade};
use crate::support::wait;

/// In a zone where the next minute begins in about as many seconds: those of clocks are set by TZ, too.
fn shortly_before(seconds: u64, setup: Setup) -> Setup {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let ahead = (120 - seconds - now % 60) % 60;
    setup.variable("TZ", &format!("XXX-00:00:{ahead:02}"))
}

#[test]
fn when_the_minute_comes_commands_run_and_their_ends_are_told() {
    let lines = "cron-harakiri = 1\n\
                 cron = -1 -1 -1 -1 -1 echo \"$GREETING\"; exit 4\n\
                 unique-cron = -1 -1 -1 -1 -1 sleep 611\n\
                 cron2 = harakiri=0 tail -f /dev/null\n\
                 cron = 0 0 31 2 -1 never\n\
                 env = GREETING=hello from the clock\nstats = stats.sock";
    let mut server = shortly_before(6, setup(lines)).start();
    let begun = status(&server);
    assert_eq!(begun["crons"].as_array().unwrap().len(), 4);
    let limit = Duration::from_secs(180);
    let ended = wait::within(limit, || {
        let log = server.log();
        let told = "cron sleep: has not ended within 1 s (cron-harakiri";
        log.contains(told).then_some(())
    });
    assert!(ended.is_some(), "{}", server.log());
    server.wait_for_log("cron echo: hello from the clock", 1);
    server.wait_for_log("warning: cron echo: exited with code 4", 1);
    let status = status(&server);
    let cron = |at: usize| status["crons"][at].clone();
    assert!(cron(0)["runs"].as_u64() >= Some(1), "{status}");
    assert!(cron(2)["pid"].as_i64().is_some(), "{status}");
    assert_eq!((&cron(3)["runs"], &cron(3)["last_end"]), (&0.into(), &Value::Null));
    // A reload leaves alone who runs.
    tell(&server, &["reload"]);
    assert_eq!(self::status(&server)["crons"][2]["pid"], cron(2)["pid"]);
    let mut text = String::new();
    let path = server.place.join("stats.sock");
    let mut stream = std::os::unix::net::UnixStream::connect(path).unwrap();
    std::io::Read::read_to_string(&mut stream, &mut text).unwrap();
    let figures: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(figures["crons"][2]["pid"], cron(2)["pid"]);
    assert_eq!(
        (&figures["crons"][1]["unique"], &figures["crons"][3]["pid"]),
        (&1.into(), &(-1).into())
    );
    assert!(server.stop().success());
    server.wait_for_log("cron tail: was ended by signal 15 (SIGTERM)", 1);
}

#[test]
fn a_takeover_and_a_reload_before_the_minute_leave_out_nothing() {
    let many: String =
        (0..100).map(|n| format!("cron = -1 -1 -1 -1 -1 echo {n} >> out\n")).collect();
    let lines = format!("{many}cron = -1 -1 -1 -1 -1 echo not any more");
    let server = replaceable(shortly_before(12, setup(&lines))).start();
    upgrade(&server.place);
    let ini = server.place.read("app.ini");
    server
        .place
        .write("app.ini", &ini.replace("echo not any more", "echo instead; exec sleep 613"));
    tell(&server, &["reload"]);
    server.wait_for_log(" has taken over from ", 1);
    let out = wait::within(Duration::from_secs(180), || {
        let out = server.place.read("out");
        (out.lines().count() >= 100).then_some(out)
    });
    let out = out.unwrap_or_else(|| panic!("{}", server.log()));
    let mut numbers: Vec<u32> = out.lines().map(|line| line.parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..100).collect::<Vec<_>>());
    server.wait_for_log(": instead", 1);
    assert!(!server.log().contains("not any more"), "{}", server.log());
    server.get("/ok").expect(200);
    // One that runs ends with the instance, though it is not in the configuration any more.
    server.place.write("app.ini", &ini.replace("cron = ", "# "));
    tell(&server, &["reload"]);
    assert_eq!(status(&server)["crons"], Value::Array(Vec::new()));
    tell(&server, &["stop"]);
}

#[test]
fn what_cannot_be_is_shown_with_its_place() {
    let ended = Setup::new("cron = */5 * * * * run\ncron2 = second=1 run").run();
    ended.refuses(
        78,
        &[
            "error: app.ini:5:8: `cron = */5 * * * * run` has `*/5` where a number has to be",
            "write -1 for `*`, -5 for `*/5`",
            "error: app.ini:6:9: `cron2 = second=1 run` has `second`, which no time of cron has",
        ],
    );
}
