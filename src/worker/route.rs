//! Internal routing: what rules see of a request and its response and do to them, and the fields of
//! every response.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use rwsgi_core::config::routing::{Action, Collected, Figure, Members, Routing, Rule};
use rwsgi_core::config::{self, Config};
use rwsgi_core::log::{self, Event};
use rwsgi_core::routing::{self, Answer, Doubt, Htpasswd, Known, Subject};
use rwsgi_files::{FileBody, FileError, Files, HEEDED};
use rwsgi_protocol::request::{Changes, Request};
use rwsgi_protocol::response::status_forbids_content;

use crate::commons;
use crate::connection::Connection;
use crate::record::{self, Record};
use crate::worker::Worker;

const X_SENDFILE: HeaderName = HeaderName::from_static("x-sendfile");

/// What is made of the configuration once.
#[derive(Debug, Default)]
pub(crate) struct Router {
    /// The directories of `static:`, and what is sent from each.
    files: Vec<(String, Files)>,
    /// Who passes `basicauth`.
    members: Vec<Arc<Htpasswd>>,
    added: Vec<(HeaderName, HeaderValue)>,
    removed: Vec<HeaderName>,
    /// There are rules for responses, or fields to collect.
    responds: bool,
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
        let Routing { rules, added, removed, collected } = &config.routing;
        let name = |name: &str| HeaderName::from_bytes(name.as_bytes()).ok();
        let field = |(key, value): &(String, String)| {
            Some((name(key)?, HeaderValue::from_bytes(value.as_bytes()).ok()?))
        };
        let mut files: Vec<(String, Files)> = Vec::new();
        for rule in rules.request.iter().chain(&rules.error).chain(&rules.response) {
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
        let mut members: Vec<Arc<Htpasswd>> = Vec::new();
        for rule in &rules.request {
            let Rule::Do(_, Action::Authenticate { members: Members::File(path), .. }) = rule
            else {
                continue;
            };
            if members.iter().all(|known| known.path() != path) {
                members.push(Arc::new(Htpasswd::new(path)));
            }
        }
        Self {
            files,
            members,
            added: added.iter().filter_map(field).collect(),
            removed: removed.iter().filter_map(|key| name(key)).collect(),
            responds: !(rules.error.is_empty()
                && rules.response.is_empty()
                && collected.is_empty()),
        }
    }
}

/// Where rules for a request have stopped until it is known whether a password is right.
pub(crate) struct Stop {
    at: usize,
    doubt: Doubt,
}

/// Has the rules act on a request. `Some` is the answer.
///
/// # Errors
/// A password is to be hashed first: see [`settle`].
pub(crate) fn route(
    worker: &Worker,
    connection: &Connection,
    request: &mut Request,
) -> Result<Option<Routed>, Stop> {
    if worker.config.routing.rules.request.is_empty() {
        return Ok(None);
    }
    route_from(0, None, worker, connection, request)
}

/// Has the other rules act on a request, when it is known what they have stopped for.
pub(crate) async fn settle(
    mut stop: Stop,
    worker: &Worker,
    connection: &Connection,
    request: &mut Request,
) -> Option<Routed> {
    loop {
        let Stop { at, doubt } = stop;
        let file = doubt.path().to_owned();
        let (event, why) = match worker.porter.ask(doubt).await {
            Ok(Some(told)) => {
                let passes = told.unwrap_or_else(|error| {
                    complain_of(worker, &file, &error);
                    false
                });
                match route_from(at, Some((file, passes)), worker, connection, request) {
                    Ok(routed) => return routed,
                    Err(next) => stop = next,
                }
                continue;
            }
            Ok(None) => {
                let why = "too many passwords wait to be hashed; somebody tries them";
                (Event::Overload, why.to_owned())
            }
            Err(error) => (Event::SystemError, error.to_string()),
        };
        let message = format!("basicauth: answered with 503, as {why}");
        worker.complain("", log::error(event, message));
        let method = request.method.clone();
        let later = Answer::Later(at);
        return Some(answered(worker, request, later, &method, &request.fields_named(&HEEDED)));
    }
}

