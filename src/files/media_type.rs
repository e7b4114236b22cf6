//! The media type of a file, by its extension.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use http::HeaderValue;
use rwsgi_core::hash::Seed;

/// What is said of a file that nobody knows: browsers then save it, and do not guess.
const UNKNOWN: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// Media types by extension.
#[derive(Debug, Default)]
pub(crate) struct MediaTypes {
    /// By extension in lower case.
    listed: HashMap<String, HeaderValue, Seed>,
}

impl MediaTypes {
    /// Reads tables in the format of /etc/mime.types; one that cannot be read counts as empty, of
    /// which the configuration has warned.
    pub(crate) fn read(files: &[PathBuf]) -> Self {
        let mut types = Self::default();
        for file in files {
            types.add(&String::from_utf8_lossy(&std::fs::read(file).unwrap_or_default()));
        }
        types
    }

    /// Adds a table; extensions that are known already stay what they are.
    fn add(&mut self, table: &str) {
        for line in table.lines() {
            let code = line.split('#').next().unwrap_or_default();
            let mut words = code.split_ascii_whitespace();
            let Some(value) = words.next().and_then(value) else { continue };
            for extension in words {
                let extension = extension.to_ascii_lowercase();
                self.listed.entry(extension).or_insert_with(|| value.clone());
            }
        }
    }

    /// The value of Content-Type for a file of this name.
    pub(crate) fn of(&self, path: &Path) -> HeaderValue {
        let Some(extension) = path.extension().and_then(OsStr::to_str) else { return UNKNOWN };
        if let Some(listed) = self.listed.get(extension) {
            return listed.clone();
        }
        let extension = extension.to_ascii_lowercase();
        if let Some(listed) = self.listed.get(&extension) {
            return listed.clone();
        }
        mime_guess::from_ext(&extension).first_raw().and_then(value).unwrap_or(UNKNOWN)
    }
}

/// A media type as a field value: what is text is UTF-8, as everywhere on Linux.
fn value(media_type: &str) -> Option<HeaderValue> {
    let (top, sub) = media_type.split_once('/')?;
    if top.is_empty() || sub.is_empty() {
        return None;
    }
    let is_text = top == "text" || media_type == "application/javascript";
    if is_text && !media_type.contains(';') {
        return HeaderValue::try_from(format!("{media_type}; charset=utf-8")).ok();
    }
    HeaderValue::from_str(media_type).ok()
}

/// A media type without its parameters, in lower case.
pub(crate) fn essence(value: &HeaderValue) -> String {
    let text = value.to_str().unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(types: &MediaTypes, name: &str) -> String {
        types.of(Path::new(name)).to_str().unwrap().to_owned()
    }

    #[test]
    fn the_web_is_known_without_any_table() {
        let types = MediaTypes::read(&[PathBuf::from("/no/such/file")]);
        let known = [
            ("a.html", "text/html; charset=utf-8"),
            ("A.CSS", "text/css; charset=utf-8"),
            ("a.min.js", "text/javascript; charset=utf-8"),
            ("a.mjs", "application/javascript; charset=utf-8"),
            ("a.json", "application/json"),
            ("a.svg", "image/svg+xml"),
            ("a.png", "image/png"),
            ("a.webp", "image/webp"),
            ("a.avif", "image/avif"),
            ("a.ico", "image/x-icon"),
            ("a.woff2", "font/woff2"),
            ("a.wasm", "application/wasm"),
            ("a.webmanifest", "application/manifest+json"),
            ("a.pdf", "application/pdf"),
            ("a.mp4", "video/mp4"),
            ("a.txt", "text/plain; charset=utf-8"),
            ("a.gz", "application/gzip"),
        ];
        for (name, expected) in known {
            assert_eq!(of(&types, name), expected, "{name}");
        }
    }

    #[test]
    fn what_is_unknown_is_not_guessed() {
        let types = MediaTypes::default();
        for name in ["README", "a.unheard-of", ".html", "a."] {
            assert_eq!(of(&types, name), "application/octet-stream", "{name}");
        }
    }

    #[test]
    fn tables_count_before_what_is_built_in_and_the_first_before_the_second() {
        let mut types = MediaTypes::default();
        types.add("# comment\ntext/x-mine\tCSS foo # bar\nnonsense css\n/ css\ntext/plain\n");
        types.add("text/other foo baz\n");
        assert_eq!(of(&types, "a.css"), "text/x-mine; charset=utf-8");
        assert_eq!(of(&types, "a.foo"), "text/x-mine; charset=utf-8");
        assert_eq!(of(&types, "a.baz"), "text/other; charset=utf-8");
        assert_eq!(of(&types, "a.bar"), "application/octet-stream");
    }

    #[test]
    fn the_essence_is_what_a_configuration_names() {
        let value = HeaderValue::from_static("Text/HTML; charset=utf-8");
        assert_eq!(essence(&value), "text/html");
    }
}
