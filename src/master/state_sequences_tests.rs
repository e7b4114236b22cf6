//! Whatever happens in whatever order: what holds all the same.

use super::*;

/// What the world knows of a process that was asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Life {
    Asked,
    Serves,
    Drains,
}

/// Processes and templates that behave as the kernel lets them: at random, but not impossibly.
struct World {
    scene: Scene,
    /// By generation: whether it has imported. Who was told to leave does, at once.
    templates: BTreeMap<Generation, bool>,
    workers: BTreeMap<Key, (Generation, u32, usize, Life)>,
    last_key: Key,
    asked: Ticket,
    answered: BTreeSet<Ticket>,
    /// Begun, committed, discarded.
    reloads: [usize; 3],
    ends: Vec<Outcome>,
    /// What the workers were told.
    pause: Option<u64>,
    /// Another number of workers was wanted since the last reload began.
    resized: bool,
}

/// One thing that may happen, and to whom.
type Move = (u8, u8);

impl World {
    fn new(processes: u32) -> Self {
        Self {
            scene: Scene::starting(processes),
            templates: BTreeMap::from([(1, false)]),
            workers: BTreeMap::new(),
            last_key: 0,
            asked: 0,
            answered: BTreeSet::new(),
            reloads: [0; 3],
            ends: Vec::new(),
            pause: None,
            resized: false,
        }
    }

    fn play(&mut self, (what, whom): Move) {
        match what {
            0..=2 => self.import(whom),
            3 => self.lose_template(whom, true),
            4 => self.lose_template(whom, false),
            5 => self.fail_fork(whom),
            6..=10 => self.advance(whom, Life::Asked, Life::Serves),
            11 => self.advance(whom, Life::Serves, Life::Drains),
            12 => self.fail_worker(whom),
            13 | 14 => self.exit(whom),
            15 | 16 => self.reload(whom),
            17 if whom < 60 => self.happen(Event::Stop),
            17 if whom < 90 => self.happen(Event::StopNow),
            18 => self.pass(Duration::from_millis(u64::from(whom) * 100)),
            19 | 20 => self.pass_until_due(),
            21..=23 => self.retire(whom),
            25 => self.want(whom),
            26 => self.pause(whom),
            27 => self.resume(),
            28 => self.obey(whom),
            29 => self.begin_round(),
            _ => self.be_impossible(whom),
        }
    }

    fn happen(&mut self, event: Event) {
        let stopping = self.scene.state.is_stopping();
        let serving = self.scene.state.generation();
        let is_tick = event == Event::Tick;
        let loss = match event {
            Event::WorkerExited(..) | Event::WorkerDraining(_) => 1,
            Event::Want(..) | Event::Scale(..) => usize::MAX,
            _ => 0,
        };
        let (before, released) = (self.serving(), self.scene.state.current.released.len());
        let actions = self.scene.step(event);
        for action in &actions {
            self.perform(action, stopping);
        }
        self.check_drains(&actions, serving, released);
        self.check_capacity(before.saturating_sub(loss), &actions);
        self.check_workers();
        if is_tick {
            let due = self.scene.state.deadline();
            assert!(due.is_none_or(|due| due > self.scene.now), "it would tick for ever");
        }
        let postponed = self.scene.state.take_postponed_reload();
        for ticket in postponed.into_iter().flatten() {
            self.happen(Event::Reload(Some(ticket)));
        }
    }

    fn perform(&mut self, action: &Action, stopping: bool) {
        match *action {
            Action::StartTemplate(generation) => {
                assert!(!stopping && self.templates.insert(generation, false).is_none());
            }
            Action::LeaveTemplate(generation) => drop(self.templates.remove(&generation)),
            Action::Fork { generation, key, number, slot } => {
                assert!(!stopping, "a fork after the stop");
                assert!(key > self.last_key, "a key for the second time");
                assert_eq!(self.templates.get(&generation), Some(&true));
                assert!(self.workers.values().all(|worker| worker.2 != slot));
                self.last_key = key;
                self.workers.insert(key, (generation, number, slot, Life::Asked));
            }
            Action::Forget(key) => assert!(!self.workers.contains_key(&key)),
            Action::Drain { key, .. } | Action::Kill(key) => {
                assert!(self.workers.contains_key(&key));
            }
            Action::Answer(ticket, _) => assert!(self.answered.insert(ticket), "answered twice"),
            Action::Commit => self.reloads[1] += 1,
            Action::Discard => self.reloads[2] += 1,
            Action::Tell(News::Reloading(_)) => {
                self.reloads[0] += 1;
                self.resized = false;
            }
            Action::Tell(News::Resized(..)) => self.resized = true,
            // There is nobody to start it again: it goes on.
            Action::GiveUp(_) => {
                assert!(!stopping && self.workers.values().all(|worker| worker.3 == Life::Asked));
            }
            Action::Pause(number) => {
                assert!(!stopping && self.pause.replace(number).is_none());
            }
            Action::Resume | Action::Refuse => assert!(self.pause.take().is_some()),
            Action::Exit(ref outcome) => self.ends.push(outcome.clone()),
            Action::Tell(_) => {}
        }
    }

