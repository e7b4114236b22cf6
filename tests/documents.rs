//! What `docs/` says is proven by a test is proven by one that is there.

use std::fs;
use std::path::{Path, PathBuf};

/// The last column of a table in which every row has to name a test.
const PROVEN: &str = "Proven by";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every document, and its text.
fn documents() -> Vec<(PathBuf, String)> {
    let entries = fs::read_dir(root().join("docs")).unwrap().flatten().map(|entry| entry.path());
    let documents = entries.filter(|path| path.extension().is_some_and(|suffix| suffix == "md"));
    documents.map(|path| (path.clone(), fs::read_to_string(&path).unwrap())).collect()
}

/// The tests that a line names, as `FILE.rs: NAME` in backticks.
fn references(line: &str) -> Vec<(&str, &str)> {
    let quoted = line.split('`').skip(1).step_by(2);
    quoted
        .filter_map(|text| text.split_once(": "))
        .filter(|(file, _)| file.ends_with(".rs"))
        .collect()
}

/// Why a test is not there, if it is not.
fn problem(file: &str, name: &str) -> Option<String> {
    let Ok(text) = fs::read_to_string(root().join(file)) else {
        return Some(format!("there is no file {file}"));
    };
    let module = Path::new(file).file_stem()?.to_str()?;
    let is_integration = file.starts_with("tests/");
    if is_integration
        && !fs::read_to_string(root().join("tests/main.rs"))
            .ok()?
            .contains(&format!("\nmod {module};"))
    {
        return Some(format!("tests/main.rs does not know {module}"));
    }
    let declaration = format!("fn {name}(");
    let mut before = "";
    for line in text.lines() {
        if line.trim_start().starts_with(&declaration) {
            return (before.trim() != "#[test]").then(|| format!("{name} of {file} is no test"));
        }
        before = line;
    }
    Some(format!("{file} has no test {name}"))
}

/// Rows of tables that end with the column [`PROVEN`] and name no test.
fn unproven(text: &str) -> Vec<&str> {
    let mut rows = Vec::new();
    let mut proven = false;
    let mut previous = "";
    for line in text.lines() {
        let last = |row: &str| {
            row.trim_end()
                .trim_end_matches('|')
                .rsplit('|')
                .next()
                .map(|cell| cell.trim().to_owned())
        };
        if line.starts_with("|-") || line.starts_with("| -") {
            proven = last(previous).as_deref() == Some(PROVEN);
        } else if proven && line.starts_with('|') {
            if last(line).is_none_or(|cell| references(&cell).is_empty()) {
                rows.push(line);
            }
        } else {
            proven = false;
        }
        previous = line;
    }
    rows
}

#[test]
fn every_test_that_a_document_names_exists() {
    let mut problems = Vec::new();
    let mut count = 0;
    for (path, text) in documents() {
        for (number, line) in (1..).zip(text.lines()) {
            for (file, name) in references(line) {
                count += 1;
                let place = format!("{}:{number}", path.display());
                problems.extend(problem(file, name).map(|why| format!("{place}: {why}")));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(count > 50, "the documents name {count} tests only: is the pattern still right?");
}

#[test]
fn every_row_of_a_table_of_proofs_has_one() {
    for (path, text) in documents() {
        assert_eq!(unproven(&text), Vec::<&str>::new(), "{}", path.display());
    }
}

#[test]
fn what_does_not_exist_is_found() {
    assert!(problem("tests/body.rs", "no_such_test").is_some());
    assert!(problem("tests/no_such_file.rs", "head").is_some());
    assert!(problem("tests/body.rs", "head").is_some(), "a helper is no test");
    assert_eq!(problem("tests/body.rs", "lists_and_tuples_get_a_length"), None);
    assert_eq!(
        references("| `a` | `tests/a.rs: b`, `src/c.rs: d` |"),
        [("tests/a.rs", "b"), ("src/c.rs", "d")]
    );
    let table = "| Rule | Proven by |\n|---|---|\n| one | `tests/a.rs: b` |\n| two | nothing |\n\n| no | table |";
    assert_eq!(unproven(table), ["| two | nothing |"]);
}
