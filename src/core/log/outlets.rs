//! The sinks of a process, and which entry goes to which of them.

use std::os::fd::OwnedFd;

use super::batch::{Batch, Piece};
use super::sink::{Dress, Sink, Style};
use super::{Entry, Speaker};
use crate::config::logging::{Encoder, Log, Sinks};
use crate::config::pattern::Pattern;

/// One sink, as nearly always, or several.
pub(super) struct Outlets {
    main: Sink,
    copies: Vec<Sink>,
    routes: Vec<(Pattern, Sink)>,
    drains: Vec<Pattern>,
    filters: Vec<Pattern>,
}

impl Outlets {
    /// Opens those of the log of a process; `file` is taken for the first, where that is a file.
    pub(super) fn of_everything(log: &Log, speaker: &Speaker, file: Option<OwnedFd>) -> Self {
        let main = Sink::open(&log.sinks.target, log, speaker, file).noted();
        let (drains, filters) = (log.drains.clone(), log.filters.clone());
        let outlets = Self::beside(main, &log.sinks, log, speaker, &log.encoders);
        Self { drains, filters, ..outlets }
    }

    /// Opens those of requests alone.
    pub(super) fn of_requests(sinks: &Sinks, log: &Log, speaker: &Speaker) -> Self {
        let encoders = &log.requests.encoders;
        let main = Sink::open(&sinks.target, log, speaker, None).encoded(encoders);
        Self::beside(main, sinks, log, speaker, encoders)
    }

    fn beside(
        main: Sink,
        sinks: &Sinks,
        log: &Log,
        speaker: &Speaker,
        encoders: &[Encoder],
    ) -> Self {
        let open = |target, encoders| Sink::open(target, log, speaker, None).encoded(encoders);
        Self {
            main,
            copies: sinks.copies.iter().map(|target| open(target, encoders)).collect(),
            routes: sinks
                .routes
                .iter()
                .map(|route| (route.pattern.clone(), open(&route.target, &route.encoders)))
                .collect(),
            drains: Vec::new(),
            filters: Vec::new(),
        }
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Sink> {
        let routes = self.routes.iter_mut().map(|(_, sink)| sink);
        std::iter::once(&mut self.main).chain(&mut self.copies).chain(routes)
    }

    /// What a request is to be prepared for.
    pub(super) fn style(&self) -> Style {
        let is_alone = self.copies.is_empty() && self.routes.is_empty();
        if is_alone && !self.is_choosy() { self.main.style() } else { Style::Message }
    }

    pub(super) fn dress(&self) -> &Dress {
        self.main.dress()
    }

    /// Whether journald keeps what goes here, and its limits hold.
    pub(super) fn is_kept_by_journald(&mut self) -> bool {
        self.all().any(|sink| sink.is_kept_by_journald())
    }

    /// Whether something is left out.
    fn is_choosy(&self) -> bool {
        !self.drains.is_empty() || !self.filters.is_empty()
    }

    fn takes(&self, piece: &Piece<'_>) -> bool {
        let message = piece.message();
        let matches = |pattern: &Pattern| pattern.matches(&message);
        !self.drains.iter().any(matches)
            && (self.filters.is_empty() || self.filters.iter().any(matches))
    }

    /// Writes everything that is not to be left out, in order.
    pub(super) fn write_all(&mut self, batch: &Batch) {
        let mut pieces: Vec<_> = batch.pieces().collect();
        if self.is_choosy() {
            pieces.retain(|piece| self.takes(piece));
        }
        if self.routes.is_empty() {
            self.main.write_all(&pieces);
            return self.copies.iter_mut().for_each(|sink| sink.write_all(&pieces));
        }
        let mut taken = vec![false; pieces.len()];
        for (pattern, sink) in &mut self.routes {
            let matches = |piece: &Piece<'_>| pattern.matches(&piece.message());
            let theirs: Vec<_> = pieces
                .iter()
                .zip(&mut taken)
                .filter(|(piece, _)| matches(piece))
                .map(|(piece, taken)| {
                    *taken = true;
                    *piece
                })
                .collect();
            sink.write_all(&theirs);
        }
        let rest = pieces.iter().zip(taken).filter(|(_, taken)| !taken);
        let rest: Vec<_> = rest.map(|(piece, _)| *piece).collect();
        self.main.write_all(&rest);
        self.copies.iter_mut().for_each(|sink| sink.write_all(&rest));
    }

    /// Writes one entry.
    pub(super) fn write(&mut self, entry: Entry) {
        let mut batch = Batch::default();
        batch.push(entry);
        self.write_all(&batch);
    }

    pub(super) fn reopen(&mut self) {
        self.all().for_each(Sink::reopen);
    }

    /// So many did not even come here.
    pub(super) fn lose(&mut self, count: u64, why: &str) {
        self.main.lose(count, why);
    }

    pub(super) fn has_losses(&mut self) -> bool {
        self.all().any(|sink| sink.has_losses())
    }

    pub(super) fn tell_losses(&mut self) {
        self.all().for_each(Sink::tell_losses);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Event, Level};
    use super::*;
    use crate::config::LogTarget;
    use crate::config::logging::Route;

    #[test]
    fn a_route_takes_what_matches_and_copies_get_the_rest() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| LogTarget::File(directory.path().join(name));
        let sinks = Sinks {
            target: file("main"),
            copies: vec![file("copy")],
            routes: vec![Route {
                pattern: "^error: ".parse().unwrap(),
                target: file("errors"),
                encoders: vec![Encoder::Prefix("E] ".to_owned())],
            }],
        };
        let drains = vec!["thr.e".parse().unwrap()];
        let filters = vec!["one".parse().unwrap(), "t".parse().unwrap()];
        let log = Log { sinks, drains, filters, ..Log::default() };
        let speaker = Speaker { instance: "shop".into(), worker: None };
        let mut outlets = Outlets::of_everything(&log, &speaker, None);
        outlets.write(Entry::new(Level::Error, Event::Traceback, "one"));
        for text in ["two", "three", "four"] {
            outlets.write(Entry::new(Level::Info, Event::Ready, text));
        }
        let said = |name: &str| {
            let text = std::fs::read_to_string(directory.path().join(name)).unwrap();
            text.lines()
                .map(|line| line.rsplit("] ").next().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(said("errors"), ["error: one"]);
        let errors = std::fs::read_to_string(directory.path().join("errors")).unwrap();
        assert!(errors.starts_with("E] "), "{errors}");
        assert_eq!(said("main"), ["two"], "`three` is drained, and no filter takes `four`");
        assert_eq!(said("copy"), said("main"));
    }
}