    /// How many serve, of whatever generation.
    fn serving(&self) -> usize {
        let serves = |worker: &&Worker| worker.phase == WorkerPhase::Ready;
        self.scene.state.workers().values().filter(serves).count()
    }

    /// Workers of the generation that serves are drained by a reload that is complete, by a stop,
    /// because they make room for a new one or are not wanted, or one alone because its successor
    /// serves; or they have failed to serve.
    fn check_drains(&self, actions: &[Action], serving: Generation, released: usize) {
        let all = count(actions, &Action::Commit) + count(actions, &Action::Tell(News::Stopping));
        let wanted = self.scene.state.current.wanted;
        let of_it = |key: &Key| {
            let (generation, number, _, life) = self.workers[key];
            let counts = number <= wanted && life != Life::Asked;
            generation == serving && (all > 0 || counts)
        };
        let drained: Vec<Key> = drained(actions).into_iter().filter(of_it).collect();
        let released = self.scene.state.current.released.len().saturating_sub(released);
        if let (0, 0, [old, more @ ..]) = (all, released, &drained[..]) {
            let succeeds = |(key, new): (&Key, &(Generation, u32, usize, Life))| {
                let same = (new.0, new.1) == (serving, self.workers[old].1);
                key > old && same && new.3 == Life::Serves
            };
            assert!(more.is_empty() && self.workers.iter().any(succeeds), "{actions:?}");
        }
    }

    /// What was there before serves on, or as many as there are to be; and no more processes are
    /// started than both generations and the overlap allow.
    fn check_capacity(&self, before: usize, actions: &[Action]) {
        let state = &self.scene.state;
        if state.is_stopping() {
            return;
        }
        let wanted = state.current.wanted as usize;
        assert!(self.serving() >= before.min(wanted), "fewer serve: {actions:?}\n{state:?}");
        let (next, overlap) = match &state.next {
            Some(team) => (team.wanted as usize, team.plan.overlap as usize),
            None => (0, state.current.plan.overlap as usize),
        };
        let lasting = self.lasting();
        let renewed = usize::from(state.renewal.is_under_way());
        let most = wanted.max(next) + overlap + renewed + self.left_over();
        assert!(self.resized || lasting <= most, "{lasting} of {most}: {state:?}");
    }

    /// Workers of abandoned generations that serve beyond the places they took: none, but one may be
    /// forked in the place of one that has just died.
    fn left_over(&self) -> usize {
        let state = &self.scene.state;
        let known = |worker: &Worker| state.teams().any(|t| t.generation == worker.generation);
        let standing = state.workers().values().filter(|w| !w.is_draining() && !known(w)).count();
        let filled: usize = state.teams().map(|team| state.ready(team.generation)).sum();
        let missing = (state.current.wanted as usize).saturating_sub(filled);
        assert!(standing <= missing, "{standing} stand in for {missing}: {state:?}");
        standing
    }

    fn check_workers(&self) {
        let known = self.scene.state.workers();
        assert!(known.keys().eq(self.workers.keys()), "{known:?}");
        let slots: BTreeSet<usize> = known.values().map(|worker| worker.slot).collect();
        assert_eq!(slots.len(), known.len());
        let lasting = || known.values().filter(|worker| !worker.is_draining());
        let names: BTreeSet<_> = lasting().map(|w| (w.generation, w.number)).collect();
        let successors = lasting().count() - names.len();
        assert!(successors <= 1, "two replacements at once: {known:?}");
        if successors == 1 {
            let twins = |one: &Worker| {
                let same = |w: &&Worker| (w.generation, w.number) == (one.generation, one.number);
                lasting().filter(same).map(|worker| worker.phase).collect::<Vec<_>>()
            };
            let pair = lasting().map(twins).find(|phases| phases.len() == 2);
            assert_eq!(pair, Some(vec![WorkerPhase::Ready, WorkerPhase::Starting]));
        }
    }

    fn pick(&self, whom: u8, life: Option<Life>) -> Option<Key> {
        let fits = |found: Life| life.is_none_or(|life| life == found);
        let keys: Vec<Key> =
            self.workers.iter().filter(|(_, worker)| fits(worker.3)).map(|(key, _)| *key).collect();
        keys.get(usize::from(whom) % keys.len().max(1)).copied()
    }

