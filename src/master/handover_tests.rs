use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::event::Event;
use crate::pause::Until;
use crate::state::WorkerPhase;
use crate::team::Plan;

/// What version 0.1.0 has handed over.
const FIRST: &str = include_str!("handover_0.1.0.json");

fn plan(processes: u32) -> Plan {
    Plan::fixed(processes, Duration::from_secs(60))
}

fn sample(state: State) -> Handover {
    let kept = |address: &str, file: Option<&str>| Kept {
        place: (address.parse().unwrap(), 0),
        ours: true,
        file: file.map(PathBuf::from),
        id: None,
        stored: false,
    };
    let mut history = History::default();
    history.note(2, "it is old", Duration::from_secs(70));
    history.begin(1, scoreboard::Counters::default());
    let worker = |pid, channel| Worker { pid, channel, killed: false, hook: Some(pid + 1) };
    Handover {
        format: FORMAT,
        version: "0.1.0".into(),
        layout: scoreboard::LAYOUT,
        descriptors: vec![3, 5, 6, 8, 9, 11, 12, 13, 14, 15, 16, 17, 18],
        context: Context {
            cwd: "/srv".into(),
            inherited: vec!["http".into()],
            ..Context::default()
        },
        config: serde_json::json!({"name": "shop"}),
        python: "/usr/bin/python3".into(),
        inherited: vec![("http".into(), 3)],
        listeners: vec![
            (kept("127.0.0.1:80", None), 6),
            (kept("/run/shop.sock", Some("/run/shop.sock")), 5),
        ],
        stored: Vec::new(),
        ledger: None,
        scoreboard: 9,
        slots: 4096,
        commons: None,
        schedules: Schedules::default(),
        caches: Vec::new(),
        foreign_stores: Vec::new(),
        pidfile: Some(("/run/shop.pid".into(), 11)),
        log: Some(8),
        control: Some(("/run/rwsgi/shop/control".into(), 12, 13)),
        stats: None,
        tickets: [(3, vec![16]), (4, vec![])].into(),
        last_ticket: 4,
        reload: vec![4],
        fifos: vec!["/run/shop.fifo".into()],
        fifo: Some((0, 17)),
        outputs: vec![Output {
            source: Source::Worker(1, 1),
            pipe: 18,
            text: b"half a line".to_vec(),
        }],
        state,
        templates: [(
            1,
            Template { pid: 70, channel: 14, version: "3.11.2".into(), hook: Some(71) },
        )]
        .into(),
        workers: [(1, worker(71, 15))].into(),
        began: Duration::from_millis(86_400_250),
        trouble: Some("the application cannot be imported".into()),
        history,
        beside: Beside::default(),
        stdin: Some(b"[uwsgi]\n".to_vec()),
    }
}

/// An instance with two workers of which the second leaves and has a successor, and whose first waits
/// for its own; of which somebody wants three, and others new ones and a pause.
fn busy() -> State {
    let at = Duration::from_secs;
    let (mut state, _) = State::start(plan(2), at(0));
    let events = [
        Event::Imported(1),
        Event::WorkerReady(1),
        Event::WorkerReady(2),
        Event::Retire(2, "it is old".into()),
        Event::WorkerReady(3),
        Event::Retire(1, "it is old".into()),
        Event::TemplateGone(1, "was killed".into()),
        Event::ReloadWorkers(Some(1)),
        Event::Scale(3, 2),
        Event::Pause(Some((3, Until::Drained))),
        Event::WorkerPaused(3, 1, 5),
    ];
    for (second, event) in events.into_iter().enumerate() {
        state.step(event, plan(2), at(second as u64));
    }
    state
}

#[test]
fn what_every_version_has_handed_over_is_read_for_ever() {
    // When something is added, it gets `#[serde(default)]`, and the record stays as it is. A further
    // record is made when a version is released: RWSGI_RECORD=FILE cargo test handover
    if let Some(path) = std::env::var_os("RWSGI_RECORD") {
        let text = serde_json::to_string_pretty(&sample(busy())).unwrap();
        std::fs::write(path, format!("{text}\n")).unwrap();
    }
    let handover = Handover::read(FIRST).unwrap();
    let phases: Vec<_> = handover.state.workers().values().map(|worker| worker.phase).collect();
    let draining = WorkerPhase::Draining(Duration::from_secs(69));
    assert_eq!(phases, [WorkerPhase::Ready, draining, WorkerPhase::Ready, WorkerPhase::Starting]);
    assert_eq!(handover.listeners, sample(busy()).listeners);
    assert_eq!(handover.began, sample(busy()).began);
}

#[test]
fn what_an_older_version_needs_is_still_written() {
    let recorded: serde_json::Value = serde_json::from_str(FIRST).unwrap();
    let written = serde_json::to_value(Handover::read(FIRST).unwrap()).unwrap();
    assert_has_all_of(&written, &recorded, "");
}

