//! The tables of options and commands, as completions for bash, zsh and fish.

use std::fmt::Write as _;

use rwsgi_core::config::options::{OPTIONS, OptionSpec};
use rwsgi_core::config::value::Kind;

use crate::commands::{COMMANDS, Verb};

/// What follows a command, or an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    /// The name of an instance that runs.
    Instance,
    /// An INI file.
    Ini,
    File,
    Directory,
    User,
    Group,
    Words(&'static [&'static str]),
    /// Something that cannot be guessed.
    Anything,
    /// Nothing.
    Nothing,
}

/// Every command, with what follows and what it does. The last ones speak with no instance.
fn commands() -> impl Iterator<Item = (&'static str, Of, String)> {
    let commands = COMMANDS.iter().map(|command| {
        let of = if command.verb == Verb::List { Of::Nothing } else { Of::Instance };
        (command.name, of, summary(command.does))
    });
    commands.chain([
        ("check", Of::Ini, "Tell what is wrong with an instance or a file".to_owned()),
        ("convert", Of::Ini, "Print the same configuration, written out".to_owned()),
        ("doctor", Of::Instance, "Look at the machine and the instances".to_owned()),
        ("new", Of::Directory, "Write the configuration of a project".to_owned()),
    ])
}

/// Each option that only commands have, without its dashes, with what follows, and those commands.
fn options_of_commands() -> Vec<(&'static str, Of, Vec<&'static str>)> {
    let mut found: Vec<(&str, Of, Vec<&str>)> = Vec::new();
    for command in COMMANDS {
        for option in command.options() {
            let (name, of) = match option.split_once(' ') {
                Some((name, _)) => (name, Of::Anything),
                None => (option, Of::Nothing),
            };
            let name = name.trim_start_matches('-');
            match found.iter_mut().find(|(known, ..)| *known == name) {
                Some((_, _, names)) => names.push(command.name),
                None => found.push((name, of, vec![command.name])),
            }
        }
    }
    found
}

/// Options that say what to do, and are no keys of the INI file.
const MODES: &[(&str, Of, &str)] = &[
    ("ini", Of::Ini, "Serve, as this file says"),
    ("check", Of::Ini, "Tell what is wrong with a file"),
    ("show-config", Of::Ini, "Print the configuration that counts"),
    ("get", Of::Anything, "Print the value of one key"),
    ("dump-options", Of::Nothing, "Print the names of all options"),
    ("stop", Of::File, "Stop the instance with this pidfile"),
    ("reload", Of::File, "Reload the instance with this pidfile"),
    ("stacks", Of::File, "Tell where the Python threads are"),
    ("help", Of::Nothing, "List all options"),
    ("version", Of::Nothing, "Print the version"),
];

/// What the value of an option can be.
fn value(spec: &OptionSpec) -> Of {
    match spec.kind {
        Kind::Switch | Kind::Always(_) => Of::Nothing,
        Kind::Path if spec.name.ends_with("dir") || spec.name == "virtualenv" => Of::Directory,
        Kind::Path => Of::File,
        Kind::User | Kind::Owner => Of::User,
        Kind::Group => Of::Group,
        Kind::Choice(words) | Kind::Words(words) => Of::Words(words),
        _ => Of::Anything,
    }
}

/// Every long option, with what follows and what it does. The letter is in the table.
fn options() -> impl Iterator<Item = (&'static str, Option<&'static OptionSpec>, Of, String)> {
    let modes = MODES.iter().map(|&(name, of, doc)| (name, None, of, doc.to_owned()));
    let specs = OPTIONS.iter().map(|spec| (spec.name, Some(spec), value(spec), summary(spec.doc)));
    modes.chain(specs)
}

/// What the first sentence begins with, without marks.
fn summary(doc: &str) -> String {
    let ends = [". ", ": ", "; "].iter().filter_map(|end| doc.find(end));
    let end = ends.min().unwrap_or(doc.len());
    doc[..end].trim_end_matches('.').replace('`', "")
}

/// Whether the value may be left out.
fn is_optional(spec: Option<&OptionSpec>) -> bool {
    spec.is_some_and(|spec| spec.bare.is_some())
}

fn of_instances(between: &str) -> String {
    let names = commands().filter(|(_, of, _)| *of == Of::Instance).map(|(name, ..)| name);
    names.collect::<Vec<_>>().join(between)
}

