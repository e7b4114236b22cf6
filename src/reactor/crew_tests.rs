//! Who leads when: with threads, and without Python.

use std::future::poll_fn;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Condvar, mpsc};
use std::task::{Poll, Waker};

use super::*;

/// Counts looks, if there is somewhere to count them.
#[derive(Default)]
struct Looks {
    look: Option<mpsc::Sender<()>>,
    from_the_start: bool,
    /// How many jobs may wait, if not all.
    most: Option<usize>,
    turned_away: Arc<AtomicUsize>,
}
impl Duty<Job> for Looks {
    fn timeout(&self, _: Moment) -> Option<Duration> {
        None
    }
    fn on_time(&self, _: Moment) {}
    fn on_token(&self, _: Token) {}
    fn is_door(&self, _: Token) -> bool {
        false
    }
    fn is_sole(&self) -> bool {
        false
    }
    fn admit(&self, _: Token) -> bool {
        false
    }
    fn take_in(&self, _: bool) {}
    fn overdue(&self) {}
    fn bounds(&self) -> Bounds {
        let most = self.most.unwrap_or(usize::MAX);
        Bounds { most, patience: Duration::from_millis(10), timeout: None }
    }
    fn turn_away(&self, _: Job, _: Option<Duration>) {
        self.turned_away.fetch_add(1, SeqCst);
    }
    fn waiting(&self, _: usize) {}
    fn watches(&self) -> bool {
        self.from_the_start
    }
    fn look(&self) {
        let _ = self.look.as_ref().unwrap().send(());
    }
}

type Job = Box<dyn FnOnce() + Send>;
struct Plain;
impl Hands<Job> for Plain {
    fn run(&mut self, job: Job) {
        job();
    }
    fn wait(&mut self, wait: &mut (dyn FnMut() + Send)) {
        wait();
    }
}

fn with_crew(hands: Id, test: impl FnOnce(&Arc<Crew<Job>>)) {
    with_duty(hands, Looks::default(), test);
}

fn with_duty(hands: Id, duty: Looks, test: impl FnOnce(&Arc<Crew<Job>>)) {
    let crew = Arc::new(Crew::<Job>::new(Reactor::new().unwrap(), Box::new(duty)));
    std::thread::scope(|scope| {
        scope.spawn(|| crew.watch());
        for me in 1..=hands {
            let crew = &crew;
            scope.spawn(move || crew.serve(me, &mut Plain));
        }
        test(&crew);
        crew.stop();
    });
}

fn submit(crew: &Arc<Crew<Job>>, job: impl FnOnce() + Send + 'static) {
    let theirs = Arc::clone(crew);
    crew.reactor().spawn(async move { theirs.submit(Box::new(job)) });
}

#[test]
fn one_hand_runs_every_job() {
    with_crew(1, |crew| {
        let (done, all) = mpsc::channel();
        for number in 0..1000 {
            let done = done.clone();
            submit(crew, move || done.send(number).unwrap());
        }
        let mut got: Vec<i32> = all.iter().take(1000).collect();
        got.sort_unstable();
        assert_eq!(got, (0..1000).collect::<Vec<_>>());
    });
}

#[test]
fn behind_short_jobs_too_many_are_turned_away() {
    const ALL: usize = 200;
    let (ran, turned_away) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let duty = Looks { most: Some(5), turned_away: Arc::clone(&turned_away), ..Looks::default() };
    let crew = Arc::new(Crew::<Job>::new(Reactor::new().unwrap(), Box::new(duty)));
    for _ in 0..ALL {
        let (ran, turned_away, theirs) =
            (Arc::clone(&ran), Arc::clone(&turned_away), Arc::clone(&crew));
        submit(&crew, move || {
            let began = Instant::now();
            while began.elapsed() < Duration::from_millis(1) {}
            if ran.fetch_add(1, SeqCst) + 1 + turned_away.load(SeqCst) == ALL {
                theirs.stop();
            }
        });
    }
    // There is no watcher who could take the lead: it is the hand that finds them.
    crew.serve(1, &mut Plain);
    assert_eq!(ran.load(SeqCst) + turned_away.load(SeqCst), ALL);
    assert!(turned_away.load(SeqCst) > 100, "{turned_away:?}");
    assert!(ran.load(SeqCst) >= 5, "{ran:?}");
}