    fn import(&mut self, whom: u8) {
        let waiting: Vec<_> =
            self.templates.iter_mut().filter(|(_, imported)| !**imported).collect();
        let index = usize::from(whom) % waiting.len().max(1);
        if let Some((generation, imported)) = waiting.into_iter().nth(index) {
            *imported = true;
            let generation = *generation;
            self.happen(Event::Imported(generation));
        }
    }

    /// With a last word or without. Whom it has not forked yet will not be.
    fn lose_template(&mut self, whom: u8, word: bool) {
        let index = usize::from(whom) % self.templates.len().max(1);
        let Some(generation) = self.templates.keys().nth(index).copied() else { return };
        self.templates.remove(&generation);
        if word {
            self.happen(Event::TemplateFailed(generation, why()));
        }
        self.happen(Event::TemplateGone(generation, "was killed".into()));
    }

    fn fail_fork(&mut self, whom: u8) {
        let Some(key) = self.pick(whom, Some(Life::Asked)) else { return };
        self.workers.remove(&key);
        self.happen(Event::ForkFailed(key, "EAGAIN".into()));
    }

    fn advance(&mut self, whom: u8, from: Life, to: Life) {
        let Some(key) = self.pick(whom, Some(from)) else { return };
        self.workers.get_mut(&key).unwrap().3 = to;
        self.happen(match to {
            Life::Drains => Event::WorkerDraining(key),
            Life::Asked | Life::Serves => Event::WorkerReady(key),
        });
    }

    fn fail_worker(&mut self, whom: u8) {
        let Some(key) = self.pick(whom, Some(Life::Asked)) else { return };
        self.happen(Event::WorkerFailed(key, why()));
        self.workers.remove(&key);
        self.happen(Event::WorkerExited(key, Exit::Code(1)));
    }

    fn exit(&mut self, whom: u8) {
        let Some(key) = self.pick(whom, None) else { return };
        self.workers.remove(&key);
        self.happen(Event::WorkerExited(key, KILLED));
    }

    /// One that was told to leave does.
    fn leave(&mut self) {
        let mut workers = self.scene.state.workers().iter();
        let Some(key) = workers.find(|(_, worker)| worker.is_draining()).map(|(key, _)| *key)
        else {
            return;
        };
        self.workers.remove(&key);
        self.happen(Event::WorkerExited(key, Exit::Code(0)));
    }

    fn retire(&mut self, whom: u8) {
        let Some(key) = self.pick(whom, Some(Life::Serves)) else { return };
        self.happen(Event::Retire(key, "it is old".into()));
    }

    /// Whether everybody serves, and nobody else is asked for.
    fn is_settled(&self) -> bool {
        let State { current, .. } = &self.scene.state;
        let serves = self.scene.state.ready(current.generation);
        self.scene.state.can_reload()
            && current.template == Template::Imported
            && serves == current.wanted as usize
            && self.scene.state.lasting(current.generation) == self.lasting()
            && current.released.is_empty()
            && self.workers.values().all(|worker| worker.3 != Life::Asked)
    }

    fn lasting(&self) -> usize {
        self.scene.state.workers().values().filter(|worker| !worker.is_draining()).count()
    }

    /// From now on all goes well. Every worker that serves then asks to be replaced, and is.
    fn renew_all(&mut self) {
        if self.scene.state.current.wanted == 0 {
            self.want(1);
        }
        let mut rounds = 0;
        while !self.is_settled() {
            self.import(0);
            self.advance(0, Life::Asked, Life::Serves);
            self.pass_until_due();
            rounds += 1;
            assert!(rounds < 200, "it does not come to rest: {:?}", self.scene.state);
        }
        let old: Vec<Key> = self.workers.keys().copied().collect();
        for key in &old {
            self.happen(Event::Retire(*key, "it is old".into()));
        }
        for _ in 0..=2 * old.len() {
            // Who was asked for serves before anybody loses patience.
            self.advance(0, Life::Asked, Life::Serves);
            self.leave();
            self.pass_until_due();
        }
        let state = &self.scene.state;
        for key in old {
            let stays = state.workers().get(&key).is_some_and(|worker| !worker.is_draining());
            assert!(!stays, "{key} was not replaced: {state:?}");
        }
        assert!(state.ready(state.generation()) > 0);
    }

    fn want(&mut self, whom: u8) {
        let wanted = u32::from(whom % 6);
        if whom >= 128 {
            self.asked += 1;
            return self.happen(Event::Scale(wanted.max(1), self.asked));
        }
        self.happen(Event::Want(wanted, "so it is".into()));
        if self.scene.state.can_reload() {
            assert_eq!(self.scene.state.current.wanted, wanted);
        }
    }

    fn begin_round(&mut self) {
        self.asked += 1;
        self.happen(Event::ReloadWorkers(Some(self.asked)));
    }