/// For bash.
pub fn bash() -> String {
    let mut cases = String::new();
    let mut case = |name: &str, of: Of| {
        let reply = match of {
            Of::Instance => "_rwsgi_instances".to_owned(),
            Of::Ini => "_rwsgi_files ini".to_owned(),
            Of::File => "_rwsgi_files".to_owned(),
            Of::Directory => "_rwsgi_files directory".to_owned(),
            Of::User => "_rwsgi_reply -u".to_owned(),
            Of::Group => "_rwsgi_reply -g".to_owned(),
            Of::Words(words) => format!("_rwsgi_reply -W '{}'", words.join(" ")),
            Of::Anything => ":".to_owned(),
            Of::Nothing => return,
        };
        let _ = writeln!(cases, "        {name}) {reply}; return ;;");
    };
    let mut all = Vec::new();
    for (name, spec, of, _) in options() {
        all.push(format!("--{name}"));
        if !is_optional(spec) {
            let short = spec.and_then(|spec| spec.short).map(|letter| format!("-{letter} | "));
            case(&format!("{}--{name}", short.unwrap_or_default()), of);
        }
    }
    for (name, of, _) in options_of_commands() {
        all.push(format!("--{name}"));
        case(&format!("--{name}"), of);
    }
    for (name, of, _) in commands() {
        case(name, of);
    }
    let names: Vec<_> = commands().map(|(name, ..)| name).collect();
    BASH.replace("@CASES@\n", &cases)
        .replace("@OPTIONS@", &folded(&all))
        .replace("@COMMANDS@", &names.join(" "))
}

/// Words in lines of a bearable width.
fn folded(words: &[String]) -> String {
    let mut lines = vec![String::new()];
    for word in words {
        if lines.last().is_some_and(|line| line.len() + word.len() > 100) {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.join("\n            ")
}

const BASH: &str = r#"# Completion of rwsgi(8) for bash. Printed by `rwsgi --completion-bash`.

_rwsgi_reply() {
    mapfile -t COMPREPLY < <(compgen "$@" -- "$current")
}

_rwsgi_instances() {
    _rwsgi_reply -W "$(cd /run/rwsgi 2>/dev/null && for name in */; do [ -d "$name" ] && echo "${name%/}"; done)"
}

# All files, or those with this ending and the directories on the way.
_rwsgi_files() {
    compopt -o filenames 2>/dev/null
    case ${1:-} in
        '') _rwsgi_reply -f ;;
        directory) _rwsgi_reply -d ;;
        *) mapfile -t COMPREPLY < <(compgen -f -X "!*.$1" -- "$current"; compgen -d -- "$current") ;;
    esac
}

_rwsgi() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    COMPREPLY=()
    # bash takes --option=value for three words.
    if [ "$current" = = ]; then
        current=
    elif [ "$previous" = = ]; then
        previous=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    if [[ $current == -* ]]; then
        _rwsgi_reply -W "
            @OPTIONS@"
        return
    fi
    case $previous in
@CASES@
    esac
    _rwsgi_files ini
    if [ "$COMP_CWORD" -eq 1 ]; then
        mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -W '@COMMANDS@' -- "$current")
    fi
}

complete -F _rwsgi rwsgi
"#;

/// For zsh.
pub fn zsh() -> String {
    let mut specs = String::new();
    for (name, spec, of, doc) in options() {
        let text = doc.replace('\\', r"\\").replace('[', r"\[").replace(']', r"\]");
        let text = text.replace(':', r"\:").replace('\'', r"'\''");
        let several = if spec.is_some_and(|spec| spec.list) { "*" } else { "" };
        let action = zsh_action(of).map(|action| {
            let optional = if is_optional(spec) { ":" } else { "" };
            format!(":{optional}{}:{action}", value_name(spec))
        });
        let action = action.unwrap_or_default();
        let equals = match (action.is_empty(), is_optional(spec)) {
            (true, _) => "",
            (false, true) => "=-",
            (false, false) => "=",
        };
        if let Some(letter) = spec.and_then(|spec| spec.short) {
            let plus = if action.is_empty() { "" } else { "+" };
            let _ = writeln!(specs, "        '{several}-{letter}{plus}[{text}]{action}' \\");
        }
        let _ = writeln!(specs, "        '{several}--{name}{equals}[{text}]{action}' \\");
    }
    for (name, of, of_commands) in options_of_commands() {
        let value = if of == Of::Nothing { "" } else { ":VALUE: " };
        let _ = writeln!(specs, "        '--{name}[Of {}]{value}' \\", of_commands.join(", "));
    }
    let mut names = String::new();
    for (name, _, doc) in commands() {
        let _ = writeln!(names, "        '{name}:{doc}'");
    }
    ZSH.replace("@SPECS@\n", &specs)
        .replace("@COMMANDS@\n", &names)
        .replace("@INSTANCES@", &of_instances(" | "))
}

fn value_name(spec: Option<&OptionSpec>) -> String {
    let placeholder = spec.and_then(|spec| spec.kind.placeholder()).unwrap_or("FILE");
    placeholder.replace(':', r"\:").replace(['[', ']'], "")
}