#[test]
fn a_stuck_job_does_not_stop_tasks_of_the_others() {
    with_crew(1, |crew| {
        let (release, stuck) = mpsc::channel::<()>();
        let (begun, began) = mpsc::channel();
        submit(crew, move || {
            begun.send(()).unwrap();
            let _ = stuck.recv();
        });
        began.recv().unwrap();
        let (polled, was_polled) = mpsc::channel();
        crew.reactor().spawn(async move { polled.send(()).unwrap() });
        was_polled.recv_timeout(Duration::from_secs(20)).unwrap();
        release.send(()).unwrap();
        let (ran, has_run) = mpsc::channel();
        submit(crew, move || ran.send(()).unwrap());
        has_run.recv_timeout(Duration::from_secs(20)).unwrap();
    });
}

#[test]
fn blocked_hands_leave_work_to_the_free_ones() {
    with_crew(4, |crew| {
        let (release, stuck) = mpsc::channel::<()>();
        let stuck = Arc::new(Mutex::new(stuck));
        let running = Arc::new(AtomicUsize::new(0));
        for _ in 0..3 {
            let (stuck, running) = (Arc::clone(&stuck), Arc::clone(&running));
            submit(crew, move || {
                running.fetch_add(1, SeqCst);
                let _ = stuck.lock().unwrap().recv();
            });
        }
        let (ran, has_run) = mpsc::channel();
        submit(crew, move || ran.send(()).unwrap());
        has_run.recv_timeout(Duration::from_secs(20)).unwrap();
        drop(release);
    });
}

/// One short job after the other, until it is over.
fn again(crew: &Arc<Crew<Job>>, over: &Arc<AtomicBool>) {
    let (theirs, ends) = (Arc::clone(crew), Arc::clone(over));
    let job = move || {
        if !ends.load(SeqCst) {
            again(&theirs, &ends);
        }
    };
    crew.submit(Box::new(job));
}

#[test]
fn jobs_without_end_stop_neither_tasks_nor_events() {
    with_crew(1, |crew| {
        let over = Arc::new(AtomicBool::new(false));
        let (theirs, ends) = (Arc::clone(crew), Arc::clone(&over));
        crew.reactor().spawn(async move { again(&theirs, &ends) });
        let (polled, was_polled) = mpsc::channel();
        let (ours, peers) = std::os::unix::net::UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let source = crate::Source::new(crew.reactor(), ours.into());
        crew.reactor().spawn(async move {
            polled.send(()).unwrap();
            let read = |cx: &mut std::task::Context<'_>| {
                source.poll(crate::Direction::Read, cx, |fd| {
                    let count = nix::unistd::read(fd, &mut [0; 8])?;
                    Ok((count, false))
                })
            };
            poll_fn(read).await.unwrap();
            polled.send(()).unwrap();
        });
        was_polled.recv_timeout(Duration::from_secs(20)).unwrap();
        std::io::Write::write_all(&mut &peers, b"x").unwrap();
        was_polled.recv_timeout(Duration::from_secs(20)).unwrap();
        over.store(true, SeqCst);
    });
}

#[test]
fn a_job_that_waits_for_the_leader_steps_aside() {
    with_crew(1, |crew| {
        let (done, is_done) = mpsc::channel();
        let theirs = Arc::clone(crew);
        submit(crew, move || {
            let (fed, food) = mpsc::channel();
            theirs.reactor().spawn(async move { fed.send(()).unwrap() });
            theirs.step_aside(1);
            done.send(food.recv_timeout(Duration::from_secs(20)).is_ok()).unwrap();
        });
        assert!(is_done.recv().unwrap());
    });
}
#[test]
fn jobs_are_looked_at_while_one_runs_and_no_longer() {
    let (look, looks) = mpsc::channel();
    with_duty(3, Looks { look: Some(look), from_the_start: true, ..Looks::default() }, |crew| {
        let (release, stuck) = mpsc::channel::<()>();
        submit(crew, move || {
            let _ = stuck.recv();
        });
        // Another hand leads, and has nothing to do.
        (0..4).for_each(|_| looks.recv_timeout(Duration::from_secs(20)).unwrap());
        release.send(()).unwrap();
        // The watcher goes to sleep between the jobs: it has to be woken.
        while looks.recv_timeout(LOOK * 3).is_ok() {}
        let (release, stuck) = mpsc::channel::<()>();
        submit(crew, move || {
            let _ = stuck.recv();
        });
        (0..4).for_each(|_| looks.recv_timeout(Duration::from_secs(20)).unwrap());
        release.send(()).unwrap();
    });
}

