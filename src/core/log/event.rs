//! The kinds of things that are logged, each with its MESSAGE_ID.

/// What an entry is about; `RWSGI_EVENT` and `MESSAGE_ID` in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The configuration has an oddity that does not keep it from working.
    ConfigWarning,
    /// The configuration is wrong.
    ConfigError,
    /// The instance begins to start.
    Starting,
    /// A listener is open.
    Listening,
    /// A template has imported the application.
    Imported,
    /// The application cannot be imported.
    ImportFailed,
    /// The application has been asked what `warm-up` says.
    WarmUp,
    /// All workers serve.
    Ready,
    /// The import has started or opened what workers cannot share (threads, connections).
    NotForWorkers,
    /// A worker serves.
    WorkerReady,
    /// A worker ended as it should.
    WorkerExited,
    /// A worker died.
    WorkerDied,
    /// A worker is started in the place of another.
    WorkerRespawned,
    /// Another number of workers is wanted.
    Resized,
    /// Workers die as soon as they start.
    CrashLoop,
    /// The template is gone, or cannot be started; workers serve on.
    TemplateDied,
    /// There is a template again.
    TemplateBack,
    /// The kernel has killed a worker for want of memory.
    OutOfMemory,
    /// Memory is short; a worker is replaced for it.
    MemoryPressure,
    /// A file that is watched has changed.
    Touched,
    /// A reload begins.
    Reloading,
    /// A reload is complete.
    Reloaded,
    /// A reload failed; what served goes on serving.
    ReloadFailed,
    /// A worker does not answer `reload-probe` as it should.
    ProbeFailed,
    /// A new program takes over from the one that runs.
    Takeover,
    /// A hook of the configuration runs.
    Hook,
    /// A hook has failed.
    HookFailed,
    /// A cache begins with something, or is not what it should be.
    Cache,
    /// The instance begins to stop.
    Stopping,
    /// The instance has stopped.
    Stopped,
    /// The instance cannot start or go on.
    Failed,
    /// Nothing new reaches the application.
    Paused,
    /// A pause is over.
    Resumed,
    /// Somebody has asked for something on the control socket or the FIFO.
    Command,
    /// A command of the configuration is started beside the workers.
    CommandStarted,
    /// It has ended as it should.
    CommandEnded,
    /// It has ended as it should not, or cannot be started.
    CommandFailed,
    /// Text that it wrote to stdout or stderr.
    CommandOutput,
    /// The state, because somebody has asked for it to be logged.
    Status,
    /// A request was answered.
    Access,
    /// The application raised.
    Traceback,
    /// The application takes its time with a request (`harakiri-warn`).
    SlowRequest,
    /// The application has taken too long for a request (`harakiri`).
    RequestTimeout,
    /// A worker cannot end a request that has taken too long.
    WorkerStuck,
    /// Python does not go on in a worker, or in none of them.
    Unresponsive,
    /// No thread was free for a request in time.
    Overload,
    /// The application broke a rule of PEP 3333.
    ApplicationError,
    /// Text that the application wrote to stdout, stderr or wsgi.errors.
    ApplicationOutput,
    /// A record of the application's `logging`, by `rwsgi.logging`.
    ApplicationLog,
    /// A client broke a rule, or left.
    ClientError,
    /// A system call failed that should not.
    SystemError,
    /// The log itself lost entries.
    LogLost,
}

