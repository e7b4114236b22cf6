//! Signals of the uwsgi module: handlers, and what sends them.

use crate::support::server::Server;
use crate::support::setup::Setup;
use crate::support::wait;

const HEAD: &str = "
import os
import threading
import uwsgi
import uwsgidecorators

def note(what):
    with open('noted', 'a') as file:
        file.write('%s\\n' % what)

def raising(call, *arguments):
    try:
        return call(*arguments)
    except Exception as error:
        return '%s: %s' % (type(error).__name__, error)

def application(environ, start_response):
    start_response('200 OK', [])
    return [str(eval(environ['PATH_INFO'].strip('/'), globals())).encode()]
";

fn start(lines: &str, app: &str) -> Server {
    Setup::new(lines).app(&format!("{HEAD}{app}")).start()
}

fn wait_for(server: &Server, lines: &[&str]) {
    let mut noted: Vec<String> = Vec::new();
    let arrived = || {
        noted = server.place.read("noted").lines().map(str::to_owned).collect();
        noted.sort();
        lines.iter().all(|line| noted.iter().any(|one| one == line)).then_some(())
    };
    wait::until("the handlers", arrived);
    assert!(noted.len() >= lines.len());
}

fn ask(server: &Server, what: &str) -> String {
    server.get(&format!("/{what}")).expect(200).text()
}

#[test]
fn a_signal_is_handled_where_its_target_says() {
    let app = "
for number, target in [(1, 'workers'), (2, 'worker2'), (3, '')]:
    uwsgi.register_signal(number, target, lambda signum: note('%d in %d' % (signum, uwsgi.worker_id())))
";
    for lines in ["processes=2", "processes=2\nlazy-apps=true"] {
        let server = start(lines, app);
        ask(&server, "uwsgi.signal(1)");
        wait_for(&server, &["1 in 1", "1 in 2"]);
        ask(&server, "uwsgi.signal(2)");
        wait_for(&server, &["2 in 2"]);
        ask(&server, "uwsgi.signal(3)");
        wait::until("it", || server.place.read("noted").contains("3 in").then_some(()));
        let noted = server.place.read("noted");
        assert_eq!((noted.matches("2 in").count(), noted.matches("3 in").count()), (1, 1));
    }
}

#[test]
fn a_signal_that_is_sent_during_the_import_waits_for_workers() {
    let app = "
@uwsgidecorators.signal(9)
def nine(number):
    note('nine in %s' % threading.current_thread().name)

uwsgi.signal(9)
";
    wait_for(&start("", app), &["nine in rwsgi-signals"]);
}

#[test]
fn timers_send_until_they_have_and_a_reload_makes_them_anew() {
    let app = "
@uwsgidecorators.timer(1)
def forever(number):
    note('forever by %d' % os.getpid())

uwsgi.register_signal(77, 'workers', lambda number: note('twice'))
uwsgi.add_rb_timer(77, 1, 2)
";
    for lines in ["processes=2", "processes=2\nlazy-apps=true"] {
        let server = start(lines, app);
        let count = |text: &str| server.place.read("noted").matches(text).count();
        wait::until("timers", || (count("forever") >= 4 && count("twice") >= 4).then_some(()));
        assert_eq!(count("twice"), 4, "twice in two workers");
        server.reload(1);
        let workers = server.workers();
        let by_new = |pid: &i32| count(&format!("forever by {pid}"));
        wait::until("new", || (workers.iter().map(by_new).sum::<usize>() > 0).then_some(()));
        wait::until("anew", || (count("twice") == 8).then_some(()));
    }
}

