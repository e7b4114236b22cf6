//! Blocks: what stands between `if-…` or `for…` and its end, as a tree.
//!
//! uWSGI knows no block within another and no `else`, and a block that is not closed swallows all
//! that follows, arguments too. Here a block ends in the section (or the command line) in which it
//! begins.

use super::error::{Findings, Report};
use super::raw::RawOption;

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A key and its value.
    Option(RawOption),
    /// A block.
    Block(Block),
}

/// A block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The line that begins it.
    pub head: RawOption,
    /// What is done if it is true, or for each value.
    pub body: Vec<Item>,
    /// What is done if it is not (`else`).
    pub otherwise: Vec<Item>,
}

/// Blocks within blocks.
const DEEPEST: usize = 32;

const ENDS: &[&str] = &["end", "endif", "end-if", "endfor", "end-for"];
const CONDITIONS: &[&str] = &[
    "env",
    "exists",
    "file",
    "dir",
    "directory",
    "opt",
    "plugin",
    "hostname",
    "hostname-match",
    "reload",
];
const OLD: &[&str] = &["ifenv", "ifexists", "ifdir", "ifplugin"];
const LOOPS: &[&str] = &["for", "for-times", "for-glob", "for-readline"];

/// Whether `key` begins a block that is repeated.
pub fn is_loop(key: &str) -> bool {
    LOOPS.contains(&key)
}

/// What a block asks, `exists` for example, and whether it must not be so.
pub fn condition(key: &str) -> Option<(&str, bool)> {
    let (name, negated) = match key.strip_prefix("if-") {
        Some(rest) => rest.strip_prefix("not-").map_or((rest, false), |rest| (rest, true)),
        None if OLD.contains(&key) => (key.strip_prefix("if")?, false),
        None => return None,
    };
    CONDITIONS.contains(&name).then_some((name, negated))
}

/// Whether `key` belongs to a block: its beginning, its end, or `else`.
pub fn is_keyword(key: &str) -> bool {
    is_loop(key) || condition(key).is_some() || ENDS.contains(&key) || key == "else"
}

/// Puts options into the blocks that they belong to.
pub fn parse(options: Vec<RawOption>, findings: &mut Findings) -> Vec<Item> {
    let mut parser = Parser::default();
    for option in options {
        parser.take(option, findings);
    }
    while let Some(open) = parser.open.pop() {
        let report = Report::new(format!("the block of `{}` has no end", open.block.head.key));
        let end = if is_loop(&open.block.head.key) { "endfor =" } else { "endif =" };
        findings.error(report.at_key(&open.block.head.origin).help(format!(
            "write `{end}` after its last line, in the same section: uWSGI takes everything up to \
             the end of the command line into the block"
        )));
    }
    parser.items
}

#[derive(Default)]
struct Parser {
    items: Vec<Item>,
    open: Vec<Open>,
    /// Blocks that were begun below the deepest level.
    below: usize,
}

struct Open {
    block: Block,
    in_else: bool,
}

impl Parser {
    fn take(&mut self, option: RawOption, findings: &mut Findings) {
        if is_loop(&option.key) || condition(&option.key).is_some() {
            self.begin(option, findings);
        } else if ENDS.contains(&option.key.as_str()) {
            self.end(&option, findings);
        } else if option.key == "else" {
            self.turn(&option, findings);
        } else {
            self.push(Item::Option(option));
        }
    }

    fn begin(&mut self, head: RawOption, findings: &mut Findings) {
        if self.open.len() >= DEEPEST {
            self.below += 1;
            let report = Report::new("this block is too deep within others").at_key(&head.origin);
            findings.error(report.expected(format!("{DEEPEST} levels at most")));
            return;
        }
        let block = Block { head, body: Vec::new(), otherwise: Vec::new() };
        self.open.push(Open { block, in_else: false });
    }

