//! Bytes and requests: the rules of HTTP, CGI and PEP 3333 that need neither a socket nor Python.
//!
//! In the order of a connection: [`proxy`] (what a load balancer says before the request),
//! [`http1`] (which bytes hyper gets to see), [`uwsgi`] (a request that comes as a packet of
//! variables), [`request`] (either), [`forwarded`] (who the client is behind proxies) and its
//! [`scheme`].
//!
//! In the order of a request: [`path`] (target → PATH_INFO), [`header`] (which fields reach the
//! environ, and which an application may send), [`body`] (what `wsgi.input` reads from),
//! [`status`] (`"200 OK"` → code and reason), [`response`] (how a response is framed).
//!
//! [`notes`] is what an application leaves for the log.
//!
//! For files: [`relative_path`] (PATH_INFO → a path below a directory), [`accept_encoding`] (which
//! compressed sibling), [`entity_tag`], [`mod@date`] and [`conditional`] (whether the client has it
//! already), [`mod@range`] (which parts of it).

pub mod accept_encoding;
pub mod body;
pub mod conditional;
pub mod date;
pub mod entity_tag;
pub mod forwarded;
pub mod header;
pub mod http1;
pub mod notes;
pub mod path;
pub mod proxy;
pub mod range;
pub mod relative_path;
pub mod request;
pub mod response;
pub mod scheme;
pub mod status;
pub mod uwsgi;
mod word;
