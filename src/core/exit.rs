//! Exit codes: one list, after sysexits(3), as systemd.exec(5) names them.

/// How a process of rwsgi ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Stopped as asked.
    Ok = 0,
    /// A command (`reload`, `stop`, `--check`) that could do its work was answered with no.
    Failed = 1,
    /// The command line was wrong (EX_USAGE).
    Usage = 64,
    /// The application could not be imported, or its workers cannot stay up (EX_SOFTWARE).
    Application = 70,
    /// The system refused a resource: a socket, a process, a file (EX_OSERR).
    System = 71,
    /// Nothing answers where an instance should be (EX_UNAVAILABLE).
    Unavailable = 69,
    /// A privilege is missing (EX_NOPERM).
    Permission = 77,
    /// The configuration is wrong (EX_CONFIG).
    Config = 78,
}

impl ExitCode {
    /// Every one, for the manual.
    pub const ALL: [Self; 8] = [
        Self::Ok,
        Self::Failed,
        Self::Usage,
        Self::Unavailable,
        Self::Application,
        Self::System,
        Self::Permission,
        Self::Config,
    ];

    /// What it means where a command ends with it.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "done, or nothing is wrong",
            Self::Failed => "it was answered with no, or not in time",
            Self::Usage => "the command line is wrong",
            Self::Application => "the application cannot be imported",
            Self::System => "the system refuses something: a socket, a process, a file",
            Self::Unavailable => "no such instance answers",
            Self::Permission => "a permission is missing",
            Self::Config => "the configuration is wrong",
        }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}