fn assert_has_all_of(written: &serde_json::Value, recorded: &serde_json::Value, place: &str) {
    if let (Some(written), Some(recorded)) = (written.as_object(), recorded.as_object()) {
        for (key, value) in recorded {
            let place = format!("{place}.{key}");
            let found = written.get(key).unwrap_or_else(|| panic!("{place} is not written"));
            assert_has_all_of(found, value, &place);
        }
    } else if let (Some(written), Some(recorded)) = (written.as_array(), recorded.as_array()) {
        assert_eq!(written.len(), recorded.len(), "{place}");
        for (index, (written, recorded)) in written.iter().zip(recorded).enumerate() {
            assert_has_all_of(written, recorded, &format!("{place}[{index}]"));
        }
    } else {
        assert_eq!(written, recorded, "{place}");
    }
}

#[test]
fn what_a_newer_version_adds_is_ignored() {
    let mut value: serde_json::Value = serde_json::from_str(FIRST).unwrap();
    value["weather"] = "fine".into();
    value["state"]["weather"] = "fine".into();
    value["workers"]["1"]["weather"] = "fine".into();
    assert_eq!(Handover::read(&value.to_string()).unwrap(), Handover::read(FIRST).unwrap());
}

#[test]
fn another_format_or_layout_is_refused_with_both_versions() {
    let refusal = |key: &str, number: u32| {
        let mut value: serde_json::Value = serde_json::from_str(FIRST).unwrap();
        value["version"] = "9.8.7".into();
        value[key] = number.into();
        Handover::read(&value.to_string()).unwrap_err()
    };
    let format = refusal("format", FORMAT + 1);
    assert!(
        format.contains("from rwsgi 9.8.7 while it runs: it hands over in format 2"),
        "{format}"
    );
    let layout = format!("a scoreboard of layout 77, not {}", scoreboard::LAYOUT);
    assert!(refusal("layout", 77).contains(&layout));
    assert!(Handover::read("{}").unwrap_err().contains("is damaged"));
    assert!(Handover::read("").is_err());
}

#[test]
fn the_variable_is_for_one_process_only() {
    assert_eq!(number("7:12", 7), Some(12));
    assert_eq!(number("7:12", 8), None);
    assert_eq!(number("7", 7), None);
    assert_eq!(number("7:x", 7), None);
}

#[test]
fn what_is_sealed_is_read_back_and_nobody_changes_it() {
    let handover = sample(busy());
    let memory = handover.seal().unwrap();
    use std::os::fd::AsRawFd as _;
    let path = PathBuf::from(format!("/proc/self/fd/{}", memory.as_raw_fd()));
    assert_eq!(Handover::read(&super::memory(&path).unwrap()).unwrap(), handover);
    assert!(File::from(memory).write_all(b"x").is_err());
    let other = tempfile::tempfile().unwrap();
    let path = PathBuf::from(format!("/proc/self/fd/{}", other.as_raw_fd()));
    assert!(super::memory(&path).is_err(), "any file will do");
}

fn event() -> impl Strategy<Value = Event> {
    let key = 1..12_u64;
    prop_oneof![
        (1..3_u64).prop_map(Event::Imported),
        (1..3_u64).prop_map(|generation| Event::TemplateGone(generation, "left".into())),
        key.clone().prop_map(Event::WorkerReady),
        key.clone().prop_map(Event::WorkerDraining),
        key.clone().prop_map(|key| Event::Retire(key, "it is old".into())),
        key.clone().prop_map(|key| Event::WorkerExited(key, crate::reap::Exit::Code(0))),
        Just(Event::Reload(None)),
        Just(Event::ReloadWorkers(Some(1))),
        (0..5_u32).prop_map(|workers| Event::Want(workers, "load".into())),
        (1..5_u32).prop_map(|workers| Event::Scale(workers, 2)),
        Just(Event::Pause(Some((3, Until::Drained)))),
        (key, 0..2_u64).prop_map(|(key, running)| Event::WorkerPaused(key, 1, running)),
        Just(Event::Resume(None)),
        Just(Event::Tick),
    ]
}

proptest! {
    /// Whatever has happened: the new program does what the old one would have done.
    #[test]
    fn a_state_that_was_handed_over_goes_on_as_if_nothing_had_been(
        before in prop::collection::vec((event(), 0..5_000_u64), 0..40),
        after in prop::collection::vec((event(), 0..5_000_u64), 0..20),
    ) {
        let (mut state, _) = State::start(plan(3), Duration::ZERO);
        let mut now = Duration::ZERO;
        for (event, millis) in before {
            now += Duration::from_millis(millis);
            state.step(event, plan(3), now);
        }
        let text = serde_json::to_string(&state).unwrap();
        let mut other: State = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&other, &state);
        for (event, millis) in after {
            now += Duration::from_millis(millis);
            let expected = state.step(event.clone(), plan(3), now);
            prop_assert_eq!(other.step(event, plan(3), now), expected);
        }
    }
}
