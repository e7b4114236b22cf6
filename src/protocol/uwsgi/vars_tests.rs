//! Packets as nginx sends them, and as nobody should.

use super::*;
use crate::uwsgi::WSGI;
use proptest::prelude::*;

const LIMITS: Limits = Limits { packet: 65535, variables: 128 };

fn encode<N: AsRef<[u8]>, V: AsRef<[u8]>>(variables: &[(N, V)]) -> Vec<u8> {
    let mut packet = Vec::new();
    for (name, value) in variables {
        for text in [name.as_ref(), value.as_ref()] {
            packet.extend(u16::try_from(text.len()).unwrap().to_le_bytes());
            packet.extend(text);
        }
    }
    packet
}

fn vars(variables: &[(&str, &str)]) -> Vars {
    Vars::new(encode(variables).into(), LIMITS).unwrap()
}

fn refusal(packet: &[u8]) -> UwsgiError {
    Vars::new(Bytes::copy_from_slice(packet), LIMITS).unwrap_err()
}

fn length(text: &str) -> Result<u64, UwsgiError> {
    vars(&[("CONTENT_LENGTH", text)]).content_length()
}

#[test]
fn of_two_variables_with_one_name_the_last_counts() {
    let vars = vars(&[("A", "1"), ("B", ""), ("A", "2")]);
    assert_eq!(vars.get(b"A"), Some(&b"2"[..]));
    assert_eq!(vars.get(b"B"), Some(&b""[..]));
    assert_eq!(vars.get(b"C"), None);
    assert_eq!(vars.iter().len(), 3);
}

#[test]
fn lengths_that_do_not_fit_are_refused_with_their_place() {
    let good = encode(&[("A", "1"), ("BC", "23")]);
    assert_eq!(good.len(), 14);
    let places = [(13, 10), (11, 10), (10, 10), (9, 6), (7, 6), (5, 3), (4, 3), (2, 0), (1, 0)];
    for (cut, at) in places {
        assert_eq!(refusal(&good[..cut]), UwsgiError::Inconsistent { at }, "{cut}");
    }
    assert_eq!(refusal(&[255, 255, b'A']), UwsgiError::Inconsistent { at: 0 });
}

#[test]
fn a_variable_without_a_name_is_refused() {
    assert_eq!(refusal(&encode(&[("A", "1"), ("", "x")])), UwsgiError::EmptyKey { at: 6 });
    assert_eq!(refusal(b""), UwsgiError::EmptyPacket);
}

#[test]
fn the_number_of_variables_is_bounded() {
    let packet = |count| Bytes::from(encode(&vec![("A", "1"); count]));
    assert!(Vars::new(packet(128), LIMITS).is_ok());
    let error = Vars::new(packet(129), LIMITS).unwrap_err();
    assert_eq!(error, UwsgiError::TooManyVariables { limit: 128 });
}

#[test]
fn offsets_never_exceed_what_they_are_counted_with() {
    let limits = Limits { packet: 1 << 20, variables: 128 };
    let packet = |value: usize| Bytes::from(encode(&[("A", &*"x".repeat(value)), ("B", "yz")]));
    let whole = Vars::new(packet(65535 - 5 - 7), limits).unwrap();
    assert_eq!(whole.get(b"B"), Some(&b"yz"[..]));
    let error = Vars::new(packet(65535 - 5 - 7 + 1), limits).unwrap_err();
    assert_eq!(error, UwsgiError::TooLarge { size: 65536, limit: 65535 });
}

#[test]
fn variables_that_load_code_or_speak_for_the_server_never_reach_the_environ() {
    let vars = vars(&[
        ("UWSGI_FILE", "/tmp/evil.py"),
        ("UWSGI_SETENV", "PYTHONPATH=/tmp"),
        ("UWSGI_SCHEME", "https"),
        ("wsgi.input", "x"),
        ("HTTP_PROXY", "http://evil"),
        ("HTTP_A B", "x"),
        ("HTTP_\u{e9}", "x"),
        ("HTTP_\n", "x"),
        ("PATH_INFO", "/"),
        ("HTTP_PROXY_AUTHORIZATION", "x"),
    ]);
    let names: Vec<&[u8]> = vars.environ().map(|(name, _)| name).collect();
    assert_eq!(names, [&b"PATH_INFO"[..], b"HTTP_PROXY_AUTHORIZATION"]);
    assert_eq!(vars.scheme(), Scheme::Https);
}

#[test]
fn a_missing_or_empty_length_means_no_body() {
    assert_eq!(vars(&[("A", "1")]).content_length(), Ok(0));
    assert_eq!(length(""), Ok(0));
    assert_eq!(length("0012"), Ok(12));
    assert_eq!(length("18446744073709551615"), Ok(u64::MAX));
}

