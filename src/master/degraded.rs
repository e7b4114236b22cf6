//! A template that cannot be started while workers serve: nothing is wrong for who asks them, and
//! nothing must go wrong with them.
//!
//! It is told when it begins, when its reason changes and when it is over, not at each attempt.

use std::time::Duration;

use rwsgi_core::ipc::Failure;
use rwsgi_core::log::{self, Event as Said};

use crate::boot::with_failure;
use crate::master::Master;

/// Why there is no template, if there is none.
#[derive(Debug, Default)]
pub(crate) struct Degraded {
    reason: Option<String>,
}

impl Degraded {
    /// There is none, for this reason: whether that is news.
    fn begin(&mut self, reason: &str) -> bool {
        let is_news = self.reason.as_deref() != Some(reason);
        self.reason = Some(reason.to_owned());
        is_news
    }

    /// There is one again: whether there was none.
    pub(crate) fn end(&mut self) -> bool {
        self.reason.take().is_some()
    }

    /// In one line.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.reason.as_deref()?.lines().next()
    }
}

impl Master {
    pub(crate) fn template_died(&mut self, why: &Failure, delay: Duration) {
        if !self.degraded.begin(&why.summary) {
            return;
        }
        let when = match delay.as_secs() {
            0 => "at once".to_owned(),
            seconds => format!("in {seconds} s"),
        };
        let mut message = format!(
            "{}; the workers serve on, a new template is started {when}. Until there is one, no worker \
             can be replaced; attempts that fail in the same way are not told",
            why.summary
        );
        if !why.traceback.is_empty() {
            message = format!("{message}\n{}", why.traceback);
        }
        with_failure(log::error(Said::TemplateDied, message), why).send();
    }

    pub(crate) fn template_is_there(&mut self) {
        if self.degraded.end() {
            log::notice(Said::TemplateBack, "there is a template again: workers can be replaced")
                .send();
            self.tell_status();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_news_when_it_begins_changes_or_ends() {
        let mut degraded = Degraded::default();
        assert!(!degraded.end());
        assert!(degraded.begin("no python"));
        assert!(!degraded.begin("no python"));
        assert!(degraded.begin("no application\nat all"));
        assert_eq!(degraded.reason(), Some("no application"));
        assert!(degraded.end() && !degraded.end());
        assert!(degraded.begin("no application\nat all"));
    }
}