#[test]
fn a_handler_that_takes_long_holds_up_neither_requests_nor_piles_up() {
    let app = "
@uwsgidecorators.timer(1)
def slow(number):
    note('begins')
    with open('gate') as gate:
        gate.read()
    note('ends')
";
    let setup = Setup::new("").app(&format!("{HEAD}{app}"));
    nix::unistd::mkfifo(&setup.place.join("gate"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut server = setup.start();
    wait_for(&server, &["begins"]);
    assert_eq!(ask(&server, "1+1"), "2");
    server.signal(nix::sys::signal::Signal::SIGTERM);
    server.wait_for_log("stopping", 1);
    server.place.write("gate", "");
    assert_eq!(server.wait().code(), Some(0));
    assert_eq!(
        server.place.read("noted"),
        "begins\nends\n",
        "it was finished, and not begun again"
    );
}

#[test]
fn a_file_that_changes_sends_a_signal() {
    let app = "
@uwsgidecorators.filemon('watched', target='workers')
def changed(number):
    note('changed in %d' % uwsgi.worker_id())
";
    let server = start("processes=2", app);
    server.place.write("watched", "x");
    wait_for(&server, &["changed in 1", "changed in 2"]);
}

#[test]
fn a_handler_that_raises_is_told_and_the_next_is_called() {
    let app = "
@uwsgidecorators.signal(1)
def bad(number):
    raise KeyError('bad handler')

@uwsgidecorators.signal(2)
def good(number):
    note('good')
";
    let server = start("", app);
    ask(&server, "(uwsgi.signal(1),uwsgi.signal(2))");
    wait_for(&server, &["good"]);
    server.wait_for_log("the handler of signal 1: KeyError: 'bad handler'", 1);
    ask(&server, "uwsgi.signal(200)");
    server.wait_for_log("signal 200 of the uwsgi module has no handler", 1);
    let told =
        ask(&server, "[(one['signals']) for one in uwsgi.workers()]".replace(' ', "%20").as_str());
    assert_eq!(told, "[2]");
}

#[test]
fn what_cannot_be_is_refused_where_it_is_asked_for() {
    let server = start("", "");
    for (what, text) in [
        (
            "raising(uwsgi.register_signal,1,'mule',print)",
            "NotImplementedError: target \"mule\": there are no mules",
        ),
        (
            "raising(uwsgi.register_signal,1,'nobody',print)",
            "ValueError: target \"nobody\": it is one of",
        ),
        ("raising(uwsgi.register_signal,256,'',print)", "ValueError: 256 is no signal: 0 to 255"),
        ("raising(uwsgi.register_signal,1,'',1)", "TypeError: the handler of a signal"),
        ("raising(uwsgi.add_timer,1,0)", "ValueError: 0 is no interval"),
        ("raising(uwsgi.add_cron,1,0,24,-1,-1,-1)", "ValueError: uwsgi.add_cron(): 24 is no hour"),
        ("uwsgi.add_cron(1,0,3,-1,-1,-1)", "True"),
        ("(uwsgi.signal_registered(1),uwsgidecorators.get_free_signal())", "(None, 0)"),
    ] {
        let told = ask(&server, what);
        assert!(told.starts_with(text), "{told}");
    }
}

#[test]
fn what_goes_wrong_with_each_signal_is_told_once_and_harms_no_other() {
    let app = "
uwsgi.register_signal(1, 'worker', lambda signum: note('one'))
uwsgi.register_signal(9, 'worker9', lambda signum: note('nine'))
";
    let server = start("", app);
    for number in [9, 200] {
        for _ in 0..12 {
            ask(&server, &format!("[raising(uwsgi.signal,{number})for(i)in(range(100))]"));
        }
    }
    ask(&server, "uwsgi.signal(1)");
    wait_for(&server, &["one"]);
    server.wait_for_log("signal 200 of the uwsgi module has no handler", 1);
    server.wait_for_log("signal 9 of the uwsgi module is lost: 100 of that number wait", 1);
    for told in ["signal 200 of", "signal 9 of"] {
        assert_eq!(server.log().matches(told).count(), 1, "{}", server.log());
    }
}

#[test]
fn who_registers_again_what_all_have_takes_it_from_nobody() {
    let app = "
uwsgi.register_signal(1, 'workers', lambda signum: note('in %d' % uwsgi.worker_id()))
anew = lambda signum: note('anew')
";
    let server = start("processes=2", app);
    ask(&server, "uwsgi.register_signal(1,'workers',anew)");
    ask(&server, "uwsgi.signal(1)");
    wait::until("both workers", || {
        let noted = server.place.read("noted");
        (noted.contains("anew") && noted.contains("in ")).then_some(())
    });
}

#[test]
fn a_timer_that_has_ended_can_be_had_again() {
    let app = "uwsgi.register_signal(1, '', lambda signum: note('once'))";
    let server = start("processes=2", app);
    for times in 1..=2 {
        ask(&server, "uwsgi.add_rb_timer(1,1,1)");
        wait::until("the timer", || {
            (server.place.read("noted").matches("once").count() == times).then_some(())
        });
    }
}
