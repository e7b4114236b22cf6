//! What is a value, and what is none.

use super::*;
use proptest::prelude::*;

fn number_of(kind: Kind, text: &str) -> Result<u64, String> {
    match kind.parse(text) {
        Ok(Value::Number(number)) => Ok(number),
        Ok(other) => panic!("{other:?}"),
        Err(invalid) => Err(invalid.problem),
    }
}

const SIZE: Kind = Kind::Bytes { min: 1024, max: 1 << 20 };
const COUNT: Kind = Kind::Number { min: 1, max: 1024, unit: "things" };

#[test]
fn a_switch_is_on_or_off_and_nothing_else() {
    for text in ["", "true", "1", "yes", "on", "True", "ON"] {
        assert_eq!(Kind::Switch.parse(text), Ok(Value::Switch(true)), "{text}");
    }
    for text in ["false", "0", "no", "off", "False"] {
        assert_eq!(Kind::Switch.parse(text), Ok(Value::Switch(false)), "{text}");
    }
    for text in ["disabled", "2", "true ;", "ja"] {
        assert!(Kind::Switch.parse(text).is_err(), "{text}");
    }
    let quoted = Kind::Switch.parse("\"false\"").unwrap_err();
    assert!(quoted.help.unwrap().contains("quotes are part of the value"));
}

#[test]
fn numbers_have_a_range_and_no_tail() {
    assert_eq!(number_of(COUNT, "4"), Ok(4));
    assert_eq!(number_of(COUNT, "0"), Err("is less than 1".to_owned()));
    assert_eq!(number_of(COUNT, "1025"), Err("is more than 1024".to_owned()));
    assert_eq!(number_of(COUNT, ""), Err("has no value".to_owned()));
    for text in ["4.7", "-1", "+4", "four", "4 # x", "0x4", "true"] {
        assert_eq!(number_of(COUNT, text), Err("is not a whole number".to_owned()), "{text}");
    }
    assert_eq!(number_of(COUNT, "99999999999999999999"), Err("is too large".to_owned()));
}

#[test]
fn sizes_take_a_unit() {
    assert_eq!(number_of(SIZE, "65535"), Ok(65535));
    assert_eq!(number_of(SIZE, "64k"), Ok(65536));
    assert_eq!(number_of(SIZE, "1M"), Ok(1 << 20));
    assert_eq!(number_of(SIZE, "512"), Err("is less than 1024".to_owned()));
    assert_eq!(number_of(SIZE, "k"), Err("is not a whole number".to_owned()));
    let all = Kind::Bytes { min: 0, max: u64::MAX };
    assert_eq!(number_of(all, "99999999999999g"), Err("is too large".to_owned()));
}

#[test]
fn seconds_may_say_so_and_keepalive_is_also_a_switch() {
    assert_eq!(number_of(Kind::Seconds { min: 1, max: 90 }, "30s"), Ok(30));
    let keep = Kind::SecondsOrSwitch { max: 3600, on: 75 };
    for (text, seconds) in [("", 75), ("true", 75), ("1", 75), ("0", 0), ("off", 0), ("5", 5)] {
        assert_eq!(number_of(keep, text), Ok(seconds), "{text}");
    }
}

#[test]
fn modes_are_octal() {
    assert_eq!(number_of(Kind::Mode, "660"), Ok(0o660));
    assert_eq!(number_of(Kind::Mode, "0660"), Ok(0o660));
    for text in ["1", "rw", "888", "4755", "06600"] {
        assert!(number_of(Kind::Mode, text).is_err(), "{text}");
    }
    assert_eq!(number_of(Kind::SocketMode, "1"), Ok(0o666));
    assert_eq!(number_of(Kind::SocketMode, "600"), Ok(0o600));
    assert!(number_of(Kind::SocketMode, "2").is_err());
    assert_eq!(number_of(Kind::Mask, "22"), Ok(0o022));
    assert_eq!(number_of(Kind::Mask, "0"), Ok(0));
}

