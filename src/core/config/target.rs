//! What names an application, and where it is mounted.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::value::{Invalid, Value};

/// The WSGI callable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// `wsgi-file`, relative to `chdir`.
    File {
        /// The file.
        path: PathBuf,
        /// The name in it, `application` by default; `name()`, perhaps with literals as
        /// arguments, is called once to make the callable.
        callable: String,
    },
    /// `module = package.module:callable`.
    Module {
        /// The module's dotted name.
        module: String,
        /// As for a file.
        callable: String,
    },
    /// `eval = code`.
    Code {
        /// The code.
        text: String,
        /// As for a file.
        callable: String,
    },
    /// `paste = config:FILE`, of PasteDeploy.
    Paste {
        /// What PasteDeploy is asked for, with an absolute path.
        uri: String,
        /// The file whose `[loggers]` are obeyed (`paste-logger`).
        logging: Option<PathBuf>,
    },
}

/// An application below a prefix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// The prefix, which begins with a slash and does not end with one; empty at the root.
    pub prefix: String,
    /// The callable.
    pub target: Target,
}

/// An application, as `mount` names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// A file and the callable, if that was named.
    File(PathBuf, Option<String>),
    /// A module and the callable, if that was named.
    Module(String, Option<String>),
}

impl Named {
    /// The callable, with the name that holds where none was written.
    pub(super) fn target(&self, default: &str) -> Target {
        let callable = |name: &Option<String>| name.as_deref().unwrap_or(default).to_owned();
        match self {
            Self::File(path, name) => Target::File { path: path.clone(), callable: callable(name) },
            Self::Module(module, name) => {
                Target::Module { module: module.clone(), callable: callable(name) }
            }
        }
    }
}

/// Reads `package.module` or `package.module:callable`.
pub(super) fn module(text: &str) -> Result<Value, Invalid> {
    let (name, call) = match text.split_once(':') {
        Some((name, call)) => (name, Some(callable(call)?)),
        None => (text, None),
    };
    if is_file(name) {
        return Err(Invalid::new("is the name of a file, not of a module")
            .help(format!("write `wsgi-file = {name}`, or the module's dotted name")));
    }
    let legal = |part: &str| !part.is_empty() && !part.contains(char::is_whitespace);
    if !name.split('.').all(legal) || name.contains('\0') {
        return Err(Invalid::new("is not the dotted name of a module"));
    }
    Ok(Value::Module(name.to_owned(), call))
}

/// Reads the name of a callable, or of a factory with its arguments, which are literals of Python.
pub(super) fn callable(text: &str) -> Result<String, Invalid> {
    let (name, call) = text.split_at(text.find('(').unwrap_or(text.len()));
    let legal = |c: char| c == '_' || c == '.' || c.is_alphanumeric();
    if name.is_empty() || !name.chars().all(legal) || name.starts_with(|c: char| c.is_numeric()) {
        return Err(Invalid::new("does not name a callable")
            .help("write `name`, or `name()` for a function that returns the application"));
    }
    if !call.is_empty() && (!call.ends_with(')') || call.contains(char::is_control)) {
        return Err(Invalid::new("calls a factory without the end of its arguments")
            .help("write such as `name()` or `name(\"production\", debug=False)`"));
    }
    Ok(text.to_owned())
}

/// Reads `/prefix=application`.
pub(super) fn mount(text: &str) -> Result<Value, Invalid> {
    let Some((prefix, named)) = text.split_once('=') else {
        return Err(Invalid::new("lacks the prefix or the application")
            .help(format!("write `/shop={text}`: `/shop` is the beginning of the paths")));
    };
    let (prefix, named) = (prefix.trim_end(), named.trim_start());
    if prefix.contains('\0') || named.contains('\0') {
        return Err(Invalid::new("has a NUL in it"));
    }
    if !prefix.starts_with('/') {
        let problem = "has a prefix that does not begin with a slash";
        return Err(Invalid::new(problem).help(if prefix.contains('.') {
            "applications are not chosen by the host: run an instance for each, or let the web server \
             say SCRIPT_NAME"
                .to_owned()
        } else {
            format!("write `/{prefix}={named}`")
        }));
    }
    if named.is_empty() {
        return Err(Invalid::new("names no application"));
    }
    let (name, call) = match named.split_once(':') {
        Some((name, call)) => (name, Some(callable(call)?)),
        None => (named, None),
    };
    // As in uWSGI, `shop.wsgi` is a file and `shop.wsgi:application` a module.
    let named = if is_file(name) || named.ends_with(".wsgi") {
        Named::File(name.into(), call)
    } else {
        match module(named)? {
            Value::Module(module, call) => Named::Module(module, call),
            _ => return Err(Invalid::new("names no application")),
        }
    };
    Ok(Value::Mount(prefix.trim_end_matches('/').to_owned(), named))
}

/// Whether a name is one of a file, and not of a module; as uWSGI decides it.
pub(super) fn is_file(name: &str) -> bool {
    name.contains('/') || name.ends_with(".py")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounted(text: &str) -> (String, Target) {
        match mount(text) {
            Ok(Value::Mount(prefix, named)) => (prefix, named.target("application")),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_mount_names_a_file_or_a_module() {
        let file = |path: &str, callable: &str| Target::File {
            path: path.into(),
            callable: callable.to_owned(),
        };
        let module = |module: &str, callable: &str| Target::Module {
            module: module.to_owned(),
            callable: callable.to_owned(),
        };
        assert_eq!(mounted("/a=app.py"), ("/a".into(), file("app.py", "application")));
        assert_eq!(mounted("/a/b/ = app.wsgi"), ("/a/b".into(), file("app.wsgi", "application")));
        assert_eq!(mounted("/a=x/app.py:app"), ("/a".into(), file("x/app.py", "app")));
        assert_eq!(mounted("/=pkg.app:make()"), (String::new(), module("pkg.app", "make()")));
        assert_eq!(mounted("/a=a.wsgi:app"), ("/a".into(), module("a.wsgi", "app")));
        let call = "make(\"http://x=y\", debug=False)";
        assert_eq!(mounted(&format!("/a=pkg:{call}")), ("/a".into(), module("pkg", call)));
        assert_eq!(mounted("/a=pkg.app"), ("/a".into(), module("pkg.app", "application")));
    }

    #[test]
    fn a_bad_mount_says_what_to_write() {
        let help = |text: &str| mount(text).unwrap_err().help.unwrap_or_default();
        assert!(help("app.py").contains("/shop=app.py"));
        assert!(help("shop=app.py").contains("`/shop=app.py`"));
        assert!(help("shop.test/a=app.py").contains("host"));
        assert!(help("/a=m:1x").contains("name()"));
        for text in [
            "/a=",
            "/a=b c",
            "=app.py",
            "/a=..",
            "/a=m:",
            "/a=m:x y",
            "/a=m:x(1",
            "/a=m:x(1)y",
            "/a=m:(1)",
        ] {
            assert!(mount(text).is_err(), "{text}");
        }
    }
}
