//! Where newcomers wait (listeners that are ready), and whose turn it is: theirs, or that of those who
//! are in already.
//!
//! Each time the leader looks for events it hears of a door once, and would let one in; beside
//! keep-alive connections that always have another request that is one for dozens of theirs. So they
//! take turns, for as long as both are there. Otherwise one newcomer is let in for each look: the look
//! is cheap then, and a worker that is idle gets to see the next one, too.

use std::collections::VecDeque;

use crate::reactor::Token;

/// The doors that were found ready.
#[derive(Debug, Default)]
pub(crate) struct Doors {
    /// Nobody has been let in since the last look.
    fresh: VecDeque<Token>,
    /// Somebody has; perhaps more wait.
    again: VecDeque<Token>,
    /// Jobs and tasks of others that have had their turn since a newcomer had.
    others: usize,
}

impl Doors {
    /// Forgets what an older look has found.
    pub(crate) fn clear(&mut self) {
        self.fresh.clear();
        self.again.clear();
    }

    /// A look has found newcomers at `door`.
    pub(crate) fn add(&mut self, door: Token) {
        self.fresh.push_back(door);
    }

    /// A job has been run.
    pub(crate) fn count_job(&mut self) {
        self.others += 1;
    }

    /// Gives one of the two a turn: `admit` lets a newcomer in by a door, `poll` polls a task; both
    /// say whether there was one. `false`: neither, it is time to look. `line`: how many jobs wait.
    /// So many have to be done, and one more, before the job of the last newcomer is: should one of
    /// them be long, there is one newcomer here that an idle worker could have had, and no more.
    pub(crate) fn advance(
        &mut self,
        line: usize,
        mut admit: impl FnMut(Token) -> bool,
        poll: impl FnOnce() -> bool,
    ) -> bool {
        if self.others > line.max(1) {
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
        while let Some(door) = self.fresh.pop_front() {
            if self.let_in(door, &mut admit) {
                return true;
            }
        }
        false
    }

    fn let_in(&mut self, door: Token, admit: &mut impl FnMut(Token) -> bool) -> bool {
        let admitted = admit(door);
        if admitted {
            self.again.push_back(door);
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
        (0..).zip(waiting).for_each(|(door, _)| doors.add(door));
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
