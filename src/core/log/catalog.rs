//! What `journalctl -x` says below an entry: what happened, why, and what to do about it.
//!
//! A new [`Event`] gets its text in `explanations`: [`text`] does not compile without one. Then
//! `packaging/generate` writes the file anew.

use std::fmt::Write as _;

use super::Event;
use super::explanations as of;

/// The text about one event. `@NAME@` becomes the value of that field of the entry.
pub(super) struct Text {
    /// The heading.
    pub(super) subject: &'static str,
    /// What happened, and what can have caused it.
    pub(super) cause: &'static str,
    /// What to do, or look at.
    pub(super) remedy: &'static str,
    /// Where more is to be read.
    pub(super) manual: &'static str,
}

fn text(event: Event) -> Text {
    match event {
        Event::ConfigWarning => of::CONFIG_WARNING,
        Event::ConfigError => of::CONFIG_ERROR,
        Event::Starting => of::STARTING,
        Event::Listening => of::LISTENING,
        Event::Imported => of::IMPORTED,
        Event::ImportFailed => of::IMPORT_FAILED,
        Event::NotForWorkers => of::NOT_FOR_WORKERS,
        Event::Ready => of::READY,
        Event::WorkerReady => of::WORKER_READY,
        Event::WorkerExited => of::WORKER_EXITED,
        Event::WorkerDied => of::WORKER_DIED,
        Event::WorkerRespawned => of::WORKER_RESPAWNED,
        Event::Resized => of::RESIZED,
        Event::CrashLoop => of::CRASH_LOOP,
        Event::TemplateDied => of::TEMPLATE_DIED,
        Event::TemplateBack => of::TEMPLATE_BACK,
        Event::OutOfMemory => of::OUT_OF_MEMORY,
        Event::MemoryPressure => of::MEMORY_PRESSURE,
        Event::Touched => of::TOUCHED,
        Event::Reloading => of::RELOADING,
        Event::Reloaded => of::RELOADED,
        Event::ReloadFailed => of::RELOAD_FAILED,
        Event::WarmUp => of::WARM_UP,
        Event::ProbeFailed => of::PROBE_FAILED,
        Event::Takeover => of::TAKEOVER,
        Event::Hook => of::HOOK,
        Event::HookFailed => of::HOOK_FAILED,
        Event::Cache => of::CACHE,
        Event::Stopping => of::STOPPING,
        Event::Stopped => of::STOPPED,
        Event::Failed => of::FAILED,
        Event::Paused => of::PAUSED,
        Event::Resumed => of::RESUMED,
        Event::Command => of::COMMAND,
        Event::CommandStarted => of::COMMAND_STARTED,
        Event::CommandEnded => of::COMMAND_ENDED,
        Event::CommandFailed => of::COMMAND_FAILED,
        Event::CommandOutput => of::COMMAND_OUTPUT,
        Event::Status => of::STATUS,
        Event::Access => of::ACCESS,
        Event::Traceback => of::TRACEBACK,
        Event::SlowRequest => of::SLOW_REQUEST,
        Event::RequestTimeout => of::REQUEST_TIMEOUT,
        Event::WorkerStuck => of::WORKER_STUCK,
        Event::Unresponsive => of::UNRESPONSIVE,
        Event::Overload => of::OVERLOAD,
        Event::ApplicationError => of::APPLICATION_ERROR,
        Event::ApplicationOutput => of::APPLICATION_OUTPUT,
        Event::ApplicationLog => of::APPLICATION_LOG,
        Event::ClientError => of::CLIENT_ERROR,
        Event::SystemError => of::SYSTEM_ERROR,
        Event::LogLost => of::LOG_LOST,
    }
}

/// The message catalogue, as journalctl(1) wants it in /usr/lib/systemd/catalog.
pub fn catalog() -> String {
    let mut out = "# Printed by `rwsgi --journal-catalog`.\n".to_owned();
    for &event in Event::ALL {
        let Text { subject, cause, remedy, manual } = text(event);
        let _ = write!(
            out,
            "\n-- {}\nSubject: {subject}\nDefined-By: rwsgi\nDocumentation: {manual}\n\n{cause}\n\n{remedy}\n",
            event.message_id()
        );
    }
    out
}

/// The heading of an event in general: names of fields, and not their values.
pub(super) fn heading(event: Event) -> String {
    text(event).subject.replace('@', "")
}

#[cfg(test)]
#[path = "catalog_tests.rs"]
mod tests;
