//! What a configuration comes to, as text: `--show-config`, `--get`, `rwsgi convert`.

use std::io::{self, Write as _};

use rwsgi_core::config::{self, Sources};
use rwsgi_core::exit::ExitCode;

use crate::boot::{context, print_errors};

/// `--show-config`.
pub fn config(sources: &Sources) -> ExitCode {
    match config::read(sources, &context(vec!["http".into()])) {
        Ok((raw, _)) => print(&config::help::show_config(&raw)),
        Err(errors) => {
            print_errors(&errors);
            ExitCode::Config
        }
    }
}

/// `--get KEY`: the first value of each, as `%(KEY)` has it; 1 if one has none.
pub fn values(sources: &Sources, keys: &[String]) -> ExitCode {
    let raw = match config::read(sources, &context(vec!["http".into()])) {
        Ok((raw, _)) => raw,
        Err(errors) => {
            print_errors(&errors);
            return ExitCode::Config;
        }
    };
    let mut code = ExitCode::Ok;
    for key in keys {
        match raw.options.iter().find(|option| option.key == *key) {
            Some(option) => {
                print(&format!("{}\n", option.value));
            }
            None => code = ExitCode::Failed,
        }
    }
    code
}

/// `rwsgi convert`.
pub fn converted(sources: &Sources) -> ExitCode {
    match config::convert(sources, &context(vec!["http".into()])) {
        Ok(text) => print(&text),
        Err(errors) => {
            print_errors(&errors);
            ExitCode::Config
        }
    }
}

fn print(text: &str) -> ExitCode {
    let written = io::stdout().write_all(text.as_bytes());
    if written.is_ok() { ExitCode::Ok } else { ExitCode::Failed }
}