/// `passes`: whether a password of this file is right.
fn route_from(
    start: usize,
    passes: Option<(PathBuf, bool)>,
    worker: &Worker,
    connection: &Connection,
    request: &mut Request,
) -> Result<Option<Routed>, Stop> {
    let rules = worker.config.routing.rules.request.get(start..).unwrap_or_default();
    let changes = request.changes.take();
    let mut scene = Scene::new(worker, connection, request, changes);
    scene.passes = passes;
    let answer = routing::run(rules, &mut scene);
    let doubt = scene.doubt.take();
    request.changes = scene.changes;
    if let (Some(Answer::Later(index)), Some(doubt)) = (&answer, doubt) {
        return Err(Stop { at: start + index, doubt });
    }
    let method = request.method.clone();
    Ok(answer
        .map(|answer| answered(worker, request, answer, &method, &request.fields_named(&HEEDED))))
}

/// Nobody passes by a file that is no good.
fn complain_of(worker: &Worker, file: &Path, error: &std::io::Error) {
    let message = format!("basicauth lets somebody not pass: {}: {error}", file.display());
    worker.complain("", log::error(Event::SystemError, message));
}

/// Has the rules act on a response, adds fields and removes them. `Some` is the body, in place of its
/// own.
#[inline]
pub(crate) fn respond(record: &mut Record, head: &mut Response<()>) -> Option<RoutedBody> {
    let body = if record.worker.router.responds { obey(record, head) } else { None };
    let Record { worker, request, changes, .. } = record;
    let router = &worker.router;
    let all = [request.changes.as_deref(), changes.as_deref()];
    if !router.leaves(all) {
        router.dress(all, head);
    }
    body
}

/// Whether [`respond`] has nothing to do.
#[inline]
pub(crate) fn leaves(record: &Record) -> bool {
    let Record { worker, request, changes, .. } = record;
    !worker.router.responds
        && worker.router.leaves([request.changes.as_deref(), changes.as_deref()])
}

/// Those of `error-route`, then fields are collected, then those of `response-route`.
fn obey(record: &mut Record, head: &mut Response<()>) -> Option<RoutedBody> {
    let worker = record.worker;
    let Routing { rules, collected, .. } = &worker.config.routing;
    let first = run_on_response(&rules.error, record, head);
    collect(collected, record, head);
    run_on_response(&rules.response, record, head).or(first)
}

fn run_on_response(
    rules: &[Rule],
    record: &mut Record,
    head: &mut Response<()>,
) -> Option<RoutedBody> {
    if rules.is_empty() {
        return None;
    }
    let Record { worker, connection, request, changes, .. } = record;
    let mut scene = Scene::new(worker, connection, request, changes.take());
    scene.figures.status = Some(head.status());
    let answer = routing::run(rules, &mut scene);
    let cleared = scene.figures.cleared;
    *changes = scene.changes;
    if let Some(status) = cleared {
        head.headers_mut().clear();
        *head.status_mut() = status;
    }
    let status = head.status();
    // Whatever was asked, this is a whole file.
    let method = if request.method == Method::HEAD { Method::HEAD } else { Method::GET };
    let routed = answered(worker, request, answer?, &method, &HeaderMap::new());
    let is_file = matches!(routed.body, RoutedBody::File(_));
    *head = routed.head;
    if is_file {
        *head.status_mut() = status;
    }
    if is_file && status_forbids_content(status) {
        head.headers_mut().clear();
        return Some(RoutedBody::Bytes(Bytes::new()));
    }
    Some(routed.body)
}

