//! How many workers an administrator gets.

use super::super::Config;
use super::super::error::{ConfigError, Warning};
use super::super::load::{Argument, Sources, load};
use super::super::raw::RawOption;
use super::*;

fn load_with(words: &str, inherited: &[&str]) -> Result<(Config, Vec<Warning>), Vec<ConfigError>> {
    let argument = |word: &str| {
        let (key, value) = word.split_once('=').unwrap();
        Argument::Option(RawOption::argument(key, value, key.len() + 3, &format!("--{word}")))
    };
    let words = ["http=127.0.0.1:0 module=shop", words].join(" ");
    let arguments = words.split_ascii_whitespace().map(argument).collect();
    let inherited = inherited.iter().map(|&name| name.to_owned()).collect();
    let context = Context { cwd: "/".into(), inherited, ..Context::default() };
    load(&Sources { arguments, ..Sources::default() }, &context)
}

fn config(words: &str) -> Config {
    let (config, warnings) = load_with(words, &[]).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    config
}

fn warning(words: &str) -> String {
    let (_, warnings) = load_with(words, &[]).unwrap();
    let [one] = &warnings[..] else { panic!("{warnings:?}") };
    one.to_string()
}

fn error(words: &str) -> String {
    let errors = load_with(words, &[]).unwrap_err();
    let [one] = &errors[..] else { panic!("{errors:?}") };
    one.to_string()
}

#[test]
fn auto_is_what_the_machine_has_and_says_why() {
    let config = config("processes=auto threads=auto");
    let cpus = cpus::available();
    assert_eq!((config.processes, config.threads), (cpus.count, AUTO_THREADS));
    let found = format!("processes = auto: {} ({})", cpus.count, cpus.reason);
    assert_eq!(config.sizing.found, [found, "threads = auto: 4".to_owned()]);
    assert!(error("processes=many").contains("from 1 to 2048, or `auto`"));
}

#[test]
fn without_cheaper_the_number_of_workers_stays() {
    let sizing = config("processes=4").sizing;
    assert_eq!(sizing, Sizing::default());
    let warning = warning("processes=4 cheaper-step=2");
    assert!(warning.contains("`cheaper-step = 2` has no effect without `cheaper`"), "{warning}");
}

#[test]
fn cheaper_is_the_fewest_and_begins_with_as_many() {
    let cheaper = config("processes=8 cheaper=2").sizing.cheaper.unwrap();
    assert_eq!((cheaper.least, cheaper.initial, cheaper.step), (2, 2, 1));
    let patience = Duration::from_secs(3);
    assert_eq!(cheaper.algorithm, Algorithm::Spare { spares: 1, patience });
    let words = "processes=8 cheaper=2 cheaper-initial=4 cheaper-step=3 cheaper-algo=spare2 cheaper-idle=60";
    let cheaper = config(words).sizing.cheaper.unwrap();
    assert_eq!((cheaper.least, cheaper.initial, cheaper.step), (2, 4, 3));
    let patience = Duration::from_secs(60);
    assert_eq!(cheaper.algorithm, Algorithm::Spare { spares: 2, patience });
}

#[test]
fn numbers_that_contradict_each_other_are_refused() {
    for cheaper in [4, 5] {
        let error = error(&format!("processes=4 cheaper={cheaper}"));
        assert!(error.contains("is not fewer than `processes`, which is 4"), "{error}");
    }
    for initial in [1, 5] {
        let error = error(&format!("processes=4 cheaper=2 cheaper-initial={initial}"));
        assert!(error.contains("a number from 2, `cheaper`, to 4, `processes`"), "{error}");
    }
    let busy = "processes=4 cheaper=1 cheaper-algo=busyness cheaper-busyness-min=60";
    assert!(error(busy).contains("60, is not less than `cheaper-busyness-max`, which is 50"));
    // What is right on one machine is no error on a smaller one.
    assert!(warning("processes=auto cheaper=2047").contains("is not fewer than `processes`"));
}

#[test]
fn an_end_that_nobody_undoes_is_warned_of() {
    assert!(warning("die-on-idle=true").contains("no effect without `idle`"));
    assert!(warning("die-on-idle=true idle=60").contains("nothing will start the instance again"));
    let (config, warnings) = load_with("die-on-idle=true idle=60", &["http"]).unwrap();
    assert!(warnings.is_empty() && config.sizing.die_on_idle);
    assert_eq!(config.sizing.idle, Some(Duration::from_secs(60)));
}

#[test]
fn a_life_that_must_be_longer_than_it_may_be_is_told() {
    let told = warning("max-worker-lifetime=30 min-worker-lifetime=60");
    assert!(told.contains("is above `max-worker-lifetime = 30`: it has no effect"), "{told}");
    assert_eq!(load_with("max-worker-lifetime=0 min-worker-lifetime=60", &[]).unwrap().1.len(), 0);
}
