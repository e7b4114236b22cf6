//! What the package has of the program's tables: manual pages, completions, the message catalogue.
//!
//! Each is printed by an option that `--help` does not list; `packaging/generate` writes them all.

use rwsgi_core::config::help;
use rwsgi_core::log;

use crate::completion;

/// A text that is printed for the package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generated {
    /// rwsgi.ini(5).
    ManIni,
    /// rwsgi.journal-fields(7).
    ManJournalFields,
    /// What `journalctl -x` says.
    JournalCatalog,
    /// Completion for bash.
    CompletionBash,
    /// Completion for zsh.
    CompletionZsh,
    /// Completion for fish.
    CompletionFish,
}

impl Generated {
    /// The one that an option (without its dashes) asks for.
    pub fn by_option(name: &str) -> Option<Self> {
        Some(match name {
            "man-ini" => Self::ManIni,
            "man-journal-fields" => Self::ManJournalFields,
            "journal-catalog" => Self::JournalCatalog,
            "completion-bash" => Self::CompletionBash,
            "completion-zsh" => Self::CompletionZsh,
            "completion-fish" => Self::CompletionFish,
            _ => return None,
        })
    }

    /// The text.
    pub fn text(self) -> String {
        match self {
            Self::ManIni => help::man_ini(),
            Self::ManJournalFields => log::man_journal_fields(),
            Self::JournalCatalog => log::catalog(),
            Self::CompletionBash => completion::bash(),
            Self::CompletionZsh => completion::zsh(),
            Self::CompletionFish => completion::fish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::Signal;
    use rwsgi_core::exit::ExitCode;

    use crate::commands::COMMANDS;
    use crate::signals::{Meaning, SIGNALS};

    const MANUAL: &str = include_str!("../../packaging/man/rwsgi.8");

    #[test]
    fn the_manual_has_every_command() {
        let (_, commands) = MANUAL.split_once(".SH COMMANDS").unwrap();
        let (commands, _) = commands.split_once(".SH ").unwrap();
        for name in COMMANDS.iter().map(|command| command.name) {
            let headings =
                [format!("\n.B {name}\n"), format!("\n.BR {name} "), format!("\n.BI {name} ")];
            assert!(headings.iter().any(|heading| commands.contains(heading)), "{name}");
        }
    }

    #[test]
    fn the_manual_has_every_signal() {
        let (_, signals) = MANUAL.split_once(".SH SIGNALS").unwrap();
        let (signals, _) = signals.split_once(".SH ").unwrap();
        for (number, meaning) in SIGNALS {
            let signal = Signal::try_from(number).unwrap();
            let is_there = signals.contains(signal.as_str());
            assert!(is_there || meaning == Meaning::Reap, "{signal} is missing");
        }
    }

    #[test]
    fn the_manual_has_every_exit_code() {
        for code in ExitCode::ALL {
            let number = code as u8;
            assert!(MANUAL.contains(&format!("\n.TP\n.B {number}\n")), "{number} is missing");
        }
    }
}