fn collect(collected: &[Collected], record: &mut Record, head: &mut Response<()>) {
    for Collected { field, variable, pulled } in collected {
        let Some(value) = head.headers().get(field) else { continue };
        let value = value.as_bytes().to_vec();
        record.changes.get_or_insert_default().variables.push((variable.as_str().into(), value));
        if *pulled {
            head.headers_mut().remove(field);
        }
    }
}

/// Has the rules of `final-route` act, when a response has left.
pub(crate) fn conclude(record: &mut Record, status: u16, took: Duration) {
    let Record { worker, connection, request, changes, bytes, .. } = record;
    let mut scene = Scene::new(worker, connection, request, changes.take());
    scene.figures = Figures {
        status: StatusCode::from_u16(status).ok(),
        took: u64::try_from(took.as_micros()).ok(),
        size: Some(*bytes),
        cleared: None,
    };
    // None of the actions there answers.
    routing::run(&worker.config.routing.rules.done, &mut scene);
    *changes = scene.changes;
}

impl Router {
    /// Whether it neither adds nor removes fields of a response.
    #[inline]
    fn leaves(&self, changes: [Option<&Changes>; 2]) -> bool {
        self.added.is_empty() && self.removed.is_empty() && changes == [None, None]
    }

    fn dress(&self, changes: [Option<&Changes>; 2], head: &mut Response<()>) {
        let fields = head.headers_mut();
        let changes = || changes.into_iter().flatten();
        for name in self.removed.iter().chain(changes().flat_map(|it| &it.removed)) {
            fields.remove(name);
        }
        for (name, value) in self.added.iter().chain(changes().flat_map(|it| &it.fields)) {
            fields.append(name, value.clone());
        }
    }
}

/// `method` and `fields` tell what of a file is wanted.
fn answered(
    worker: &Worker,
    request: &Request,
    answer: Answer,
    method: &Method,
    fields: &HeaderMap,
) -> Routed {
    match answer {
        Answer::Status(status) => status_alone(worker, code(status)),
        Answer::Redirect(status, to) => {
            let mut routed = status_alone(worker, code(status));
            match HeaderValue::try_from(encoded(&to)) {
                Ok(to) => drop(routed.head.headers_mut().insert(LOCATION, to)),
                Err(_) => return status_alone(worker, StatusCode::BAD_REQUEST),
            }
            routed
        }
        Answer::Unauthorized(realm) => {
            let mut routed = status_alone(worker, StatusCode::UNAUTHORIZED);
            if let Ok(asked) = HeaderValue::try_from(format!("Basic realm=\"{realm}\"")) {
                routed.head.headers_mut().insert(WWW_AUTHENTICATE, asked);
            }
            routed
        }
        Answer::Later(_) => {
            let mut routed = status_alone(worker, StatusCode::SERVICE_UNAVAILABLE);
            routed.head.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
            routed
        }
        Answer::File { .. } if *method != Method::GET && *method != Method::HEAD => {
            status_alone(worker, StatusCode::METHOD_NOT_ALLOWED)
        }
        Answer::File { path, root } => {
            file(worker, &path, &root, method, fields).unwrap_or_else(|error| {
                let message = format!("{} {}: {error}", request.method, request.path());
                worker.complain("", log::warning(Event::ClientError, message));
                // For the application that is a mistake of its own; here a client has named the file.
                status_alone(worker, StatusCode::NOT_FOUND)
            })
        }
    }
}

/// The configuration was checked for it.
fn code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn status_alone(worker: &Worker, status: StatusCode) -> Routed {
    let (mut head, mut text) = worker.error_pages.response(status);
    if status_forbids_content(status) {
        head.headers_mut().clear();
        text = Bytes::new();
    }
    Routed { head, body: RoutedBody::Bytes(text) }
}

