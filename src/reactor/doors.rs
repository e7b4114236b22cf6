//! Where newcomers wait (listeners that are ready), and whose turn it is: theirs, or that of those who
//! are in already.
//!
//! Each time the leader looks for events it hears of a door once, and would let one in; beside
//! keep-alive connections that always have another request that is one for dozens of theirs. So they
//! take turns, for as long as both are there. Otherwise one newcomer is let in for each look: the look
//! is cheap then, and a worker that is idle gets to see the next one, too.
//!
//! Where there is no other worker, a crowd is let in without a look for each: when all have come that
//! one look was good for, and the next one finds a door ready again, that one is good for about twice
//! as many; and when fewer come, for as many as came. To find nobody costs a system call, so it is
//! tried less and less often where newcomers come one by one.

use std::collections::VecDeque;

use crate::reactor::Token;

/// Newcomers beyond the first, at most, that are let in between two looks.
const CROWD: usize = 15;

/// Looks, at most, that have to find a door ready before it is tried again whether a crowd waits there.
const DOUBT: usize = 63;

/// Jobs and tasks of others, beside those in line, after which a newcomer comes in although jobs wait:
/// more than a round has.
const ENDLESS: usize = 64;

/// The doors that were found ready.
#[derive(Debug, Default)]
pub(crate) struct Doors {
    /// Nobody has been let in since the last look.
    fresh: VecDeque<Token>,
    /// Somebody has; perhaps more wait.
    again: VecDeque<Token>,
    /// Where somebody was let in last.
    last: Option<Token>,
    /// Jobs and tasks of others that have had their turn since a newcomer had.
    others: usize,
    /// Nobody else has these doors.
    sole: bool,
    /// Newcomers beyond the first that a look is good for.
    crowd: usize,
    /// How many of them have yet to be let in.
    left: usize,
    /// Looks for which none is tried beyond the first, and how many of them are over.
    doubt: usize,
    looks: usize,
}

impl Doors {
    /// Without doors; `sole`: nobody else will have them.
    pub(crate) fn new(sole: bool) -> Self {
        Self { sole, ..Self::default() }
    }

    /// Another look has found newcomers at `doors`; what an older one has found is forgotten.
    pub(crate) fn find(&mut self, doors: impl Iterator<Item = Token>) {
        let all_came = self.left == 0 && !self.again.is_empty();
        if self.are_empty() {
            // What was done before anybody waited keeps nobody waiting.
            self.others = self.others.min(2);
        }
        self.fresh.clear();
        self.again.clear();
        self.fresh.extend(doors);
        // The kernel names them in the same order each time.
        if let Some(last) = self.fresh.iter().position(|door| Some(*door) == self.last) {
            self.fresh.rotate_left(last + 1);
        }
        if self.sole && all_came && !self.fresh.is_empty() {
            self.looks += 1;
            if self.looks > self.doubt {
                self.crowd = (2 * self.crowd + 1).min(CROWD);
            }
        }
        self.left = self.crowd;
    }

    /// A job has been run.
    pub(crate) fn count_job(&mut self) {
        self.others += 1;
    }

    /// Whether newcomers wait who should not be kept waiting for a round of many.
    pub(crate) fn are_crowded(&self) -> bool {
        !self.sole && !self.are_empty()
    }

    /// Gives one of the two a turn: `admit` lets a newcomer in by a door, `poll` polls a task; both
    /// say whether there was one. `false`: neither, it is time to look, or to run jobs. `line`: how many
    /// wait. Where others have these doors, too, a newcomer comes in when none does, so that its job is the
    /// next to be run: behind one that turns out long it would wait although another worker is idle. Where
    /// the line never ends it comes in all the same.
    pub(crate) fn advance(
        &mut self,
        line: usize,
        mut admit: impl FnMut(Token) -> bool,
        poll: impl FnOnce() -> bool,
    ) -> bool {
        let open = self.sole || line == 0;
        if self.others > if open { 1 } else { line + ENDLESS } {
            while let Some(door) = self.fresh.pop_front().or_else(|| self.again.pop_front()) {
                if self.let_in(door, &mut admit) {
                    return true;
                }
            }
        }
        if poll() {
            self.others += 2;
            return true;
        }
        if !open {
            return false;
        }
        while let Some(door) = self.fresh.pop_front() {
            if self.let_in(door, &mut admit) {
                return true;
            }
        }
        while self.left > 0
            && let Some(door) = self.again.pop_front()
        {
            if self.let_in(door, &mut admit) {
                self.left -= 1;
                self.doubt = 0;
                return true;
            }
            self.crowd -= self.left;
            self.left = 0;
            if self.crowd == 0 {
                (self.doubt, self.looks) = ((2 * self.doubt + 1).min(DOUBT), 0);
            }
        }
        false
    }

    /// Whether nobody is known to wait at any.
    pub(crate) fn are_empty(&self) -> bool {
        self.fresh.is_empty() && self.again.is_empty()
    }