#[test]
fn the_first_job_that_asks_for_it_is_looked_at_already() {
    let (look, looks) = mpsc::channel();
    with_duty(2, Looks { look: Some(look), from_the_start: false, ..Looks::default() }, |crew| {
        let (asks, asked) = mpsc::channel::<()>();
        let (release, stuck) = mpsc::channel::<()>();
        let theirs = Arc::clone(crew);
        submit(crew, move || {
            let _ = asked.recv();
            theirs.watch_job();
            theirs.watch_job();
            let _ = stuck.recv();
        });
        // By now the watcher sleeps, and will not look by itself.
        assert!(looks.recv_timeout(LOOK * 3).is_err());
        asks.send(()).unwrap();
        (0..4).for_each(|_| looks.recv_timeout(Duration::from_secs(20)).unwrap());
        release.send(()).unwrap();
        while looks.recv_timeout(LOOK * 3).is_ok() {}
        let (release, stuck) = mpsc::channel::<()>();
        submit(crew, move || {
            let _ = stuck.recv();
        });
        (0..4).for_each(|_| looks.recv_timeout(Duration::from_secs(20)).unwrap());
        release.send(()).unwrap();
        while looks.recv_timeout(LOOK * 3).is_ok() {}
    });
}

#[test]
fn a_hand_that_always_has_another_short_job_gets_the_lead_back() {
    with_crew(1, |crew| {
        let over = Arc::new(AtomicBool::new(false));
        let (release, stuck) = mpsc::channel::<()>();
        let (theirs, ends) = (Arc::clone(crew), Arc::clone(&over));
        submit(crew, move || {
            let _ = stuck.recv();
            again(&theirs, &ends);
        });
        let until = |crowded: bool| {
            let deadline = Instant::now() + Duration::from_secs(20);
            while crew.is_crowded() != crowded {
                assert!(Instant::now() < deadline, "crowded: {}", !crowded);
                std::thread::yield_now();
            }
        };
        until(true);
        release.send(()).unwrap();
        until(false);
        over.store(true, SeqCst);
    });
}

const LONG: Duration = Duration::from_secs(20);

/// What has happened to requests, in order.
#[derive(Default)]
struct Told {
    all: Mutex<Vec<String>>,
    more: Condvar,
}

impl Told {
    fn tell(&self, what: String) {
        self.all.lock().unwrap().push(what);
        self.more.notify_all();
    }

    fn has(&self, what: &str) -> bool {
        self.all.lock().unwrap().iter().any(|told| told == what)
    }

    fn wait(&self, what: &str) {
        self.wait_for(what, |told| told == what);
    }

    fn wait_for(&self, what: &str, is_it: impl Fn(&str) -> bool) {
        let all = self.all.lock().unwrap();
        let is_missing = |all: &mut Vec<String>| !all.iter().any(|told| is_it(told));
        let (all, end) = self.more.wait_timeout_while(all, LONG, is_missing).unwrap();
        assert!(!end.timed_out(), "{what} never: {all:?}");
    }
}