#[test]
fn a_length_that_is_no_number_is_refused() {
    for text in ["+1", "-1", " 1", "1 ", "1,1", "0x1", "1.0", "\u{661}"] {
        assert_eq!(length(text), Err(UwsgiError::BadLength), "{text}");
    }
    for text in ["18446744073709551616", "99999999999999999999", "184467440737095516150"] {
        assert_eq!(length(text), Err(UwsgiError::BadLength), "{text}");
    }
}

#[test]
fn a_method_is_a_token() {
    assert_eq!(vars(&[("REQUEST_METHOD", "PROPFIND")]).method().unwrap().as_str(), "PROPFIND");
    for text in ["", "GET /", "G\u{e9}T"] {
        assert_eq!(vars(&[("REQUEST_METHOD", text)]).method(), Err(UwsgiError::BadMethod));
    }
    assert_eq!(vars(&[("A", "1")]).method(), Err(UwsgiError::BadMethod));
}

#[test]
fn modifier_30_takes_the_mount_point_off_the_path_at_a_slash_only() {
    let below = |mount, path| {
        let vars = vars(&[("SCRIPT_NAME", mount), ("PATH_INFO", path)]);
        assert_eq!(vars.path_info(WSGI), path.as_bytes());
        String::from_utf8(vars.path_info(WSGI_MOUNTED).to_vec()).unwrap()
    };
    assert_eq!(below("/app", "/app/x"), "/x");
    assert_eq!(below("/app/", "/app/x"), "/x");
    assert_eq!(below("/app", "/app"), "");
    assert_eq!(below("/app", "/application"), "/application");
    assert_eq!(below("/app", "/other/app"), "/other/app");
    assert_eq!(below("", "/x"), "/x");
    assert_eq!(below("/", "/x"), "/x");
    assert_eq!(below("/", "*"), "*");
}

#[test]
fn the_target_is_told_even_when_it_was_not_sent() {
    assert_eq!(&*vars(&[("REQUEST_URI", "/%61?b")]).uri(), b"/%61?b");
    let told = [("SCRIPT_NAME", "/a"), ("PATH_INFO", "/b"), ("QUERY_STRING", "c=d")];
    assert_eq!(&*vars(&told).uri(), b"/a/b?c=d");
    assert_eq!(&*vars(&told[..2]).uri(), b"/a/b");
}

#[test]
fn the_scheme_is_what_the_proxy_says_first() {
    let scheme = |variables: &[(&str, &str)]| vars(variables).scheme();
    assert_eq!(scheme(&[("A", "1")]), Scheme::Http);
    assert_eq!(scheme(&[("HTTPS", "on")]), Scheme::Https);
    assert_eq!(scheme(&[("HTTPS", "1")]), Scheme::Https);
    assert_eq!(scheme(&[("HTTPS", "off"), ("REQUEST_SCHEME", "http")]), Scheme::Http);
    assert_eq!(scheme(&[("HTTPS", ""), ("REQUEST_SCHEME", "https")]), Scheme::Https);
    assert_eq!(scheme(&[("HTTPS", "on"), ("UWSGI_SCHEME", "http")]), Scheme::Http);
    assert_eq!(scheme(&[("HTTPS", "on"), ("UWSGI_SCHEME", "gopher")]), Scheme::Https);
}

proptest! {
    #[test]
    fn what_is_encoded_comes_back(
        variables in prop::collection::vec(
            (prop::collection::vec(any::<u8>(), 1..40), prop::collection::vec(any::<u8>(), 0..300)),
            1..128,
        ),
    ) {
        let vars = Vars::new(encode(&variables).into(), LIMITS).unwrap();
        let back: Vec<_> = vars.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        for (name, _) in &variables {
            let last = variables.iter().rfind(|(one, _)| one == name).map(|(_, value)| &value[..]);
            prop_assert_eq!(vars.get(name), last);
        }
        prop_assert_eq!(back, variables);
    }

    #[test]
    fn whatever_is_accepted_is_the_packet_and_nothing_else(packet: Vec<u8>) {
        if let Ok(vars) = Vars::new(packet.clone().into(), LIMITS) {
            let again: Vec<_> = vars.iter().collect();
            prop_assert_eq!(encode(&again), packet);
            prop_assert!(vars.environ().count() <= again.len());
        }
    }

    #[test]
    fn modifier_30_only_ever_takes_the_mount_point(mount in "[/a]{0,6}", path in "[/a]{0,12}") {
        let vars = vars(&[("SCRIPT_NAME", &mount), ("PATH_INFO", &path)]);
        let below = vars.path_info(WSGI_MOUNTED);
        prop_assert!(path.as_bytes().ends_with(below));
        let taken = &path[..path.len() - below.len()];
        prop_assert!(taken.is_empty() || taken == mount.trim_end_matches('/'));
    }
}
