//! `rwsgi workers`: a line for each worker. And what tables need.

use serde_json::Value;

use crate::status::span;

/// The names of the columns.
const HEAD: [&str; 13] = [
    "WORKER",
    "PID",
    "GEN",
    "PHASE",
    "AGE",
    "REQUESTS",
    "RUNNING",
    "CONNS",
    "RSS",
    "PSS",
    "USS",
    "RESTARTS",
    "LAST CAUSE",
];
/// Those that are text.
const LEFT: [usize; 2] = [3, 12];

/// The workers of the answer to `status`.
pub fn text(status: &Value) -> String {
    let workers = status["workers"].as_array().map_or(&[][..], Vec::as_slice);
    let mut rows = vec![HEAD.map(str::to_owned).to_vec()];
    rows.extend(workers.iter().map(|worker| row(worker).to_vec()));
    let all: Vec<_> = (0..HEAD.len()).filter(|column| !LEFT.contains(column)).collect();
    aligned(&rows, &all)
}

fn row(worker: &Value) -> [String; 13] {
    let (counters, memory) = (&worker["counters"], &worker["memory"]);
    [
        number(&worker["worker"]),
        number(&worker["pid"]),
        number(&worker["generation"]),
        harmless(worker["phase"].as_str().unwrap_or("?")),
        span(worker["age_seconds"].as_u64().unwrap_or(0)),
        number(&counters["requests"]),
        number(&counters["running"]),
        number(&counters["connections"]),
        mebibytes(&memory["rss"]),
        mebibytes(&memory["pss"]),
        mebibytes(&memory["uss"]),
        number(&worker["restarts"]),
        cause(&worker["last_restart"]),
    ]
}

/// Why and when a worker was last followed by another one.
pub fn cause(last: &Value) -> String {
    match (last["cause"].as_str(), last["seconds_ago"].as_u64()) {
        (Some(cause), Some(ago)) => format!("{} ({} ago)", harmless(cause), span(ago)),
        _ => "-".to_owned(),
    }
}

/// A number, or a dash where there is none.
pub fn number(value: &Value) -> String {
    value.as_u64().map_or_else(|| "-".to_owned(), |number| number.to_string())
}

/// Bytes in MiB, or a dash.
pub fn mebibytes(value: &Value) -> String {
    value
        .as_u64()
        .map_or_else(|| "-".to_owned(), |bytes| format!("{} MiB", bytes.div_ceil(1 << 20)))
}

/// Rows with their columns below each other; those of `right` end at one place, the others begin.
pub fn aligned(rows: &[Vec<String>], right: &[usize]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let gap = " ".repeat(widths[column].saturating_sub(cell.chars().count()));
            let parts = if right.contains(&column) { [&gap, cell] } else { [cell, &gap] };
            if column > 0 {
                line.push_str("  ");
            }
            parts.iter().for_each(|part| line.push_str(part));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Text that came from a client or an application, for a terminal: nothing in it moves the cursor,
/// changes colours, or turns the direction of writing.
pub fn harmless(text: &str) -> String {
    let mut safe = String::new();
    for character in text.chars() {
        let turns = matches!(character,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
        if character.is_control() || turns {
            safe.push_str(&format!("\\x{:02x}", u32::from(character)));
        } else {
            safe.push(character);
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_worker_is_a_line_and_what_is_not_known_a_dash() {
        let counters = json!({"requests": 1200, "running": 1, "connections": 3});
        let memory = json!({"rss": 31 << 20, "pss": (15 << 20) + 1, "uss": 9 << 20});
        let last = json!({"cause": "killed by\nsignal 9", "seconds_ago": 61});
        let status = json!({"workers": [
            {"worker": 1, "pid": 4711, "generation": 2, "phase": "ready", "age_seconds": 61, "counters": counters,
             "memory": memory, "restarts": 3, "last_restart": last},
            {"worker": 12, "pid": null, "generation": 3, "phase": "starting", "age_seconds": 0,
             "counters": null, "memory": null, "restarts": 0, "last_restart": null},
        ]});
        let expected = "\
WORKER   PID  GEN  PHASE           AGE  REQUESTS  RUNNING  CONNS     RSS     PSS    USS  RESTARTS  LAST CAUSE
     1  4711    2  ready     1 min 1 s      1200        1      3  31 MiB  16 MiB  9 MiB         3  killed by\\x0asignal 9 (1 min 1 s ago)
    12     -    3  starting        0 s         -        -      -       -       -      -         0  -
";
        assert_eq!(text(&status), expected);
    }

    #[test]
    fn no_text_of_others_commands_the_terminal() {
        assert_eq!(
            harmless("/é\u{1b}]0;x\u{7}\u{9b}2J\u{202e}\u{7f}"),
            "/é\\x1b]0;x\\x07\\x9b2J\\x202e\\x7f"
        );
    }
}
