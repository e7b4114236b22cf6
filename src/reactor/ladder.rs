//! What has to happen to a job that goes on for too long: rungs, each at an age, each once.
//!
//! Only time in which somebody looked counts. Two looks are [`LOOK`] apart; when they are further
//! apart than [`JUMP`], this process was stopped (SIGSTOP, a frozen cgroup, a machine that slept),
//! and so were its jobs: what is beyond [`LOOK`] is forgiven.
//!
//! A job may get [rungs of its own](Ladder::change) on its way.

use std::time::Duration;

use crate::ages::JUMP;
use crate::lead::Id;

/// Time between two looks while a job runs.
pub const LOOK: Duration = Duration::from_millis(250);

/// A job that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Job {
    /// Its hand.
    pub hand: Id,
    /// Tells it from the jobs before and after in that hand.
    pub serial: u64,
    /// When it began, on the clock of the looks.
    pub began: Duration,
}

/// A job that has come to a rung.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached<R> {
    /// The hand.
    pub hand: Id,
    /// The job.
    pub serial: u64,
    /// How long it has run, as far as that counts.
    pub age: Duration,
    /// The rung.
    pub rung: R,
}

/// The rungs, and who stands where.
#[derive(Debug)]
pub struct Ladder<R> {
    rungs: Vec<(Duration, R)>,
    climbers: Vec<Climber<R>>,
    looked: Duration,
}

#[derive(Debug)]
struct Climber<R> {
    hand: Id,
    serial: u64,
    age: Duration,
    /// Until when `age` counts.
    counted: Duration,
    /// The next rung.
    next: usize,
    /// Instead of those of the ladder, in order.
    own: Option<Vec<(Duration, R)>>,
}

impl<R: Copy> Ladder<R> {
    /// A ladder of these rungs, in any order.
    pub fn new(mut rungs: Vec<(Duration, R)>) -> Self {
        rungs.sort_by_key(|(age, _)| *age);
        Self { rungs, climbers: Vec::new(), looked: Duration::ZERO }
    }

    /// Looks at what runs: which rungs were reached since the last look.
    pub fn look(&mut self, now: Duration, running: &[Job]) -> Vec<Reached<R>> {
        let passed = now.saturating_sub(self.looked);
        let counted = if passed > JUMP { LOOK } else { passed };
        self.looked = now;
        self.climbers.retain(|climber| {
            running.iter().any(|job| (job.hand, job.serial) == (climber.hand, climber.serial))
        });
        let mut reached = Vec::new();
        for job in running {
            let (index, known) = self.find(job, now);
            let climber = &mut self.climbers[index];
            if known {
                climber.age += counted.min(now.saturating_sub(climber.counted));
                climber.counted = now;
            }
            let rungs = climber.own.as_ref().unwrap_or(&self.rungs);
            let (hand, serial, age) = (climber.hand, climber.serial, climber.age);
            let above = rungs.iter().skip(climber.next).take_while(|(at, _)| *at <= age);
            reached.extend(above.map(|(_, rung)| Reached { hand, serial, age, rung: *rung }));
            climber.next = rungs.partition_point(|(at, _)| *at <= age);
        }
        reached
    }

    /// From now on a job has the rungs that `rungs` names for its age, and those of them that it has
    /// not come to yet are before it.
    pub fn change(
        &mut self,
        now: Duration,
        job: &Job,
        rungs: impl FnOnce(Duration) -> Vec<(Duration, R)>,
    ) {
        self.climbers.retain(|one| one.hand != job.hand || one.serial == job.serial);
        let (index, known) = self.find(job, now);
        let climber = &mut self.climbers[index];
        let passed = now.saturating_sub(climber.counted);
        climber.age = match known {
            true if passed > JUMP => climber.age + LOOK,
            true => climber.age + passed,
            // Its thread is here and tells it, so it has not been stopped just now.
            false => now.saturating_sub(job.began),
        };
        climber.counted = now;
        let mut rungs = rungs(climber.age);
        rungs.sort_by_key(|(at, _)| *at);
        climber.next = rungs.partition_point(|(at, _)| *at <= climber.age);
        climber.own = Some(rungs);
    }

