//! The requests that a worker had not finished when it ended, in words.

use rwsgi_core::log::Entry;
use rwsgi_core::running::Running;

/// More than this many are counted, not named.
const NAMED: usize = 8;

/// What a worker was doing, the longest first.
#[derive(Debug, Default)]
pub struct Unfinished(Vec<Running>);

impl Unfinished {
    /// These requests.
    pub fn new(running: Vec<Running>) -> Self {
        Self(running)
    }

    /// Whether it was idle.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// ` while it ran GET /reports/7 (2.3 s)`; nothing when it ran nothing.
    pub fn clause(&self) -> String {
        if self.is_empty() {
            return String::new();
        }
        let named: Vec<_> = self.0.iter().take(NAMED).map(one).collect();
        let more = match self.0.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!(" while it ran {}{more}", named.join(", "))
    }

    /// Adds the fields that name them, several of each name where it was several requests.
    pub fn add_to(&self, entry: Entry) -> Entry {
        self.0.iter().take(NAMED).fold(entry, |entry, running| {
            entry
                .number("REQUEST_ID", &running.id)
                .field("REQUEST_METHOD", running.method.clone())
                .field("REQUEST_PATH", running.path.clone())
        })
    }
}

fn one(running: &Running) -> String {
    let seconds = running.age().as_secs_f64();
    format!("{} {} ({seconds:.1} s)", running.method, running.path)
}

#[cfg(test)]
mod tests {
    use rwsgi_core::log::{self, Event};
    use rwsgi_core::request_id::RequestId;
    use rwsgi_core::scoreboard::Scoreboard;

    use super::*;

    fn unfinished(count: u16) -> Unfinished {
        let board = Scoreboard::create(1).unwrap();
        let slot = board.slot(0).unwrap();
        let id = RequestId::Given("r".into());
        (1..=count).for_each(|thread| slot.begin_request(thread, &id, "GET", format!("/{thread}")));
        Unfinished::new(slot.running())
    }

    #[test]
    fn a_request_is_named_with_its_age() {
        assert_eq!(unfinished(1).clause(), " while it ran GET /1 (0.0 s)");
        assert_eq!(unfinished(0).clause(), "");
    }

    #[test]
    fn of_many_requests_the_first_are_named_and_all_are_counted() {
        let clause = unfinished(12).clause();
        assert_eq!(clause.matches("GET /").count(), NAMED);
        assert!(clause.ends_with(" (0.0 s) and 4 more"), "{clause}");
    }

    #[test]
    fn fields_name_each_request() {
        let entry = unfinished(2).add_to(log::error(Event::WorkerDied, "died"));
        let mut fields: Vec<_> = entry.fields.iter().map(|(n, v)| format!("{n}={v}")).collect();
        fields.sort();
        let (id, method) = ("REQUEST_ID=r", "REQUEST_METHOD=GET");
        assert_eq!(fields, [id, id, method, method, "REQUEST_PATH=/1", "REQUEST_PATH=/2"]);
    }
}
