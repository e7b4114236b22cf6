//! File names by pattern, for `for-glob`: `*`, `?` and `[a-z]` within a component, as in the shell.

use std::fs::read_dir;
use std::path::{Component, Path, PathBuf};

/// More names than anybody lists in a configuration.
pub const MOST: usize = 10_000;

/// The paths that fit `pattern`, sorted, written as the pattern is: relative ones are seen from
/// `cwd`. Directories end with a slash. At most [`MOST`] and one more.
pub fn expand(pattern: &str, cwd: &Path) -> Vec<String> {
    let mut found = vec![PathBuf::new()];
    for part in Path::new(pattern).components() {
        let mut next = Vec::new();
        for path in found {
            match part {
                Component::Normal(name) if is_pattern(&name.to_string_lossy()) => {
                    matching(&path, &name.to_string_lossy(), cwd, &mut next);
                }
                _ => next.push(path.join(part)),
            }
            if next.len() > MOST {
                break;
            }
        }
        found = next;
    }
    let mut names: Vec<String> = found
        .into_iter()
        .filter(|path| cwd.join(path).symlink_metadata().is_ok())
        .map(|path| {
            let slash = if cwd.join(&path).is_dir() { "/" } else { "" };
            format!("{}{slash}", path.display())
        })
        .collect();
    names.sort_unstable();
    names
}

fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?', '['])
}

fn matching(directory: &Path, pattern: &str, cwd: &Path, out: &mut Vec<PathBuf>) {
    let pattern: Vec<char> = pattern.chars().collect();
    let entries = read_dir(cwd.join(directory)).into_iter().flatten().flatten();
    for entry in entries.take(MOST) {
        let name = entry.file_name();
        let text: Vec<char> = name.to_string_lossy().chars().collect();
        let is_hidden = text.first() == Some(&'.') && pattern.first() != Some(&'.');
        if !is_hidden && fits(&pattern, &text) {
            out.push(directory.join(&name));
        }
    }
}

/// Whether `name` fits `pattern`. The last `*` is where it is tried again, so the time is bounded by
/// the product of their lengths.
fn fits(pattern: &[char], name: &[char]) -> bool {
    let (mut at, mut index) = (0, 0);
    let mut again: Option<(usize, usize)> = None;
    while index < name.len() {
        if pattern.get(at) == Some(&'*') {
            again = Some((at + 1, index));
            at += 1;
        } else if let Some(width) = one(pattern.get(at..).unwrap_or_default(), name[index]) {
            at += width;
            index += 1;
        } else if let Some((star, from)) = again {
            (at, index) = (star, from + 1);
            again = Some((star, from + 1));
        } else {
            return false;
        }
    }
    pattern.get(at..).unwrap_or_default().iter().all(|&c| c == '*')
}

/// How much of the pattern fits the one character `c`.
fn one(pattern: &[char], c: char) -> Option<usize> {
    match pattern.first()? {
        '?' => Some(1),
        '[' => set(pattern, c),
        &plain => (plain == c).then_some(1),
    }
}

/// `[a-z_]`, `[!0-9]`; a bracket that is not closed is a bracket.
fn set(pattern: &[char], c: char) -> Option<usize> {
    let negated = matches!(pattern.get(1), Some('!' | '^'));
    let start = if negated { 2 } else { 1 };
    let Some(end) = (start + 1..pattern.len()).find(|&at| pattern[at] == ']') else {
        return (c == '[').then_some(1);
    };
    let members = pattern.get(start..end).unwrap_or_default();
    let mut at = 0;
    let mut found = false;
    while let Some(&low) = members.get(at) {
        match (members.get(at + 1), members.get(at + 2)) {
            (Some('-'), Some(&high)) => {
                found |= (low..=high).contains(&c);
                at += 3;
            }
            _ => {
                found |= low == c;
                at += 1;
            }
        }
    }
    (found != negated).then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, name: &str) -> bool {
        let (pattern, name): (Vec<char>, Vec<char>) =
            (pattern.chars().collect(), name.chars().collect());
        fits(&pattern, &name)
    }

    #[test]
    fn names_fit_as_in_the_shell() {
        for (pattern, name) in
            [("*.ini", "a.ini"), ("a?c", "abc"), ("[a-c]*", "b"), ("[!a]", "b"), ("*a*b*", "xaybz")]
        {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("*.ini", "a.inix"), ("a?c", "ac"), ("[!a]", "a"), ("", "a"), ("[b", "b")]
        {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
        assert!(matches("[b", "[b"));
    }

    #[test]
    fn files_are_sorted_and_directories_end_with_a_slash() {
        let place = tempfile::tempdir().unwrap();
        for name in ["b.ini", "a.ini", ".h.ini", "c.txt"] {
            std::fs::write(place.path().join(name), "").unwrap();
        }
        std::fs::create_dir(place.path().join("d.ini")).unwrap();
        assert_eq!(expand("*.ini", place.path()), ["a.ini", "b.ini", "d.ini/"]);
        assert_eq!(expand("c.txt", place.path()), ["c.txt"]);
        assert!(expand("*.nope", place.path()).is_empty());
        let absolute = format!("{}/?.txt", place.path().display());
        assert_eq!(expand(&absolute, Path::new("/")).len(), 1);
    }

    proptest! {
        #[test]
        fn no_pattern_panics(pattern in "[ab*?!\\[\\]^-]{0,12}", name in "[ab\\]]{0,8}") {
            let _ = matches(&pattern, &name);
        }

        #[test]
        fn a_name_fits_itself_and_a_star(name in "[a-z.]{0,12}") {
            prop_assert!(matches(&name, &name) && matches("*", &name));
        }
    }
}
