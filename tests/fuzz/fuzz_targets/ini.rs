//! INI files: sections, keys, values, blocks, `%d`, `%(key)` and `%(key + 1)`, and how what is wrong with
//! them is shown. What blocks and includes do is left to the tests: they read files and run commands.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use rwsgi_core::config::blocks::{self, Item};
use rwsgi_core::config::error::Findings;
use rwsgi_core::config::ini::IniFile;
use rwsgi_core::config::magic::Magic;
use rwsgi_core::config::resource::Allowance;
use rwsgi_core::config::vars;

fuzz_target!(|data: &[u8]| {
    // `@(path)` would read any file.
    if data.windows(2).any(|two| two == b"@(") {
        return;
    }
    let path = Path::new("/nowhere/uwsgi.ini");
    let mut findings = Findings::default();
    let file = IniFile::parse(path, data, &mut findings);
    let lines = data.iter().filter(|&&byte| byte == b'\n').count() + 1;
    assert!(file.entries.len() <= lines && file.sections.len() <= lines);
    for (section, option) in &file.entries {
        assert!(*section < file.sections.len());
        assert!(!option.key.is_empty() && !option.key.contains(['\n', '=']));
        assert!(!option.value.contains('\n'));
    }
    // Spare blanks at the end of lines and a byte order mark, of which there is one, change nothing.
    let mark = b"\xef\xbb\xbf";
    let text = data.strip_prefix(mark).filter(|text| !text.starts_with(mark)).unwrap_or(data);
    let spread: Vec<u8> = text.split(|&b| b == b'\n').collect::<Vec<_>>().join(&b"\r\n"[..]);
    let again = IniFile::parse(path, &spread, &mut Findings::default());
    let pairs = |file: &IniFile| -> Vec<(usize, String, String)> {
        let pair = |(section, option): &(usize, _)| {
            let option: &rwsgi_core::config::raw::RawOption = option;
            (*section, option.key.clone(), option.value.clone())
        };
        file.entries.iter().map(pair).collect()
    };
    assert_eq!(pairs(&file), pairs(&again));

    let magic = Magic::new(path, path, "uwsgi", Path::new("/"));
    let Some(mut options) = file.select(&["uwsgi", "rwsgi"]) else { return };
    options.iter().for_each(|option| drop(magic.expand(&option.value)));
    let items = blocks::parse(options.clone(), &mut findings);
    if findings.errors.is_empty() && findings.warnings.is_empty() {
        let keywords = options.iter().filter(|option| blocks::is_keyword(&option.key)).count();
        assert_eq!(count(&items), options.len() - keywords);
    }
    let left = Allowance::without_commands();
    vars::expand(&mut options, &|_| None, Path::new("/nowhere"), &left, &mut findings);
    findings.errors.iter().for_each(|error| assert!(!error.to_string().is_empty()));
    findings.warnings.iter().for_each(|warning| assert!(!warning.to_string().is_empty()));
});

/// Options in blocks and outside.
fn count(items: &[Item]) -> usize {
    let one = |item: &Item| match item {
        Item::Option(_) => 1,
        Item::Block(block) => count(&block.body) + count(&block.otherwise),
    };
    items.iter().map(one).sum()
}