impl Event {
    /// Every kind, for tests and the catalogue.
    pub const ALL: &'static [Self] = &[
        Self::ConfigWarning,
        Self::ConfigError,
        Self::Starting,
        Self::Listening,
        Self::Imported,
        Self::ImportFailed,
        Self::WarmUp,
        Self::Ready,
        Self::NotForWorkers,
        Self::WorkerReady,
        Self::WorkerExited,
        Self::WorkerDied,
        Self::WorkerRespawned,
        Self::Resized,
        Self::CrashLoop,
        Self::TemplateDied,
        Self::TemplateBack,
        Self::OutOfMemory,
        Self::MemoryPressure,
        Self::Touched,
        Self::Reloading,
        Self::Reloaded,
        Self::ReloadFailed,
        Self::ProbeFailed,
        Self::Takeover,
        Self::Hook,
        Self::HookFailed,
        Self::Cache,
        Self::Stopping,
        Self::Stopped,
        Self::Failed,
        Self::Paused,
        Self::Resumed,
        Self::Command,
        Self::CommandStarted,
        Self::CommandEnded,
        Self::CommandFailed,
        Self::CommandOutput,
        Self::Status,
        Self::Access,
        Self::Traceback,
        Self::SlowRequest,
        Self::RequestTimeout,
        Self::WorkerStuck,
        Self::Unresponsive,
        Self::Overload,
        Self::ApplicationError,
        Self::ApplicationOutput,
        Self::ApplicationLog,
        Self::ClientError,
        Self::SystemError,
        Self::LogLost,
    ];

    /// `RWSGI_EVENT`: stable, lower case.
    pub fn name(self) -> &'static str {
        self.identity().0
    }

    /// `MESSAGE_ID`: 128 bits as systemd.journal-fields(7) wants them, stable for ever.
    pub fn message_id(self) -> &'static str {
        self.identity().1
    }

    fn identity(self) -> (&'static str, &'static str) {
        match self {
            Self::ConfigWarning => ("config_warning", "df681d0a2faf4cef8a6951f5880281dc"),
            Self::ConfigError => ("config_error", "09e929ff242a4d24b1418916042cbd4b"),
            Self::Starting => ("starting", "95a15675db2b4baa8f11c1b9d4c8bb9e"),
            Self::Listening => ("listening", "c416030f4de748d8b933027afb572bd6"),
            Self::Imported => ("imported", "b2f09623ea1b4566a7559df795074896"),
            Self::ImportFailed => ("import_failed", "91582d75958240ddb4c423b65d07c251"),
            Self::Ready => ("ready", "29175d0ab4534fa4803397f7fd24db84"),
            Self::NotForWorkers => ("not_for_workers", "c514d888eeda496d8ff6022e75a58dca"),
            Self::WorkerReady => ("worker_ready", "331ea9b4cadd4bedb3bc37ef5887a80f"),
            Self::WorkerExited => ("worker_exited", "dd68ded914d84db68961f2d4407f71bb"),
            Self::WorkerDied => ("worker_died", "f4a323de3c434d989db1dbead81c6087"),
            Self::WorkerRespawned => ("worker_respawned", "a657a8127a9f40d5a8d17846dc24d2b3"),
            Self::Resized => ("resized", "445e8b0fbf084a0e9c688c0b533b5ec5"),
            Self::CrashLoop => ("crash_loop", "b790e6c7fb5b41f4a3fcc0be5418a9d5"),
            Self::TemplateDied => ("template_died", "3adcc7bc5d28496baa3ea3fb352de447"),
            Self::TemplateBack => ("template_back", "246b2f33e43e4d81ba8cecbc317b5e34"),
            Self::OutOfMemory => ("out_of_memory", "83e725b9c820476ab5467b396364a538"),
            Self::MemoryPressure => ("memory_pressure", "cf06d77aedfb4de09fc0dd52f99dbb59"),
            Self::Touched => ("touched", "83a9cc83781444fbba16fea8bf606481"),
            Self::Reloading => ("reloading", "a1a0408876d54e86a21c7f7188d7edf4"),
            Self::Reloaded => ("reloaded", "52e94d91e9e3451a8f9d8c20017de1f9"),
            Self::ReloadFailed => ("reload_failed", "7fbf6db80da44218a8a6d6d297e0a6b3"),
            Self::WarmUp => ("warm_up", "7bf58c4589bf4cfb86035dfeba6c05df"),
            Self::ProbeFailed => ("probe_failed", "eac4072233cd4c14a5eb9bf8dead4a4f"),
            Self::Takeover => ("takeover", "30ab2bd521914e1baff84d1ae37d75c1"),
            Self::Hook => ("hook", "0bc1d0d55bfc4b08962b3e00fa30c166"),
            Self::HookFailed => ("hook_failed", "a08713e5aa084121a3645639bec05674"),
            Self::Cache => ("cache", "03d2c49f12ae447c8582336da691a789"),
            Self::Stopping => ("stopping", "6e391e203cb7435e87575584e8037b36"),
            Self::Stopped => ("stopped", "725df448fac642f7a6b0e08f38c69b03"),
            Self::Failed => ("failed", "31996aad688a499481769023986ba120"),
            Self::Paused => ("paused", "65d06e7c12c84780931ee74a4a4f1887"),
            Self::Resumed => ("resumed", "ebaccbef38d246cba30a8a45967e14ae"),
            Self::Command => ("command", "9661e210fd1845029b7d336cb2b235b5"),
            Self::CommandStarted => ("command_started", "d86259fa76f840e58e0aa6501647e384"),
            Self::CommandEnded => ("command_ended", "07a1859d07b04a2aae631a0967db155b"),
            Self::CommandFailed => ("command_failed", "9e626888a4524178b7a31c8a87ffc514"),
            Self::CommandOutput => ("command_output", "7d005883723e47839949062849b7f9eb"),
            Self::Status => ("status", "8f2c03a9c082482bb27d427ce0f95ab1"),
            Self::Access => ("access", "53c65d39300d4f7eac4f5ed40353c596"),
            Self::Traceback => ("traceback", "1dccda0f78d54138a2d45c65dc7c30ae"),
            Self::SlowRequest => ("slow_request", "2769a78ae5dc44ae808ad245f47b0b90"),
            Self::RequestTimeout => ("request_timeout", "ab1e4771f5dc4ce68ab48dccf115859d"),
            Self::WorkerStuck => ("worker_stuck", "259a2ca5cf584b74bc0bda9e30bb5b4d"),
            Self::Unresponsive => ("unresponsive", "4b799e762b52475ea0269dbb4c63da44"),
            Self::Overload => ("overload", "4a5dcd5e9a024053bd0bb47d1914f24e"),
            Self::ApplicationError => ("application_error", "7be49e5f0ac94c2a9a7ab5d22ca60f8e"),
            Self::ApplicationOutput => ("application_output", "3deadd795f04421687bb7798cfc84212"),
            Self::ApplicationLog => ("application_log", "e892e6e4e3984ede910335d674611048"),
            Self::ClientError => ("client_error", "e70f7e3439c34c5b90b33a30203fa2ce"),
            Self::SystemError => ("system_error", "09391ed5cdcf46908902fb69ef8ff54f"),
            Self::LogLost => ("log_lost", "f8ec54ab280648f9900a16f3d2ed64ee"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ids_are_unique_and_well_formed() {
        let mut seen = std::collections::HashSet::new();
        for event in Event::ALL {
            assert!(seen.insert(event.name()), "{event:?}");
            assert!(seen.insert(event.message_id()), "{event:?}");
            assert_eq!(event.message_id().len(), 32);
            assert!(event.message_id().chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')));
        }
    }
}