/// A request: its job does `work` and responds.
fn ask(crew: &Arc<Crew<Job>>, told: &Arc<Told>, name: &'static str, work: fn(&Told)) {
    let (theirs, told) = (Arc::clone(crew), Arc::clone(told));
    crew.reactor().spawn(async move {
        let response = Arc::new((AtomicBool::new(false), Mutex::new(None::<Waker>)));
        let (given, tells) = (Arc::clone(&response), Arc::clone(&told));
        let crew = Arc::clone(&theirs);
        let job = move || {
            work(&tells);
            tells.tell(format!("{name} ran"));
            given.0.store(true, SeqCst);
            crew.respond(1, || given.1.lock().unwrap().take().unwrap().wake());
        };
        let mut job = Some(Box::new(job) as Job);
        poll_fn(|cx| {
            *response.1.lock().unwrap() = Some(cx.waker().clone());
            job.take().into_iter().for_each(|job| theirs.submit(job));
            if response.0.load(SeqCst) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        told.tell(format!("{name} is answered"));
    });
}

/// What happens to three requests that come while a job runs, when jobs have been such as rounds are made of:
/// two of them are one.
fn three_requests(second: fn(&Told)) -> Vec<String> {
    let told = Arc::new(Told::default());
    with_crew(1, |crew| {
        crew.pace.mean_nanos.store(100_000, Relaxed);
        let (theirs, tells) = (Arc::clone(crew), Arc::clone(&told));
        submit(crew, move || {
            ask(&theirs, &tells, "a", |_| {});
            ask(&theirs, &tells, "b", second);
            ask(&theirs, &tells, "c", |_| {});
        });
        for name in ["a", "b", "c"] {
            told.wait(&format!("{name} is answered"));
        }
    });
    told.all.lock().unwrap().clone()
}

#[test]
fn a_round_is_answered_when_its_jobs_have_run() {
    let began = Instant::now();
    // Should the machine stop this thread meanwhile, jobs are long, and there are no rounds.
    let first = ["a ran", "b ran", "a is answered", "b is answered"];
    let then = ["c ran", "c is answered"];
    while three_requests(|_| {}) != [&first[..], &then].concat() {
        assert!(began.elapsed() < LONG);
    }
}

#[test]
fn who_takes_the_lead_from_a_long_job_answers_what_its_round_has_left() {
    static IS_LEFT: AtomicBool = AtomicBool::new(false);
    let began = Instant::now();
    while !IS_LEFT.load(SeqCst) {
        assert!(began.elapsed() < LONG);
        three_requests(|told| {
            IS_LEFT.fetch_or(!told.has("a is answered"), SeqCst);
            told.wait("a is answered");
        });
    }
}

#[test]
fn a_round_whose_jobs_take_longer_than_those_before_ends_in_time() {
    let told = Arc::new(Told::default());
    with_crew(1, |crew| {
        crew.pace.mean_nanos.store(100_000, Relaxed);
        let (theirs, tells) = (Arc::clone(crew), Arc::clone(&told));
        submit(crew, move || {
            for name in ["a", "b", "c", "d", "e"] {
                ask(&theirs, &tells, name, |_| {
                    let began = Instant::now();
                    while began.elapsed() < ROUND * 3 / 4 {
                        std::hint::spin_loop();
                    }
                });
            }
        });
        told.wait("e is answered");
    });
    let all = told.all.lock().unwrap();
    let at = |what| all.iter().position(|told| told == what);
    assert!(at("a is answered") < at("e ran"), "{all:?}");
}

/// A request whose job does `work` with what gives parts of the response: they are told when they are taken.
fn ask_in_parts(
    crew: &Arc<Crew<Job>>,
    told: &Arc<Told>,
    work: fn(&Told, give: &dyn Fn(&'static str, bool)),
) {
    type Parts = Arc<Mutex<(Vec<&'static str>, Option<Waker>)>>;
    let (theirs, told) = (Arc::clone(crew), Arc::clone(told));
    crew.reactor().spawn(async move {
        let parts = Parts::default();
        let (given, tells, crew) = (Arc::clone(&parts), Arc::clone(&told), Arc::clone(&theirs));
        let job = move || {
            let put = |part| {
                let waker = {
                    let mut given = given.lock().unwrap();
                    given.0.push(part);
                    given.1.take()
                };
                waker.into_iter().for_each(Waker::wake);
            };
            work(&tells, &|part, is_enough| {
                crew.respond_in_part(1, false, || {
                    put(part);
                    is_enough
                });
            });
            crew.respond_at_last(1, || put("end"));
            tells.tell("ran".into());
        };
        let mut job = Some(Box::new(job) as Job);
        poll_fn(|cx| {
            job.take().into_iter().for_each(|job| theirs.submit(job));
            let mut parts = parts.lock().unwrap();
            let taken = std::mem::take(&mut parts.0);
            if !taken.is_empty() {
                told.tell(taken.join("+"));
            }
            parts.1 = Some(cx.waker().clone());
            if taken.contains(&"end") { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    });
}

fn parts_of(work: fn(&Told, give: &dyn Fn(&'static str, bool))) -> Vec<String> {
    let told = Arc::new(Told::default());
    with_crew(1, |crew| {
        ask_in_parts(crew, &told, work);
        told.wait("ran");
    });
    told.all.lock().unwrap().clone()
}

#[test]
fn parts_of_a_response_leave_together() {
    let began = Instant::now();
    // Should the machine stop this thread meanwhile, the watcher sends what is there.
    while parts_of(|_, give| {
        give("a", false);
        give("b", false);
    }) != ["a+b+end", "ran"]
    {
        assert!(began.elapsed() < LONG);
    }
}

#[test]
fn what_is_enough_of_a_response_leaves_at_once() {
    parts_of(|told, give| {
        give("a", true);
        assert!(told.has("a"));
        give("b", true);
        assert!(told.has("b"));
    });
}

#[test]
fn parts_leave_while_the_job_goes_on_whoever_leads() {
    parts_of(|told, give| {
        // This thread leads; then the watcher does, and the second of two parts does not come alone.
        give("a", false);
        told.wait("a");
        give("b", false);
        give("c", false);
        told.wait_for("c", |told| told.ends_with('c'));
    });
}

/// Whether that comes true in time.
fn comes_true(what: impl Fn() -> bool) -> bool {
    let began = Instant::now();
    while began.elapsed() < LONG {
        if what() {
            return true;
        }
        std::thread::yield_now();
    }
    false
}

/// Runs a job on a hand that has not led any more for a while; returns what it returns.
fn without_the_lead(job: impl FnOnce(&Arc<Crew<Job>>, Id) -> bool + Send + 'static) -> bool {
    let (tell, told) = mpsc::channel();
    let mut is_true = false;
    with_crew(2, |crew| {
        let theirs = Arc::clone(crew);
        submit(crew, move || {
            let me = ME.get();
            let has_lost = comes_true(|| theirs.lead.read().holder().is_some_and(|id| id != me));
            tell.send(has_lost && job(&theirs, me)).unwrap();
        });
        is_true = told.recv().unwrap();
    });
    is_true
}

/// A task that counts how often it is polled, and its waker.
#[derive(Default)]
struct Polled {
    count: AtomicUsize,
    waker: Mutex<Option<Waker>>,
}

impl Polled {
    fn spawn(crew: &Arc<Crew<Job>>, also: impl Fn() + Send + 'static) -> Arc<Self> {
        let polled = Arc::new(Self::default());
        let theirs = Arc::clone(&polled);
        crew.reactor().spawn(poll_fn(move |cx| {
            *theirs.waker.lock().unwrap() = Some(cx.waker().clone());
            if theirs.count.fetch_add(1, SeqCst) > 0 {
                also();
            }
            Poll::<()>::Pending
        }));
        comes_true(|| polled.waker.lock().unwrap().is_some());
        polled
    }

    fn wake(&self) {
        self.waker.lock().unwrap().take().into_iter().for_each(Waker::wake);
    }
}

#[test]
fn a_part_that_is_given_while_the_watcher_sends_the_last_one_leaves_in_time() {
    let has_left = without_the_lead(|crew, me| {
        let polled = Polled::spawn(crew, || {});
        let sleeps = || crew.watcher_sleeps.load(SeqCst) && !crew.reactor.gathers();
        let give = |before: &dyn Fn() -> bool| {
            crew.respond_in_part(me, false, || {
                before();
                polled.wake();
                false
            });
        };
        // The first is alone; the thread is held up with the third until the second is gone.
        give(&|| comes_true(sleeps));
        give(&|| true);
        give(&|| comes_true(sleeps));
        let before = polled.count.load(SeqCst);
        comes_true(|| polled.count.load(SeqCst) > before)
    });
    assert!(has_left);
}

#[test]
fn who_waits_for_the_client_sends_first_what_it_has() {
    let has_left = without_the_lead(|crew, me| {
        let polled = Polled::spawn(crew, || {});
        for _ in 0..2 {
            crew.respond_in_part(me, false, || {
                polled.wake();
                false
            });
            crew.step_aside(me);
        }
        polled.count.load(SeqCst) == 3
    });
    assert!(has_left);
}

#[test]
fn a_job_that_is_submitted_by_who_does_not_lead_is_run_by_who_does() {
    let has_run = without_the_lead(|crew, me| {
        let ran = Arc::new(AtomicBool::new(false));
        let (tells, theirs) = (Arc::clone(&ran), Arc::clone(crew));
        let polled = Polled::spawn(crew, move || {
            let tells = Arc::clone(&tells);
            theirs.submit(Box::new(move || tells.store(true, SeqCst)));
        });
        comes_true(|| crew.watcher_sleeps.load(SeqCst));
        crew.respond(me, || polled.wake());
        comes_true(|| ran.load(SeqCst))
    });
    assert!(has_run);
}

#[test]
fn only_who_leads_gives_the_lead_up() {
    let began = Instant::now();
    let is_kept = Arc::new(AtomicBool::new(false));
    with_crew(1, |crew| {
        // Unless the watcher has taken it meanwhile.
        while !is_kept.load(SeqCst) && began.elapsed() < LONG {
            let (theirs, kept, (tell, told)) =
                (Arc::clone(crew), Arc::clone(&is_kept), mpsc::channel());
            submit(crew, move || {
                let me = ME.get();
                std::thread::scope(|scope| {
                    scope.spawn(|| theirs.step_aside(me));
                });
                kept.store(theirs.lead.read().holder() == Some(me), SeqCst);
                tell.send(()).unwrap();
            });
            told.recv().unwrap();
        }
    });
    assert!(is_kept.load(SeqCst));
}
