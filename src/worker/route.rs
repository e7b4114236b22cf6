//! Internal routing: what rules see of a request and do to it, and the fields of every response.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Method, Response, StatusCode};
use rwsgi_core::config::routing::{Action, Routing, Rule};
use rwsgi_core::config::{self, Config};
use rwsgi_core::log::{self, Event};
use rwsgi_core::routing::{self, Answer, Subject};
use rwsgi_files::{FileBody, Files};
use rwsgi_protocol::request::{Changes, Request};
use rwsgi_protocol::response::status_forbids_content;

use crate::connection::Connection;
use crate::record;
use crate::request::{error_head, error_text};
use crate::worker::Worker;

const X_SENDFILE: HeaderName = HeaderName::from_static("x-sendfile");

/// What is made of the configuration once.
#[derive(Debug, Default)]
pub(crate) struct Router {
    /// The directories of `static:`, and what is sent from each.
    files: Vec<(String, Files)>,
    added: Vec<(HeaderName, HeaderValue)>,
    removed: Vec<HeaderName>,
}

/// What is answered in place of the application.
#[derive(Debug)]
pub(crate) struct Routed {
    pub(crate) head: Response<()>,
    pub(crate) body: RoutedBody,
}

/// Its body.
#[derive(Debug)]
pub(crate) enum RoutedBody {
    Bytes(Bytes),
    File(FileBody),
}

impl Router {
    pub(crate) fn new(config: &Config) -> Self {
        let Routing { rules, added, removed } = &config.routing;
        let name = |name: &str| HeaderName::from_bytes(name.as_bytes()).ok();
        let field = |(key, value): &(String, String)| {
            Some((name(key)?, HeaderValue::from_bytes(value.as_bytes()).ok()?))
        };
        let mut files: Vec<(String, Files)> = Vec::new();
        for rule in rules {
            let Rule::Do(_, Action::File(path)) = rule else { continue };
            let root = routing::root(path);
            if !files.iter().any(|(known, _)| *known == root) {
                let sendfile = vec![root.into()];
                let (checked, maps, accel) = (Vec::new(), Vec::new(), Vec::new());
                let settings = config.files.clone();
                let settings = config::Files { sendfile, checked, maps, accel, ..settings };
                files.push((root.to_owned(), Files::new(&settings)));
            }
        }
        Self {
            files,
            added: added.iter().filter_map(field).collect(),
            removed: removed.iter().filter_map(|key| name(key)).collect(),
        }
    }

    /// Adds and removes fields of a response, as configured and as the rules for its request say.
    #[inline]
    pub(crate) fn dress(&self, request: &Request, head: &mut Response<()>) {
        if !self.added.is_empty() || !self.removed.is_empty() || request.changes.is_some() {
            self.change(request.changes.as_deref(), head);
        }
    }

    fn change(&self, changes: Option<&Changes>, head: &mut Response<()>) {
        let (removed, added) = changes.map_or((&[][..], &[][..]), |changes| {
            (changes.removed.as_slice(), changes.fields.as_slice())
        });
        let fields = head.headers_mut();
        for name in self.removed.iter().chain(removed) {
            fields.remove(name);
        }
        for (name, value) in self.added.iter().chain(added) {
            fields.append(name, value.clone());
        }
    }
}

/// Has the rules act on a request. `Some` is the answer.
pub(crate) fn route(
    worker: &Worker,
    connection: &Connection,
    request: &mut Request,
) -> Option<Routed> {
    let rules = &worker.config.routing.rules;
    if rules.is_empty() {
        return None;
    }
    let place = worker.mounts.find(request).filter(|place| place.splits);
    let prefix = place.map(|place| place.mounted.prefix.clone()).unwrap_or_default();
    let mut scene = Scene { worker, connection, request, prefix };
    let answer = routing::run(rules, &mut scene)?;
    Some(answered(worker, request, answer))
}

fn answered(worker: &Worker, request: &Request, answer: Answer) -> Routed {
    match answer {
        Answer::Status(status) => status_alone(code(status)),
        Answer::Redirect(status, to) => {
            let mut routed = status_alone(code(status));
            match HeaderValue::try_from(encoded(&to)) {
                Ok(to) => drop(routed.head.headers_mut().insert(LOCATION, to)),
                Err(_) => return status_alone(StatusCode::BAD_REQUEST),
            }
            routed
        }
        Answer::Unauthorized(realm) => {
            let mut routed = status_alone(StatusCode::UNAUTHORIZED);
            if let Ok(asked) = HeaderValue::try_from(format!("Basic realm=\"{realm}\"")) {
                routed.head.headers_mut().insert(WWW_AUTHENTICATE, asked);
            }
            routed
        }
        Answer::File { path, root } => file(worker, request, &path, &root),
    }
}