    fn reload(&mut self, whom: u8) {
        self.scene.plan = Plan::fixed(u32::from(whom % 4) + 1, MERCY);
        self.scene.plan.patience =
            [None, Some(Duration::from_secs(30))][usize::from(whom / 12 % 2)];
        self.scene.plan.overlap = [1, 2, u32::MAX][usize::from(whom / 4 % 3)];
        self.asked += 1;
        self.happen(Event::Reload(Some(self.asked)));
    }

    fn pause(&mut self, whom: u8) {
        self.asked += 1;
        let until = if whom.is_multiple_of(2) { Until::Paused } else { Until::Drained };
        self.happen(Event::Pause(Some((self.asked, until))));
    }

    fn resume(&mut self) {
        self.asked += 1;
        self.happen(Event::Resume(Some(self.asked)));
    }

    /// A worker says that it is paused, or was.
    fn obey(&mut self, whom: u8) {
        let Some(key) = self.pick(whom, None) else { return };
        let number = self.pause.unwrap_or(u64::from(whom));
        self.happen(Event::WorkerPaused(key, number, u64::from(whom % 2)));
    }

    fn pass(&mut self, time: Duration) {
        self.scene.now += time;
        self.happen(Event::Tick);
    }

    fn pass_until_due(&mut self) {
        let now = self.scene.now;
        let due = self.scene.state.deadline().unwrap_or(now);
        self.pass(due.saturating_sub(now));
    }

    fn be_impossible(&mut self, whom: u8) {
        let (key, generation) = (self.last_key + 1 + u64::from(whom), 1000);
        let events = [
            Event::Imported(generation),
            Event::TemplateFailed(generation, why()),
            Event::TemplateGone(generation, "left".into()),
            Event::ForkFailed(key, "EAGAIN".into()),
            Event::WorkerReady(key),
            Event::WorkerFailed(key, why()),
            Event::WorkerDraining(key),
            Event::Retire(key, "it is old".into()),
            Event::WorkerExited(key, KILLED),
        ];
        for event in events {
            assert_eq!(self.scene.step(event), []);
        }
    }

    /// Stops it if it has not ended, lets everybody leave, and expects the end exactly once.
    fn end(mut self) -> Option<Outcome> {
        if !self.scene.state.is_stopping() {
            self.happen(Event::Stop);
        }
        while !self.workers.is_empty() {
            self.exit(0);
        }
        self.happen(Event::Stop);
        assert_eq!(self.ends.len(), 1, "{:?}", self.ends);
        assert_eq!(self.answered, (1..=self.asked).collect());
        assert_eq!(self.reloads[0], self.reloads[1] + self.reloads[2]);
        self.ends.pop()
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        // PROPTEST_CASES may ask for more.
        cases: ProptestConfig::default().cases.max(1500),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_happens_it_stays_in_order_and_ends_once(
        processes in 1u32..5,
        moves in prop::collection::vec((0u8..30, any::<u8>()), 0..=60),
    ) {
        let mut world = World::new(processes);
        moves.into_iter().for_each(|one| world.play(one));
        world.end();
    }

    #[test]
    fn whatever_happens_to_an_instance_that_serves_it_stops_as_asked(
        processes in 1u32..5,
        moves in prop::collection::vec((0u8..30, any::<u8>()), 0..=60),
    ) {
        let mut world = World::new(processes);
        world.import(0);
        (0..processes).for_each(|_| world.advance(0, Life::Asked, Life::Serves));
        moves.into_iter().for_each(|one| world.play(one));
        prop_assert_eq!(world.end(), Some(Outcome::Stopped));
    }

    #[test]
    fn whatever_has_happened_who_asks_to_be_replaced_is(
        processes in 1u32..5,
        moves in prop::collection::vec((0u8..30, any::<u8>()), 0..=60),
    ) {
        let mut world = World::new(processes);
        world.import(0);
        (0..processes).for_each(|_| world.advance(0, Life::Asked, Life::Serves));
        moves.into_iter().for_each(|one| world.play(one));
        if !world.scene.state.is_stopping() {
            world.renew_all();
        }
        prop_assert_eq!(world.end(), Some(Outcome::Stopped));
    }
}

/// Found by chance: one more than the overlap allows.
#[test]
fn in_the_place_of_a_stand_in_that_dies_nobody_is_forked_beyond_the_overlap_of_a_reload() {
    let mut world = World::new(1);
    world.import(0);
    world.advance(0, Life::Asked, Life::Serves);
    let moves = [
        [(11, 0), (6, 0), (15, 234), (0, 0), (3, 2), (15, 246), (6, 0)],
        [(25, 21), (3, 0), (0, 0), (6, 11), (13, 122), (0, 0), (0, 0)],
    ];
    moves.concat().into_iter().for_each(|one| world.play(one));
    world.end();
}
