//! How the number of workers follows the load, sentence by sentence, and then at random.

use proptest::prelude::*;

use super::*;

const LEAST: u32 = 2;
const MOST: u32 = 8;
const SPARE: Algorithm = Algorithm::Spare { spares: 1, patience: Duration::from_secs(3) };
const SPARE2: Algorithm = Algorithm::Spare { spares: LEAST, patience: Duration::from_secs(10) };
const BACKLOG: Algorithm = Algorithm::Backlog { limit: 3 };
const BUSYNESS: Algorithm = Algorithm::Busyness(Busyness {
    window: Duration::from_secs(3),
    max: 50,
    min: 25,
    multiplier: 10,
    penalty: 2,
    alert: 33,
    alert_step: 2,
    nonzero: Duration::from_secs(60),
});

/// Workers that take what there is for them, and are there as soon as they are wanted.
struct Site {
    cheaper: Cheaper,
    adaptive: Adaptive,
    wanted: u32,
    threads: u32,
    now: Duration,
    why: String,
}

impl Site {
    fn new(algorithm: Algorithm, wanted: u32) -> Self {
        let cheaper = Cheaper {
            least: LEAST,
            initial: LEAST,
            step: 1,
            algorithm,
            rss_soft: None,
            rss_hard: None,
        };
        let (adaptive, now, why) = (Adaptive::default(), Duration::ZERO, String::new());
        Self { cheaper, adaptive, wanted, threads: 1, now, why }
    }

    fn see(&mut self, sample: Sample) -> u32 {
        let bounds = Bounds { least: LEAST, most: MOST, wanted: self.wanted };
        if let Some((wanted, why)) = self.adaptive.look(&self.cheaper, bounds, sample, self.now) {
            assert!((LEAST..=MOST).contains(&wanted) && wanted != self.wanted, "{wanted}: {why}");
            (self.wanted, self.why) = (wanted, why);
        }
        self.now += self.adaptive.pause();
        self.wanted
    }

    /// What is seen while so many requests are there.
    fn sample(&self, requests: u32) -> Sample {
        let running = requests.min(self.wanted * self.threads);
        Sample {
            ready: self.wanted,
            threads: self.threads,
            running,
            waiting: requests - running,
            rss: 0,
        }
    }

    fn look(&mut self, requests: u32) -> u32 {
        self.see(self.sample(requests))
    }

    /// Looks for so long; how often the number has changed.
    fn pass(&mut self, seconds: u64, mut requests: impl FnMut() -> u32) -> usize {
        let end = self.now + Duration::from_secs(seconds);
        let mut changes = 0;
        while self.now < end {
            let before = self.wanted;
            changes += usize::from(self.look(requests()) != before);
        }
        changes
    }
}

mod spare {
    use super::*;

    #[test]
    fn who_waits_brings_as_many_as_are_needed_and_one_more_at_once() {
        let mut site = Site::new(SPARE, LEAST);
        assert_eq!(site.look(5), 6);
        assert_eq!(site.why, "2 of 2 threads have a request, 3 connections wait");
        assert_eq!(site.look(100), MOST);
        let mut site = Site::new(SPARE, LEAST);
        site.threads = 4;
        assert_eq!(site.look(9), 3);
    }

    #[test]
    fn the_least_step_is_what_was_configured() {
        let mut site = Site::new(SPARE, LEAST);
        site.cheaper.step = 4;
        assert_eq!(site.look(3), 6);
    }

    #[test]
    fn workers_that_are_all_busy_for_a_moment_only_need_no_other() {
        let mut site = Site::new(SPARE, LEAST);
        assert_eq!((site.look(2), site.look(2), site.look(1), site.look(2)), (2, 2, 2, 2));
        assert_eq!((site.look(2), site.look(2), site.look(2)), (2, 2, 3));
        assert_eq!(site.why, "2 of 2 threads have a request, 0 connections wait");
    }

    #[test]
    fn those_that_are_on_their_way_are_not_asked_for_twice() {
        let mut site = Site::new(SPARE, LEAST);
        let sample = site.sample(4);
        assert_eq!((site.see(sample), site.see(sample), site.see(sample)), (5, 5, 5));
    }