/// The configuration was checked for it.
fn code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn status_alone(status: StatusCode) -> Routed {
    let mut head = error_head(status);
    if status_forbids_content(status) {
        head.headers_mut().remove(CONTENT_TYPE);
        return Routed { head, body: RoutedBody::Bytes(Bytes::new()) };
    }
    let text = error_text(status);
    head.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    Routed { head, body: RoutedBody::Bytes(text) }
}

fn file(worker: &Worker, request: &Request, path: &[u8], root: &str) -> Routed {
    if request.method != Method::GET && request.method != Method::HEAD {
        return status_alone(StatusCode::METHOD_NOT_ALLOWED);
    }
    let files = worker.router.files.iter().find(|(known, _)| known == root);
    let (Some((_, files)), Ok(path)) = (files, HeaderValue::from_bytes(path)) else {
        return status_alone(StatusCode::NOT_FOUND);
    };
    let mut head = Response::new(());
    head.headers_mut().insert(X_SENDFILE, path);
    match files.sendfile(&mut head, &request.method, &request.fields()) {
        Ok(Some(body)) => Routed { head, body: RoutedBody::File(body) },
        Ok(None) => Routed { head, body: RoutedBody::Bytes(Bytes::new()) },
        Err(error) => {
            let message = format!("{} {}: {error}", request.method, request.path());
            worker.complain("", log::warning(Event::ClientError, message));
            // For the application that is a mistake of its own; here a client has named the file.
            status_alone(StatusCode::NOT_FOUND)
        }
    }
}

/// What cannot be in a URL is escaped: parts of it may come from a decoded path.
fn encoded(url: &[u8]) -> String {
    let mut text = String::with_capacity(url.len());
    for &byte in url {
        if byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>') {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// A request and what is around it.
struct Scene<'a> {
    worker: &'a Worker,
    connection: &'a Connection,
    request: &'a mut Request,
    /// Of its mount; rules see the path below it.
    prefix: Box<str>,
}

impl Scene<'_> {
    fn changes(&mut self) -> &mut Changes {
        self.request.changes.get_or_insert_default()
    }
}

impl Subject for Scene<'_> {
    fn variable(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let changes = self.request.changes.as_deref();
        let set = changes.and_then(|it| it.variables.iter().rfind(|(known, _)| **known == *name));
        if let Some((_, value)) = set {
            return Some(Cow::Borrowed(value));
        }
        let path = || self.request.path_info();
        match name {
            "PATH_INFO" if !self.prefix.is_empty() => {
                Some(path().get(self.prefix.len()..).unwrap_or_default().to_vec().into())
            }
            "SCRIPT_NAME" if !self.prefix.is_empty() => Some(self.prefix.as_bytes().into()),
            _ => record::variable(self.connection, self.request, name),
        }
    }

    fn set(&mut self, name: &str, value: Vec<u8>) {
        if name == "PATH_INFO" {
            let path = [self.prefix.as_bytes(), &value].concat();
            self.changes().path = Some(path);
        } else {
            self.changes().variables.push((name.into(), value));
        }
    }

    fn add_field(&mut self, name: &str, value: Vec<u8>) {
        match (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(&value)) {
            (Ok(name), Ok(value)) => self.changes().fields.push((name, value)),
            _ => {
                let value = value.escape_ascii();
                let message = format!("{name} is not added to a response: it would be `{value}`");
                self.worker.complain("", log::warning(Event::ClientError, message));
            }
        }
    }

    fn remove_field(&mut self, name: &str) {
        if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
            self.changes().removed.push(name);
        }
    }

    fn log(&self, text: &[u8]) {
        let text = String::from_utf8_lossy(text).into_owned();
        let entry = log::info(Event::ApplicationOutput, text);
        self.worker.about_request(entry, self.request).send();
    }

    fn note(&self, name: &str, value: &[u8]) {
        // There is one for each rule at most.
        let _ = self.request.notes.set(name.as_bytes(), value);
    }

    fn silence(&mut self) {
        self.changes().silent = true;
    }
}
