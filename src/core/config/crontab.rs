//! Commands at certain times: `cron`, `unique-cron`, `cron2`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::daemons::{pairs, program, seconds, switch, unique};
use super::error::{Findings, Report, quoted};
use super::settings::Settings;
use super::value::{Invalid, Value};
use crate::cron::When;

/// Most commands of an instance.
const MOST: usize = 256;

const NAMES: [&str; 3] = ["cron", "unique-cron", "cron2"];

const EXPECTED: &str = "minute, hour, day of the month, month and day of the week, and a command: \
                        `0 4 -1 -1 -1 ./clean`; -1 is every one, -N every Nth";
const EXPECTED_OF_PAIRS: &str = "any of `minute=`, `hour=`, `day=`, `month=`, `week=`, `unique=1`, \
                                 `harakiri=SECONDS`, with commas and no blanks between, then a blank and a command";

/// A command, and when it is run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CronSpec {
    /// As it is called: by its program, with a number when another one has that name.
    pub name: String,
    /// For the shell.
    pub command: String,
    /// By the local clock.
    pub when: When,
    /// Not while it still runs.
    pub unique: bool,
    /// How long it may run (`cron-harakiri`, `harakiri=`).
    pub harakiri: Option<Duration>,
}

/// What one line says; `None` in the time: `cron-harakiri` counts.
struct Line<'a> {
    command: &'a str,
    when: When,
    unique: bool,
    harakiri: Option<Duration>,
}

/// The commands, in order.
pub(super) fn crons(settings: &Settings<'_>, findings: &mut Findings) -> Vec<CronSpec> {
    let usual = settings.number("cron-harakiri").map(Duration::from_secs);
    let mut crons: Vec<CronSpec> = Vec::new();
    for setting in settings.all(&NAMES) {
        let Value::Text(text) = &setting.value else { continue };
        let read = match setting.spec.name {
            "cron2" => by_name(text),
            name => by_place(text, name == "unique-cron"),
        };
        let line = read.and_then(|line| match line.command.trim() {
            "" => Err(Invalid::new("has no command")),
            _ if line.command.contains('\0') => Err(Invalid::new("contains a NUL character")),
            _ if crons.len() == MOST => {
                Err(Invalid::new("is one too many").help(format!("{MOST} at most")))
            }
            _ => Ok(line),
        });
        match line {
            Ok(Line { command, when, unique: alone, harakiri }) => {
                let is_taken = |name: &str| crons.iter().any(|other| other.name == name);
                let name = unique(program(command), is_taken);
                let harakiri = harakiri.or(usual).filter(|time| !time.is_zero());
                let command = command.trim().to_owned();
                crons.push(CronSpec { name, command, when, unique: alone, harakiri });
            }
            Err(invalid) => {
                let message = format!("{} {}", quoted(setting.raw), invalid.problem);
                let by_name = setting.spec.name == "cron2";
                let expected = if by_name { EXPECTED_OF_PAIRS } else { EXPECTED };
                let report = Report::new(message).at_value(&setting.raw.origin).expected(expected);
                findings.error(invalid.help.into_iter().fold(report, Report::help));
            }
        }
    }
    crons
}

fn by_place(text: &str, unique: bool) -> Result<Line<'_>, Invalid> {
    let mut rest = text.trim_start();
    let mut numbers = [0; 5];
    for number in &mut numbers {
        let (word, after) =
            rest.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((rest, ""));
        *number = self::number(word)?;
        rest = after.trim_start();
    }
    Ok(Line { command: rest, when: when(numbers)?, unique, harakiri: None })
}

/// `key=value,… command`; as in uWSGI, pairs have no blanks, and without any it is every minute.
fn by_name(text: &str) -> Result<Line<'_>, Invalid> {
    let text = text.trim();
    let (first, rest) = text.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((text, ""));
    let (keys, command) = if first.contains('=') { (first, rest) } else { ("", text) };
    let mut numbers = [-1; 5];
    let (mut unique, mut harakiri) = (false, None);
    for (key, value) in pairs(keys) {
        match key.as_str() {
            "minute" => numbers[0] = number(&value)?,
            "hour" => numbers[1] = number(&value)?,
            "day" => numbers[2] = number(&value)?,
            "month" => numbers[3] = number(&value)?,
            "week" => numbers[4] = number(&value)?,
            "unique" => unique = switch(&key, &value)?,
            "harakiri" => harakiri = Some(seconds(&key, &value, 0)?),
            "legion" => {
                return Err(Invalid::new("has `legion=`: there are no legions")
                    .help("run it on one machine, or by a lock that all machines share"));
            }
            _ => return Err(Invalid::new(format!("has `{key}`, which no time of cron has"))),
        }
    }
    Ok(Line { command, when: when(numbers)?, unique, harakiri })
}

fn number(word: &str) -> Result<i64, Invalid> {
    word.parse().map_err(|_| {
        let invalid = Invalid::new(format!("has `{word}` where a number has to be"));
        if word.contains(['*', '/', ',']) {
            invalid.help("write -1 for `*`, -5 for `*/5`, and a line for each of several times")
        } else {
            invalid
        }
    })
}

fn when(numbers: [i64; 5]) -> Result<When, Invalid> {
    When::new(numbers).map_err(|why| Invalid::new(format!("cannot come: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(read: Result<Line<'_>, Invalid>) -> String {
        read.err().unwrap().problem
    }

    #[test]
    fn five_numbers_and_a_command() {
        let line = by_place("59 2 -1  -1\t-1 find /tmp -mtime +1 | xargs rm", true).unwrap();
        assert_eq!(line.command, "find /tmp -mtime +1 | xargs rm");
        assert_eq!((line.when, line.unique), (When::new([59, 2, -1, -1, -1]).unwrap(), true));
    }

    #[test]
    fn names_and_a_command() {
        let line = by_name("minute=-5,week=0,unique=1,harakiri=30 run a=b,c").unwrap();
        assert_eq!((line.command, line.unique), ("run a=b,c", true));
        assert_eq!(line.when, When::new([-5, -1, -1, -1, 0]).unwrap());
        assert_eq!(line.harakiri, Some(Duration::from_secs(30)));
        let line = by_name("run a=b").unwrap();
        assert_eq!((line.command, line.when), ("run a=b", When::new([-1; 5]).unwrap()));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(told(by_place("* * * * * run", false)).contains("`*` where a number"));
        assert!(told(by_place("0 24 -1 -1 -1 run", false)).contains("24 is no hour"));
        assert!(told(by_place("0 4 -1 -1 run", false)).contains("`run` where a number"));
        assert!(told(by_place("0 4", false)).contains("`` where a number"));
        assert!(told(by_name("second=3 run")).contains("`second`, which no time"));
        assert!(told(by_name("harakiri=x run")).contains("`harakiri=x`, which is not a whole"));
        assert!(told(by_name("legion=a run")).contains("no legions"));
    }
}