    fn let_in(&mut self, door: Token, admit: &mut impl FnMut(Token) -> bool) -> bool {
        let admitted = admit(door);
        if admitted {
            self.again.push_back(door);
            self.last = Some(door);
            self.others = 0;
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// What happens from one look to the next, when so many wait at the doors 0, 1, … and as tasks.
    fn turns(waiting: &[usize], tasks: usize) -> (String, Vec<usize>) {
        let mut doors = Doors::default();
        doors.find((0..).zip(waiting).map(|(door, _)| door));
        let (seen, waiting, mut left) =
            (RefCell::new(String::new()), RefCell::new(waiting.to_vec()), tasks);
        loop {
            let admit = |door: Token| {
                let here = &mut waiting.borrow_mut()[door as usize];
                let any = *here > 0;
                if any {
                    *here -= 1;
                    seen.borrow_mut().push_str(&door.to_string());
                }
                any
            };
            let poll = || {
                let any = left > 0;
                if any {
                    left -= 1;
                    seen.borrow_mut().push('t');
                }
                any
            };
            if !doors.advance(0, admit, poll) {
                return (seen.into_inner(), waiting.into_inner());
            }
        }
    }

    #[test]
    fn newcomers_and_tasks_take_turns() {
        assert_eq!(turns(&[2], 5), ("t0t0ttt".into(), vec![0]));
    }

    #[test]
    fn doors_take_turns() {
        assert_eq!(turns(&[3, 1, 9], 6), ("t0t1t2t0t2t0".into(), vec![0, 0, 7]));
    }

    #[test]
    fn without_tasks_one_is_let_in_at_each_door_and_the_others_are_left_to_who_is_idle() {
        assert_eq!(turns(&[9, 9], 0), ("01".into(), vec![8, 8]));
    }

    #[test]
    fn a_door_that_somebody_else_has_emptied_costs_no_turn() {
        assert_eq!(turns(&[0, 1], 2), ("t1t".into(), vec![0, 0]));
    }

    /// Rounds of tasks that submit a job each, of which as many are run as a round has: with how many in
    /// line the newcomers at a door came in.
    fn lines(sole: bool, line: usize, rounds: usize) -> Vec<usize> {
        const ROUND: usize = 8;
        let mut doors = Doors::new(sole);
        (0..300).for_each(|_| doors.count_job());
        doors.find([0].into_iter());
        let (mut line, mut came) = (line, Vec::new());
        for _ in 0..rounds {
            let mut read = 0;
            while read < ROUND {
                let mut came_in = false;
                let admit = |_| {
                    came_in = true;
                    true
                };
                if !doors.advance(line + read, admit, || true) {
                    break;
                }
                if came_in {
                    came.push(line + read);
                }
                read += 1;
            }
            line += read;
            let ran = line.min(ROUND);
            (0..ran).for_each(|_| doors.count_job());
            line -= ran;
        }
        came
    }

    #[test]
    fn who_others_could_let_in_is_the_next_whose_job_is_run() {
        assert_eq!(lines(false, 0, 100), [0; 100]);
        assert!(lines(true, 0, 100).len() > 100);
    }

    #[test]
    fn all_doors_have_their_turn_although_each_look_lets_one_in() {
        let mut doors = Doors::new(false);
        let mut came = Vec::new();
        for _ in 0..6 {
            doors.find(0..3);
            doors.count_job();
            doors.count_job();
            let admit = |door| {
                came.push(door);
                true
            };
            doors.advance(0, admit, || true);
        }
        assert_eq!(came, [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn a_line_without_end_keeps_no_newcomer_out() {
        let came = lines(false, 20, 100);
        assert!((10..40).contains(&came.len()), "{came:?}");
    }

    /// At a door where so many wait before each look: how many were let in until the next one, and tried.
    fn crowds(sole: bool, waiting: &[usize]) -> Vec<(usize, usize)> {
        let mut doors = Doors::new(sole);
        let look = |&waiting: &usize| {
            doors.find((waiting > 0).then_some(0).into_iter());
            let (mut came_in, mut tried) = (0, 0);
            let mut admit = |_| {
                tried += 1;
                let any = came_in < waiting;
                came_in += usize::from(any);
                any
            };
            while doors.advance(0, &mut admit, || false) {}
            (came_in, tried)
        };
        waiting.iter().map(look).collect()
    }

    #[test]
    fn a_crowd_comes_in_at_once_where_nobody_else_lets_it_in() {
        let all = [50, 49, 47, 43, 35, 19, 3];
        let came = [(1, 1), (2, 2), (4, 4), (8, 8), (16, 16), (16, 16), (3, 4)];
        assert_eq!(crowds(true, &all), came);
        assert_eq!(crowds(false, &all), [(1, 1); 7]);
    }

    #[test]
    fn a_look_is_good_for_as_many_as_came_when_fewer_came() {
        let all = [50, 49, 47, 43, 9, 9, 9, 2, 1, 0, 1];
        let came = [
            (1, 1),
            (2, 2),
            (4, 4),
            (8, 8),
            (9, 10),
            (9, 9),
            (9, 10),
            (2, 3),
            (1, 2),
            (0, 0),
            (1, 1),
        ];
        assert_eq!(crowds(true, &all), came);
    }

    #[test]
    fn who_comes_alone_costs_a_vain_try_now_and_then() {
        let tried = crowds(true, &[1; 10_000]).into_iter().map(|(_, tried)| tried).sum::<usize>();
        assert!((10_100..10_200).contains(&tried), "{tried}");
    }

    proptest::proptest! {
        #[test]
        fn a_newcomer_waits_for_as_many_tasks_as_others_wait_at_doors(
            waiting in proptest::collection::vec(0_usize..50, 1..5),
            tasks in 0_usize..300,
        ) {
            let all: usize = waiting.iter().sum();
            let (seen, left) = turns(&waiting, tasks);
            let came_in = all - left.iter().sum::<usize>();
            proptest::prop_assert_eq!(seen.matches('t').count(), tasks);
            proptest::prop_assert!(came_in >= all.min(tasks));
            // Never two newcomers in succession while tasks wait, and the other way round.
            let busy = &seen[..seen.rfind('t').map_or(0, |last| last)];
            let twice = busy.as_bytes().windows(2).any(|two| two[0] != b't' && two[1] != b't');
            proptest::prop_assert!(!twice);
            let alone = seen.find("tt").map_or(all, |at| seen[..at].matches(|one| one != 't').count());
            proptest::prop_assert_eq!(alone, all);
        }
    }
}
