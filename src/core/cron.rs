//! Times of the kind of cron(8), as uWSGI writes them, and what a clock that is set means for them.

use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};

/// How far the clock may be set, in minutes, before it is another time altogether (as in cron(8)).
const SET: i64 = 180;
/// How many minutes may be missed by who is late.
const LATE: i64 = 5;

/// When something is to be done. Each number is one value, or -1 for any, or -N for those that N
/// divides. Of a day of the month and a day of the week that are both named, one is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct When {
    /// 0 … 59.
    pub minute: i8,
    /// 0 … 23.
    pub hour: i8,
    /// Of the month, 1 … 31.
    pub day: i8,
    /// 1 … 12.
    pub month: i8,
    /// 0 … 7; Sunday is 0 and 7.
    pub weekday: i8,
}

impl When {
    /// Makes one of minute, hour, day, month and day of the week.
    ///
    /// # Errors
    /// A clause: which number cannot be.
    pub fn new(numbers: [i64; 5]) -> Result<Self, String> {
        let parts = [
            ("minute", -59, 0, 59),
            ("hour", -23, 0, 23),
            ("day of the month", -31, 1, 31),
            ("month", -12, 1, 12),
            ("day of the week", -7, 0, 7),
        ];
        let mut checked = [0; 5];
        for ((number, (what, least, first, last)), checked) in
            numbers.into_iter().zip(parts).zip(&mut checked)
        {
            let fits = (least..0).contains(&number) || (first..=last).contains(&number);
            *checked = i8::try_from(number).ok().filter(|_| fits).ok_or_else(|| {
                format!(
                    "{number} is no {what}: {first} to {last}, -1 for every one, or -N for every Nth"
                )
            })?;
        }
        let [minute, hour, day, month, weekday] = checked;
        Ok(Self { minute, hour, day, month, weekday })
    }

    /// Whether it is time in this minute of the local clock, counted from the beginning of 1970.
    pub fn is_at(&self, minutes: i64) -> bool {
        let (days, time) = (minutes.div_euclid(1440), minutes.rem_euclid(1440));
        let (month, day) = date(days);
        // 1970 began on a Thursday.
        let weekday = (days + 4).rem_euclid(7);
        let fits = |wanted: i8, value: i64| {
            let wanted = i64::from(wanted);
            if wanted < 0 { value % wanted == 0 } else { value == wanted }
        };
        let by_month = fits(self.day, day);
        let by_week = fits(self.weekday % 7, weekday) && self.weekday >= 0
            || self.weekday < 0 && fits(self.weekday, weekday);
        let on_day = if self.day >= 0 && self.weekday >= 0 {
            by_month || by_week
        } else {
            by_month && by_week
        };
        fits(self.minute, time % 60)
            && fits(self.hour, time / 60)
            && fits(self.month, month)
            && on_day
    }

    /// Whether it recurs within a day: such times follow a clock that is set, others are neither
    /// left out nor repeated.
    fn recurs(&self) -> bool {
        self.minute < 0 || self.hour < 0
    }
}

/// Month and day of the month, of days since the beginning of 1970 in the Gregorian calendar.
fn date(days: i64) -> (i64, i64) {
    // Years that begin in March, in eras of 400 years, have their leap day at the end.
    let day = (days + 719_468).rem_euclid(146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let of_month = day - (153 * month + 2) / 5 + 1;
    (if month < 10 { month + 3 } else { month - 9 }, of_month)
}

/// The minute that it is by the local clock, counted from the beginning of 1970, and how long until
/// the next.
pub fn now() -> (i64, Duration) {
    let now = Timestamp::now();
    // Some zones are seconds off.
    let offset = i64::from(TimeZone::system().to_offset(now).seconds());
    let local = now.as_millisecond() + 1000 * offset;
    let next = 60_000 - local.rem_euclid(60_000);
    let left = Duration::from_millis(u64::try_from(next).unwrap_or(60_000));
    (local.div_euclid(60_000), left)
}

/// Reads the local clock, and knows what it has read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// The last minute whose times were all obeyed.
    done: Option<i64>,
    /// The last minute that was looked at.
    seen: Option<i64>,
}

impl Clock {
    /// It is this minute now: which times have come since the last look. When the clock was put
    /// forward by three hours or less, what is due at a fixed time between is due now, once; when it
    /// was put back, it is not due again. What recurs within a day is due by the clock as it is.
    pub fn advance(&mut self, now: i64) -> Due {
        if self.seen == Some(now) {
            return Due::default();
        }
        let begins = self.seen.is_none();
        self.seen = Some(now);
        let done = self.done.unwrap_or(now);
        let ahead = now - done;
        if begins {
            // Its minute is over in part.
            self.done = Some(now);
            return Due::default();
        }
        if (-SET..=0).contains(&ahead) {
            return Due { recurring: (now, now), ..Due::default() };
        }
        self.done = Some(now);
        if (1..=SET).contains(&ahead) {
            let recurring = if ahead <= LATE { (done + 1, now) } else { (now, now) };
            return Due { recurring, fixed: (done + 1, now) };
        }
        Due { recurring: (now, now), fixed: (now, now) }
    }
}