    #[test]
    fn one_at_a_time_goes_when_it_was_superfluous_for_long_enough() {
        let mut site = Site::new(SPARE, 5);
        let seen: Vec<u32> = (0..9).map(|_| site.look(0)).collect();
        assert_eq!(seen, [5, 5, 5, 4, 4, 4, 4, 3, 3]);
        assert_eq!(site.why, "for 3 s 2 workers would have done");
        // One request in between, and the time begins anew.
        let mut site = Site::new(SPARE, 3);
        let seen: Vec<u32> = [0, 0, 0, 3, 0, 0, 0, 0].map(|requests| site.look(requests)).to_vec();
        assert_eq!(seen, [3, 3, 3, 3, 3, 3, 3, 2]);
    }

    #[test]
    fn who_was_missed_soon_goes_later_next_time() {
        let mut site = Site::new(SPARE, 3);
        let mut patience = Vec::new();
        for _ in 0..12 {
            site.pass(3600, || 0);
            assert_eq!(site.wanted, LEAST);
            // As if it had gone just now.
            site.adaptive.shrunk_at = Some(site.now);
            assert!(site.look(3) > LEAST);
            patience.push(site.adaptive.patience(&site.cheaper).as_secs());
        }
        assert_eq!(patience, [6, 12, 24, 48, 96, 192, 300, 300, 300, 300, 300, 300]);
        site.pass(10_000, || 0);
        site.look(3);
        assert_eq!(site.adaptive.patience(&site.cheaper).as_secs(), 3);
    }
}

#[test]
fn spare2_keeps_as_many_free_as_cheaper_says() {
    let mut site = Site::new(SPARE2, LEAST);
    assert_eq!((site.look(0), site.look(1), site.look(3), site.look(3)), (2, 3, 5, 5));
    assert_eq!((site.pass(9, || 3), site.wanted), (0, 5));
    site.pass(60, || 1);
    assert_eq!(site.wanted, 3);
}

#[test]
fn backlog_looks_at_who_waits_only() {
    let mut site = Site::new(BACKLOG, LEAST);
    assert_eq!((site.pass(60, || 2), site.pass(60, || 5)), (0, 0));
    assert_eq!(site.look(6), 6);
    assert_eq!(site.why, "4 connections wait, more than 3");
    // Those that are on their way have not had their chance.
    let sample = Sample { ready: LEAST, ..site.sample(60) };
    assert_eq!(site.see(sample), 6);
    site.pass(11, || 1);
    assert_eq!(site.wanted, 5);
    site.pass(60, || 0);
    assert_eq!(site.wanted, LEAST);
}

mod busyness {
    use super::*;

    #[test]
    fn busy_workers_get_help_and_lazy_ones_lose_it() {
        let mut site = Site::new(BUSYNESS, 4);
        assert_eq!(site.pass(60, || 2), 0);
        site.pass(20, || 3);
        assert_eq!(site.wanted, 6);
        assert_eq!(site.why, "the workers are busy for 60 % of their time, more than 50");
        site.pass(30, || 0);
        assert_eq!(site.wanted, 6);
        site.pass(9, || 0);
        assert_eq!(site.wanted, 5);
        assert_eq!(site.why, "for 30 s the workers were busy for less than 25 %");
    }

    #[test]
    fn who_was_missed_soon_goes_later_next_time() {
        let mut site = Site::new(BUSYNESS, 3);
        site.pass(40, || 0);
        assert_eq!(site.wanted, LEAST);
        site.pass(5, || 2);
        assert!(site.wanted > LEAST);
        assert_eq!(site.adaptive.patience(&site.cheaper), Duration::from_secs(36));
    }

    #[test]
    fn many_who_wait_or_some_for_long_are_an_emergency() {
        let mut site = Site::new(BUSYNESS, LEAST);
        let waiting =
            |count| Sample { waiting: count, ready: LEAST, threads: 4, ..Sample::default() };
        assert_eq!((site.see(waiting(33)), site.see(waiting(34))), (2, 4));
        let mut site = Site::new(BUSYNESS, LEAST);
        let seen: Vec<u32> = (0..62).map(|_| site.see(waiting(1))).collect();
        assert_eq!((seen[59], seen[60], seen[61]), (2, 4, 4));
    }
}

