use std::path::PathBuf;

use rwsgi_core::config::service::service as read;
use rwsgi_core::config::{Argument, Context, Sources, raw::RawOption};

use super::*;

/// What these lines of /etc/rwsgi/shop.ini ask for.
fn wanted(lines: &[&str]) -> Service {
    let options = lines.iter().enumerate().map(|(index, line)| {
        let (key, value) = line.split_once('=').unwrap();
        Argument::Option(RawOption::argument(key, value, index, line))
    });
    let sources = Sources { arguments: options.collect(), ..Sources::default() };
    let context = Context { cwd: PathBuf::from("/var/lib/rwsgi/shop"), ..Context::default() };
    read(&sources, &context).unwrap()
}

fn drop_in(lines: &[&str]) -> String {
    service("shop", &wanted(lines), &Account::default())
}

#[test]
fn an_ordinary_instance_needs_no_drop_in() {
    let lines =
        ["http=127.0.0.1:8000", "chdir=/not/mounted/yet", "module=shop.wsgi", "harakiri=60"];
    assert_eq!(drop_in(&lines), "");
    assert_eq!(socket(&wanted(&lines)), "");
}

#[test]
fn a_unit_is_as_its_ini_file_says() {
    let lines = [
        "http=127.0.0.1:8000",
        "max-connections=50000",
        "memory-high=800m",
        "memory-max=1g",
        "cpu-quota=150",
        "tasks-max=512",
    ];
    let account =
        Account { user: Some("shop".into()), group: Some("www-data".into()), hides_homes: true };
    let expected = "\
# From the INI file of the instance, by rwsgi-generator(8).

[Service]
User=shop
Group=www-data
ProtectHome=yes
LimitNOFILE=104096
MemoryHigh=838860800
MemoryMax=1073741824
CPUQuota=150%
TasksMax=512
";
    assert_eq!(service("shop", &wanted(&lines), &account), expected);
}

#[test]
fn a_port_below_1024_comes_from_systemd() {
    let wanted = wanted(&["http=0.0.0.0:80", "http=[::]:80", "listen=100"]);
    let expected = "\
# From the INI file of the instance, by rwsgi-generator(8).

[Socket]
ListenStream=
ListenStream=0.0.0.0:80
ListenStream=[::]:80
Backlog=100
SocketMode=0660
BindIPv6Only=ipv6-only
NoDelay=yes
DeferAcceptSec=1
";
    assert_eq!(socket(&wanted), expected);
    let service = service("shop", &wanted, &Account::default());
    let unit = "[Unit]\nRequires=rwsgi@shop.socket\nAfter=rwsgi@shop.socket\n";
    assert!(service.ends_with(unit), "{service}");
}

#[test]
fn unix_sockets_of_systemd_have_mode_and_owner_of_the_ini_file() {
    let text = socket(&wanted(&[
        "socket-activation=true",
        "socket=/run/100%/s",
        "http=@shop",
        "chmod-socket=600",
        "chown-socket=33:34",
    ]));
    for line in ["/run/100%%/s", "@shop"] {
        assert!(text.contains(&format!("\nListenStream={line}\n")), "{text}");
    }
    assert!(text.contains("SocketMode=0600\nSocketUser=33\nSocketGroup=34\n"), "{text}");
    assert!(!text.contains("NoDelay"), "{text}");
}

#[test]
fn what_systemd_cannot_open_the_master_opens() {
    let lines = ["socket-activation=true", "http=127.0.0.1:0", "http=systemd:other"];
    assert_eq!(socket(&wanted(&lines)), "");
    assert_eq!(drop_in(&lines), "");
}

#[test]
fn directories_of_files_that_it_makes_are_opened_and_no_others() {
    let text = drop_in(&[
        "http=/run/sites/shop.sock",
        "pidfile=shop.pid",
        "stats=/run/figures/shop.sock",
        "master-fifo=/run/rwsgi/shop/fifo",
        "control-socket=/run/rwsgi/other/control",
        "logto=/var/log/a \"b\" %%/shop.log",
    ]);
    let paths: Vec<_> =
        text.lines().filter_map(|line| line.strip_prefix("ReadWritePaths=")).collect();
    let expected = [
        "\"-/run/figures\"",
        "\"-/run/rwsgi/other\"",
        "\"-/run/sites\"",
        r#""-/var/log/a \"b\" %%%%""#,
    ];
    assert_eq!(paths, expected);
}

#[test]
fn a_file_in_the_root_opens_nothing() {
    assert_eq!(drop_in(&["http=127.0.0.1:8000", "pidfile=/shop.pid"]), "");
}

#[test]
fn what_would_be_another_line_of_the_unit_is_refused() {
    for line in ["socket=/run/x\nUser=root/s", "socket=/run/x\\", "http=@x\u{1b}"] {
        let wanted = wanted(&["socket-activation=true", line]);
        assert!(inexpressible("shop", &wanted).is_some(), "{line}");
    }
    let wanted = wanted(&["http=:8000", "logto=/var/log/x\n[Service]\nUser=root/a.log"]);
    assert!(inexpressible("shop", &wanted).is_some());
    assert_eq!(inexpressible("shop", &self::wanted(&["http=/run/a \"b\" \u{fc}/s"])), None);
}