/// Minutes that have come, first and last; those of times that recur within a day, and the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    recurring: (i64, i64),
    fixed: (i64, i64),
}

impl Default for Due {
    fn default() -> Self {
        Self { recurring: (1, 0), fixed: (1, 0) }
    }
}

impl Due {
    /// How often `when` was among them.
    pub fn count(&self, when: &When) -> usize {
        let (first, last) = if when.recurs() { self.recurring } else { self.fixed };
        (first..=last).filter(|minute| when.is_at(*minute)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-03-29 00:00, a Sunday.
    const DAY: i64 = 20_541 * 1440;

    fn when(numbers: [i64; 5]) -> When {
        When::new(numbers).unwrap()
    }

    #[test]
    fn numbers_are_values_any_or_every_nth() {
        let at = |numbers, minutes| when(numbers).is_at(minutes);
        assert!(at([0, 0, 29, 3, 0], DAY) && at([0, 0, 29, 3, -1], DAY));
        assert!(at([-1, -1, -1, -1, 7], DAY) && !at([-1, -1, -1, -1, 1], DAY));
        assert!(at([-5, -1, -1, -1, -1], DAY + 55) && !at([-5, -1, -1, -1, -1], DAY + 56));
        assert!(at([30, -2, -1, -1, -1], DAY + 150) && !at([30, -2, -1, -1, -1], DAY + 90));
    }

    #[test]
    fn of_two_kinds_of_days_one_is_enough() {
        let both = when([0, 0, 1, -1, 0]);
        assert!(both.is_at(DAY) && !both.is_at(DAY + 1440) && both.is_at(DAY + 3 * 1440));
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!((date(0), date(58), date(59), date(364)), ((1, 1), (2, 28), (3, 1), (12, 31)));
        // 2000 and 2024 have a leap day, 2100 has none.
        assert_eq!((date(11_016), date(19_782), date(47_540)), ((2, 29), (2, 29), (2, 28)));
        assert_eq!(date(47_541), (3, 1));
    }

    #[test]
    fn what_cannot_be_is_told() {
        let why = When::new([0, 24, -1, -1, -1]).unwrap_err();
        assert!(why.starts_with("24 is no hour: 0 to 23"), "{why}");
        assert!(When::new([0, 0, 0, -1, -1]).is_err() && When::new([60, 0, 1, 1, 0]).is_err());
    }

    #[test]
    fn each_minute_is_obeyed_once_and_that_of_the_start_is_not() {
        let (mut clock, every) = (Clock::default(), when([-1, -1, -1, -1, -1]));
        assert_eq!(clock.advance(DAY).count(&every), 0);
        assert_eq!(clock.advance(DAY).count(&every), 0);
        assert_eq!(clock.advance(DAY + 1).count(&every), 1);
        assert_eq!(clock.advance(DAY + 1).count(&every), 0);
        assert_eq!(clock.advance(DAY + 4).count(&every), 3);
    }

    #[test]
    fn in_spring_a_fixed_time_that_does_not_exist_is_made_up_for() {
        let (fixed, recurring) = (when([30, 2, -1, -1, -1]), when([-10, -1, -1, -1, -1]));
        let mut clock = Clock::default();
        clock.advance(DAY + 119);
        let due = clock.advance(DAY + 180);
        assert_eq!((due.count(&fixed), due.count(&recurring)), (1, 1));
    }

    #[test]
    fn in_autumn_a_fixed_time_does_not_come_twice() {
        let (fixed, recurring) = (when([30, 2, -1, -1, -1]), when([-10, -1, -1, -1, -1]));
        let mut clock = Clock::default();
        clock.advance(DAY + 149);
        let mut sums = (0, 0);
        for minute in (150..180).chain(120..181) {
            let due = clock.advance(DAY + minute);
            sums = (sums.0 + due.count(&fixed), sums.1 + due.count(&recurring));
        }
        assert_eq!(sums, (1, 3 + 7));
    }

    #[test]
    fn another_day_is_another_time() {
        let every = when([-1, -1, -1, -1, -1]);
        let fixed = when([30, 2, -1, -1, -1]);
        let mut clock = Clock::default();
        clock.advance(DAY);
        let due = clock.advance(DAY + 1440);
        assert_eq!((due.count(&every), due.count(&fixed)), (1, 0));
        assert_eq!(clock.advance(DAY + 1441).count(&every), 1);
    }
}