fn file(
    worker: &Worker,
    path: &[u8],
    root: &str,
    method: &Method,
    fields: &HeaderMap,
) -> Result<Routed, FileError> {
    let files = worker.router.files.iter().find(|(known, _)| known == root);
    let (Some((_, files)), Ok(path)) = (files, HeaderValue::from_bytes(path)) else {
        return Ok(status_alone(worker, StatusCode::NOT_FOUND));
    };
    let mut head = Response::new(());
    head.headers_mut().insert(X_SENDFILE, path);
    let body = match files.sendfile(&mut head, method, fields)? {
        Some(body) => RoutedBody::File(body),
        None => RoutedBody::Bytes(Bytes::new()),
    };
    Ok(Routed { head, body })
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

/// What a client has sent makes no other lines, and does nothing to a terminal.
fn on_one_line(text: &[u8]) -> String {
    let mut line = String::with_capacity(text.len());
    for character in String::from_utf8_lossy(text).chars() {
        match character {
            c if c.is_control() && c != '\t' => line.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => line.push(c),
        }
    }
    line
}

/// A request and what is around it.
struct Scene<'a> {
    worker: &'a Worker,
    connection: &'a Connection,
    request: &'a Request,
    /// What rules of this phase have made of it, and those before it since the response is there.
    changes: Option<Box<Changes>>,
    /// Of its mount; rules see the path below it.
    prefix: &'a str,
    figures: Figures,
    /// The verdict on a password, and the file that it is of; `None`: there is none, or it was used.
    passes: Option<(PathBuf, bool)>,
    /// The password that is to be hashed.
    doubt: Option<Doubt>,
}

/// What is known of the response.
#[derive(Default)]
struct Figures {
    status: Option<StatusCode>,
    took: Option<u64>,
    size: Option<u64>,
    /// It is to lose its fields, and to have this status.
    cleared: Option<StatusCode>,
}

impl<'a> Scene<'a> {
    fn new(
        worker: &'a Worker,
        connection: &'a Connection,
        request: &'a Request,
        changes: Option<Box<Changes>>,
    ) -> Self {
        let prefix = worker.mounts.prefix(request);
        let figures = Figures::default();
        Self { worker, connection, request, changes, prefix, figures, passes: None, doubt: None }
    }

    fn changes(&mut self) -> &mut Changes {
        self.changes.get_or_insert_default()
    }
}

impl Subject for Scene<'_> {
    fn variable(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let changes = self.changes.as_deref();
        if name == "PATH_INFO"
            && let Some(path) = changes.and_then(|it| it.path.as_deref())
        {
            return path.get(self.prefix.len()..).map(Cow::Borrowed);
        }
        record::variable(self.worker, self.connection, self.request, changes, name)
    }

    fn figure(&self, figure: Figure) -> Option<u64> {
        match figure {
            Figure::Worker => Some(commons::worker_id().into()),
            Figure::Process => Some(std::process::id().into()),
            Figure::Status => self.figures.status.map(|status| status.as_u16().into()),
            Figure::Micros => self.figures.took,
            Figure::Size => self.figures.size,
        }
    }

    fn knows(&mut self, file: &Path, credentials: &[u8]) -> Option<bool> {
        if let Some((_, passes)) = self.passes.take_if(|(asked, _)| asked == file) {
            return Some(passes);
        }
        let members = &self.worker.router.members;
        let members = members.iter().find(|known| known.path() == file)?;
        match members.knows(credentials) {
            Ok(Known::Surely(passes)) => Some(passes),
            Ok(Known::Perhaps(doubt)) => {
                self.doubt = Some(doubt);
                None
            }
            Err(error) => {
                complain_of(self.worker, file, &error);
                Some(false)
            }
        }
    }

    fn media_type(&self, path: &[u8]) -> Vec<u8> {
        let path = Path::new(OsStr::from_bytes(path));
        self.worker.files.media_type(path).as_bytes().to_vec()
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

    fn clear(&mut self, status: u16) {
        self.figures.cleared = Some(code(status));
    }

    fn log(&self, text: &[u8]) {
        let entry = log::info(Event::ApplicationOutput, on_one_line(text));
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