#[test]
fn memory_stops_the_growth_and_takes_workers_away() {
    let mut site = Site::new(SPARE, 4);
    (site.cheaper.rss_soft, site.cheaper.rss_hard) = (Some(2 << 20), Some(4 << 20));
    let using = |mebibytes: u64| Sample {
        rss: mebibytes << 20,
        ready: 4,
        threads: 1,
        running: 4,
        waiting: 9,
    };
    assert_eq!(site.see(using(3)), 4);
    assert_eq!((site.see(using(5)), site.see(using(5)), site.see(using(5))), (3, 2, 2));
    assert_eq!(site.why, "the workers use 5 MiB, more than 4 (cheaper-rss-limit-hard)");
    assert_eq!(site.see(using(2)), MOST);
}

#[test]
fn nothing_but_an_administrator_changes_what_is_manual() {
    let mut site = Site::new(Algorithm::Manual, 3);
    assert_eq!((site.pass(600, || 0), site.pass(600, || 50)), (0, 0));
}

fn any_algorithm() -> impl Strategy<Value = Algorithm> {
    prop::sample::select(vec![SPARE, SPARE2, BACKLOG, BUSYNESS])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_seen_there_are_never_fewer_or_more_than_may_be(
        algorithm in any_algorithm(),
        seen in prop::collection::vec((0u32..10, 0u32..40, 0u32..200, 0u64..9000), 0..200),
    ) {
        let mut site = Site::new(algorithm, LEAST);
        site.threads = 4;
        for (ready, running, waiting, millis) in seen {
            site.see(Sample { ready, threads: 4, running, waiting, rss: 0 });
            site.now += Duration::from_millis(millis);
        }
    }

    #[test]
    fn a_steady_load_has_a_steady_number_of_workers_that_serve_it(
        algorithm in any_algorithm(),
        wanted in LEAST..=MOST,
        threads in 1u32..5,
        requests in 0u32..50,
    ) {
        let mut site = Site::new(algorithm, wanted);
        site.threads = threads;
        site.pass(3600, || requests);
        prop_assert_eq!(site.pass(3600, || requests), 0);
        let tolerated = if algorithm == BACKLOG { 3 } else { 0 };
        let enough = site.wanted * threads + tolerated >= requests;
        prop_assert!(enough || site.wanted == MOST, "{} for {requests}", site.wanted);
    }

    #[test]
    fn a_burst_is_served_at_the_second_look_and_its_workers_go_when_it_is_over(
        threads in 1u32..5,
        requests in 0u32..50,
    ) {
        let mut site = Site::new(SPARE, LEAST);
        site.threads = threads;
        let wanted = site.look(requests);
        prop_assert!(wanted * threads >= requests || wanted == MOST, "{wanted} for {requests}");
        site.pass(u64::from(MOST - LEAST) * 4 + 1, || 0);
        prop_assert_eq!(site.wanted, LEAST);
    }

    #[test]
    fn whatever_the_load_was_when_it_is_gone_so_are_the_workers(
        algorithm in any_algorithm(),
        load in prop::collection::vec(0u32..20, 0..300),
    ) {
        let mut site = Site::new(algorithm, LEAST);
        for requests in load {
            site.look(requests);
        }
        site.pass(u64::from(MOST - LEAST) * 310, || 0);
        prop_assert_eq!(site.wanted, LEAST);
    }

    #[test]
    fn a_load_between_two_numbers_does_not_have_workers_come_and_go_for_ever(
        algorithm in any_algorithm(),
        low in 0u32..8,
        swing in 1u32..4,
        period in 2u32..30,
    ) {
        let mut site = Site::new(algorithm, LEAST);
        let mut turn = 0;
        let mut requests = || {
            turn += 1;
            if turn / period % 2 == 0 { low } else { low + swing }
        };
        site.pass(3600, &mut requests);
        let changes = site.pass(3600, &mut requests);
        prop_assert!(changes <= 120, "{changes} changes in an hour");
    }
}