fn zsh_action(of: Of) -> Option<String> {
    Some(match of {
        Of::Instance => "_rwsgi_instances".to_owned(),
        Of::Ini => r#"_files -g "*.ini(-.)""#.to_owned(),
        Of::File => "_files".to_owned(),
        Of::Directory => "_files -/".to_owned(),
        Of::User => "_users".to_owned(),
        Of::Group => "_groups".to_owned(),
        Of::Words(words) => format!("({})", words.join(" ")),
        Of::Anything => " ".to_owned(),
        Of::Nothing => return None,
    })
}

const ZSH: &str = r#"#compdef rwsgi
# Completion of rwsgi(8) for zsh. Printed by `rwsgi --completion-zsh`.

_rwsgi_instances() {
    local -a names
    names=(/run/rwsgi/*(N/:t))
    _describe -t instances instance names
}

_rwsgi_first() {
    local -a commands
    commands=(
@COMMANDS@
    )
    _alternative 'commands:command:{ _describe -t commands command commands }' \
        'files:INI file:_files -g "*.ini(-.)"'
}

_rwsgi_next() {
    case $words[2] in
        @INSTANCES@) _rwsgi_instances ;;
        *) _files -g '*.ini(-.)' ;;
    esac
}

_rwsgi() {
    _arguments -s \
@SPECS@
        '1: :_rwsgi_first' \
        '*: :_rwsgi_next'
}

_rwsgi "$@"
"#;

/// For fish.
pub fn fish() -> String {
    let mut out = FISH.replace("@INSTANCES@", &of_instances(" "));
    let quoted = |text: &str| text.replace('\\', r"\\").replace('\'', r"\'");
    for (name, _, doc) in commands() {
        let doc = quoted(&doc);
        let _ = writeln!(out, "complete -c rwsgi -n __fish_use_subcommand -a {name} -d '{doc}'");
    }
    for (name, of, of_commands) in options_of_commands() {
        let value = if of == Of::Nothing { "" } else { " -x" };
        let _ = writeln!(
            out,
            "complete -c rwsgi -n '__fish_seen_subcommand_from {}' -l {name}{value}",
            of_commands.join(" ")
        );
    }
    for (name, spec, of, doc) in options() {
        let short = spec.and_then(|spec| spec.short).map(|letter| format!(" -s {letter}"));
        let value = match of {
            Of::Nothing => String::new(),
            _ if is_optional(spec) => String::new(),
            Of::Ini => " -r -k -a '(__fish_complete_suffix .ini)'".to_owned(),
            Of::File => " -r -F".to_owned(),
            Of::Directory => " -x -a '(__fish_complete_directories)'".to_owned(),
            Of::User => " -x -a '(__fish_complete_users)'".to_owned(),
            Of::Group => " -x -a '(__fish_complete_groups)'".to_owned(),
            Of::Words(words) => format!(" -x -a '{}'", words.join(" ")),
            Of::Instance | Of::Anything => " -x".to_owned(),
        };
        let _ = writeln!(
            out,
            "complete -c rwsgi{} -l {name}{value} -d '{}'",
            short.unwrap_or_default(),
            quoted(&doc)
        );
    }
    out
}

const FISH: &str = r"# Completion of rwsgi(8) for fish. Printed by `rwsgi --completion-fish`.
complete -c rwsgi -f
complete -c rwsgi -k -n __fish_use_subcommand -a '(__fish_complete_suffix .ini)'
complete -c rwsgi -n '__fish_seen_subcommand_from check' -k -a '(__fish_complete_suffix .ini)'
complete -c rwsgi -n '__fish_seen_subcommand_from @INSTANCES@' \
    -a '(for directory in /run/rwsgi/*/; basename $directory; end)'
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_and_command_is_completed_in_every_shell() {
        for (text, option) in [(bash(), "--"), (zsh(), "--"), (fish(), "-l ")] {
            for (name, ..) in options() {
                assert!(text.contains(&format!("{option}{name}")), "{name}: {text}");
            }
            for (name, ..) in commands() {
                assert!(text.contains(name), "{name}");
            }
            for (name, ..) in options_of_commands() {
                assert!(text.contains(&format!("{option}{name}")), "{name}: {text}");
            }
            for placeholder in ["@CASES@", "@OPTIONS@", "@COMMANDS@", "@SPECS@", "@INSTANCES@"] {
                assert!(!text.contains(placeholder), "{text}");
            }
        }
    }

    #[test]
    fn a_summary_is_one_plain_sentence() {
        assert_eq!(summary("Stop `a.b` at once. Then more."), "Stop a.b at once");
        assert_eq!(summary("Only one."), "Only one");
        assert_eq!(summary("The one: `this`."), "The one");
    }
}