    fn end(&mut self, end: &RawOption, findings: &mut Findings) {
        if self.below > 0 {
            self.below -= 1;
            return;
        }
        let Some(Open { block, .. }) = self.open.pop() else {
            let report = Report::new(format!("`{}` ends nothing", end.key)).at_key(&end.origin);
            findings.warn(report.help("no block is open here: remove the line"));
            return;
        };
        let of_loop = end.key.ends_with("for");
        if end.key != "end" && of_loop != is_loop(&block.head.key) {
            let report = Report::new(format!("`{}` ends `{}`", end.key, block.head.key));
            let right = if of_loop { "endif" } else { "endfor" };
            findings.warn(report.at_key(&end.origin).help(format!("write `{right} =`")));
        }
        self.push(Item::Block(block));
    }

    fn turn(&mut self, option: &RawOption, findings: &mut Findings) {
        if self.below > 0 {
            return;
        }
        let problem = match self.open.last_mut() {
            Some(open) if open.in_else => "`else` is there already in this block",
            Some(open) if !is_loop(&open.block.head.key) => {
                open.in_else = true;
                return;
            }
            Some(_) => "`else` belongs to `if-…`, not to `for…`",
            None => "`else` is outside of any block",
        };
        findings.error(Report::new(problem).at_key(&option.origin));
    }

    fn push(&mut self, item: Item) {
        match self.open.last_mut() {
            Some(open) if open.in_else => open.block.otherwise.push(item),
            Some(open) => open.block.body.push(item),
            None => self.items.push(item),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(keys: &str) -> (String, Findings) {
        let mut findings = Findings::default();
        let options = keys.split_whitespace().map(|key| RawOption::argument(key, "", 1, key));
        let items = parse(options.collect(), &mut findings);
        (shown(&items), findings)
    }

    fn shown(items: &[Item]) -> String {
        let one = |item: &Item| match item {
            Item::Option(option) => option.key.clone(),
            Item::Block(block) => {
                let (body, otherwise) = (shown(&block.body), shown(&block.otherwise));
                format!("{}({body}|{otherwise})", block.head.key)
            }
        };
        items.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    fn clean(keys: &str) -> String {
        let (text, findings) = read(keys);
        assert!(findings.errors.is_empty() && findings.warnings.is_empty(), "{findings:?}");
        text
    }

    #[test]
    fn blocks_nest_and_have_an_else() {
        assert_eq!(clean("a if-env b else c endif d"), "a if-env(b|c) d");
        assert_eq!(
            clean("for if-not-exists a end-if b endfor for-times x end"),
            "for(if-not-exists(a|) b|) for-times(x|)"
        );
        assert_eq!(clean("ifenv a endif if-directory b end"), "ifenv(a|) if-directory(b|)");
    }

    #[test]
    fn what_is_not_closed_is_an_error_at_its_beginning() {
        let (_, findings) = read("a if-env b");
        assert!(findings.errors[0].to_string().contains("the block of `if-env` has no end"));
        assert_eq!(read("for if-opt a endif").1.errors.len(), 1);
    }

    #[test]
    fn stray_ends_are_warned_of_and_stray_elses_refused() {
        let (text, findings) = read("a endif b");
        assert_eq!((text.as_str(), findings.warnings.len()), ("a b", 1));
        assert_eq!(read("if-env a endfor").1.warnings.len(), 1);
        assert_eq!(read("else").1.errors.len(), 1);
        assert_eq!(read("for a else b endfor").1.errors.len(), 1);
        assert_eq!(read("if-env a else b else c endif").1.errors.len(), 1);
    }

    #[test]
    fn there_is_a_deepest_level() {
        let keys = format!("{} a {}", "for ".repeat(200), "endfor ".repeat(200));
        assert_eq!(read(&keys).1.errors.len(), 200 - DEEPEST);
    }

    proptest! {
        #[test]
        fn no_sequence_panics_and_no_option_is_lost(
            keys in proptest::collection::vec("(for|if-env|if-not-opt|endif|endfor|end|else|x)", 0..60),
        ) {
            let (text, findings) = read(&keys.join(" "));
            if findings.errors.is_empty() {
                let count = |text: &str| text.chars().filter(|&c| c == 'x').count();
                prop_assert_eq!(count(&text), count(&keys.join(" ")));
            }
        }
    }
}