    /// The climber of a job, and whether it was there before.
    fn find(&mut self, job: &Job, now: Duration) -> (usize, bool) {
        let known = self.climbers.iter().position(|climber| climber.hand == job.hand);
        if let Some(index) = known {
            return (index, true);
        }
        // Nobody can tell how much of a longer time it was stopped.
        let age = now.saturating_sub(job.began).min(LOOK);
        let Job { hand, serial, .. } = *job;
        self.climbers.push(Climber { hand, serial, age, counted: now, next: 0, own: None });
        (self.climbers.len() - 1, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Rung {
        Warn,
        End,
    }

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn ladder() -> Ladder<Rung> {
        Ladder::new(vec![(millis(3000), Rung::End), (millis(1000), Rung::Warn)])
    }

    fn job(hand: Id, serial: u64, began: u64) -> Job {
        Job { hand, serial, began: millis(began) }
    }

    /// Looks as often as is due, from `from` to `to`: what is reached, and when.
    fn climb(ladder: &mut Ladder<Rung>, from: u64, to: u64, jobs: &[Job]) -> Vec<(u64, Id, Rung)> {
        let mut all = Vec::new();
        for now in (from..=to).step_by(250) {
            let reached = ladder.look(millis(now), jobs);
            all.extend(reached.into_iter().map(|reached| (now, reached.hand, reached.rung)));
        }
        all
    }

    #[test]
    fn each_rung_is_reached_once_and_in_time() {
        let mut ladder = ladder();
        let reached = climb(&mut ladder, 10_000, 20_000, &[job(1, 7, 9_900)]);
        assert_eq!(reached, [(11_000, 1, Rung::Warn), (13_000, 1, Rung::End)]);
    }

    #[test]
    fn short_jobs_of_one_hand_are_not_one_long_one() {
        let mut ladder = ladder();
        for serial in 0..40 {
            let now = serial * 250;
            assert_eq!(ladder.look(millis(now), &[job(1, serial, now)]), []);
        }
    }

    #[test]
    fn jobs_climb_by_themselves() {
        let mut ladder = ladder();
        let first = job(1, 1, 0);
        assert_eq!(climb(&mut ladder, 0, 1000, &[first]), [(1000, 1, Rung::Warn)]);
        let reached = climb(&mut ladder, 1250, 4000, &[first, job(2, 1, 1250)]);
        assert_eq!(reached, [(2250, 2, Rung::Warn), (3000, 1, Rung::End)]);
    }

    #[test]
    fn the_time_of_a_stopped_process_does_not_count() {
        let mut ladder = ladder();
        let jobs = [job(1, 1, 0)];
        assert_eq!(climb(&mut ladder, 0, 750, &jobs), []);
        let reached = climb(&mut ladder, 3_600_750, 3_610_000, &jobs);
        assert_eq!(reached, [(3_600_750, 1, Rung::Warn), (3_602_750, 1, Rung::End)]);
    }

    #[test]
    fn a_stop_before_the_first_look_does_not_count() {
        let mut ladder = ladder();
        let reached = climb(&mut ladder, 60_000, 70_000, &[job(1, 1, 1)]);
        assert_eq!(reached, [(60_750, 1, Rung::Warn), (62_750, 1, Rung::End)]);
    }

    #[test]
    fn looks_that_a_busy_machine_delays_do_count() {
        let mut ladder = ladder();
        let jobs = [job(1, 1, 0)];
        let ages: Vec<_> = [0, 900, 1800, 2700, 3600]
            .into_iter()
            .flat_map(|now| ladder.look(millis(now), &jobs))
            .map(|reached| (reached.age, reached.rung))
            .collect();
        assert_eq!(ages, [(millis(1800), Rung::Warn), (millis(3600), Rung::End)]);
    }

    #[test]
    fn a_job_with_rungs_of_its_own_leaves_the_others_theirs() {
        let mut ladder = ladder();
        ladder.change(millis(100), &job(1, 1, 0), |age| vec![(age + millis(500), Rung::End)]);
        let jobs = [job(1, 1, 0), job(2, 2, 0)];
        let reached: Vec<_> = (100..=1200)
            .step_by(100)
            .flat_map(|now| ladder.look(millis(now), &jobs))
            .map(|reached| (reached.age, reached.hand, reached.rung))
            .collect();
        assert_eq!(reached, [(millis(600), 1, Rung::End), (millis(1000), 2, Rung::Warn)]);
    }

    #[test]
    fn a_change_counts_from_its_moment_even_when_nobody_has_looked_before() {
        let mut ladder = ladder();
        let mut said = None;
        ladder.change(millis(9000), &job(1, 1, 0), |age| {
            said = Some(age);
            vec![(age + millis(2000), Rung::End), (millis(500), Rung::Warn)]
        });
        assert_eq!(said, Some(millis(9000)));
        assert_eq!(climb(&mut ladder, 9250, 12_000, &[job(1, 1, 0)]), [(11_000, 1, Rung::End)]);
    }

    #[test]
    fn the_last_change_counts_and_may_leave_no_rung() {
        let mut ladder = ladder();
        assert_eq!(climb(&mut ladder, 0, 500, &[job(1, 1, 0)]), []);
        ladder.change(millis(600), &job(1, 1, 0), |age| vec![(age + millis(100), Rung::End)]);
        ladder.change(millis(650), &job(1, 1, 0), |age| {
            assert_eq!(age, millis(650));
            Vec::new()
        });
        assert_eq!(climb(&mut ladder, 750, 9000, &[job(1, 1, 0)]), []);
    }

    #[test]
    fn the_next_job_of_the_hand_has_the_common_rungs() {
        let mut ladder = ladder();
        ladder.change(millis(100), &job(1, 1, 0), |_| Vec::new());
        let reached = [300, 600, 900, 1200].map(|now| ladder.look(millis(now), &[job(1, 2, 200)]));
        assert_eq!(reached.concat().len(), 1);
        ladder.change(millis(1300), &job(1, 3, 1200), |age| {
            assert_eq!(age, millis(100));
            Vec::new()
        });
    }

    #[test]
    fn a_stopped_process_is_forgiven_in_rungs_of_a_job_too() {
        let mut ladder = ladder();
        ladder.look(millis(0), &[job(1, 1, 0)]);
        ladder.change(millis(200), &job(1, 1, 0), |age| vec![(age + millis(2000), Rung::End)]);
        assert_eq!(ladder.look(millis(60_200), &[job(1, 1, 0)]), []);
        assert_eq!(climb(&mut ladder, 60_450, 63_000, &[job(1, 1, 0)]).len(), 1);
    }

    proptest::proptest! {
        #[test]
        fn no_rung_comes_early_or_twice(gaps in proptest::collection::vec(0_u64..5000, 1..100)) {
            let mut ladder = ladder();
            let (mut now, mut seen) = (0, Vec::new());
            for gap in gaps {
                now += gap;
                for reached in ladder.look(millis(now), &[job(1, 1, 0)]) {
                    let at = if reached.rung == Rung::Warn { 1000 } else { 3000 };
                    proptest::prop_assert!(now >= at && reached.age >= millis(at));
                    proptest::prop_assert!(reached.age <= millis(now));
                    proptest::prop_assert!(!seen.contains(&reached.rung));
                    seen.push(reached.rung);
                }
            }
        }
    }
}