#[test]
fn users_and_groups_by_name_or_number() {
    assert_eq!(number_of(Kind::User, "root"), Ok(0));
    assert_eq!(number_of(Kind::Group, "1234"), Ok(1234));
    assert_eq!(Kind::Owner.parse("root:root"), Ok(Value::Owner(0, Some(0))));
    assert_eq!(Kind::Owner.parse("33"), Ok(Value::Owner(33, None)));
    assert_eq!(Kind::OwnerOrSwitch.parse("true"), Ok(Value::Switch(true)));
    assert_eq!(Kind::OwnerOrSwitch.parse("root"), Ok(Value::Owner(0, None)));
    let nobody = Kind::User.parse("no-such-user-here").unwrap_err();
    assert_eq!(nobody.problem, "names no user of this system");
    for text in ["root:", ":root", "4294967295"] {
        assert!(Kind::Owner.parse(text).is_err(), "{text}");
    }
}

#[test]
fn modules_and_callables() {
    let plain = Kind::Module.parse("book.wsgi").unwrap();
    assert_eq!(plain, Value::Module("book.wsgi".into(), None));
    let factory = Kind::Module.parse("book:make()").unwrap();
    assert_eq!(factory, Value::Module("book".into(), Some("make()".into())));
    let file = Kind::Module.parse("book/wsgi.py").unwrap_err();
    assert!(file.help.unwrap().contains("`wsgi-file = book/wsgi.py`"));
    for text in ["a..b", "a:", "a b", "a:1x", "a:b c", ".a"] {
        assert!(Kind::Module.parse(text).is_err(), "{text}");
    }
}

#[test]
fn peers_are_addresses_networks_or_kinds_of_socket() {
    let peers = |text: &str| match Kind::Network.parse(text) {
        Ok(Value::Peers(peers)) => peers,
        other => panic!("{other:?}"),
    };
    assert_eq!(peers("10.0.0.0/8"), Peers::Network("10.0.0.0/8".parse().unwrap()));
    assert_eq!(peers("10.0.0.1"), Peers::Network("10.0.0.1/32".parse().unwrap()));
    assert_eq!(peers("::1"), Peers::Network("::1/128".parse().unwrap()));
    assert_eq!((peers("unix"), peers("*")), (Peers::Unix, Peers::All));
    for text in ["10.0.0.0/33", "localhost", "10.0.0", "10.0.0.1:80"] {
        assert!(Kind::Network.parse(text).is_err(), "{text}");
    }
    let two = Kind::Network.parse("10.0.0.1, 10.0.0.2").unwrap_err();
    assert_eq!(two.help.as_deref(), Some("write one line for each"));
}

#[test]
fn words_are_known_and_in_any_case() {
    let kind = Kind::Words(&["one", "two"]);
    let both = Value::Words(vec!["two".into(), "one".into()]);
    assert_eq!(kind.parse("Two, one"), Ok(both));
    assert_eq!(
        kind.parse("one three").unwrap_err().problem,
        "has `three`, which is not known here"
    );
}

#[test]
fn variables_need_a_name() {
    let pair = Kind::Variable.parse("A=b=c # d").unwrap();
    assert_eq!(pair, Value::Variable("A".into(), "b=c # d".into()));
    assert!(Kind::Variable.parse("A").is_err());
    assert!(Kind::Variable.parse("=b").is_err());
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC*") {
        let kinds = [
            Kind::Switch, COUNT, SIZE, Kind::Mode, Kind::Mask, Kind::Path, Kind::Module,
            Kind::Callable, Kind::Variable, Kind::Choice(&["a"]), Kind::Name, Kind::Mapping,
            Kind::Pattern, Kind::Expiry, Kind::TypeExpiry, Kind::Cache,
            Kind::SecondsOrSwitch { max: 9, on: 5 },
        ];
        for kind in kinds {
            let _ = kind.parse(&text);
        }
    }
}
