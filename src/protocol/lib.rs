//! Bytes and requests: the rules of HTTP, CGI and PEP 3333 that need neither a socket nor Python.
//!
//! In the order of a connection: [`proxy`] (what a load balancer says before the request),
//! [`http1`] (which bytes hyper gets to see), [`uwsgi`] (a request that comes as a packet of
//! variables), [`forwarded`] (who the client is behind proxies) and its [`scheme`].
//!
//! In the order of a request: [`path`] (target → PATH_INFO), [`header`] (which fields reach the
//! environ, and which an application may send), [`body`] (what `wsgi.input` reads from),
//! [`status`] (`"200 OK"` → code and reason), [`response`] (how a response is framed).

pub mod body;
pub mod forwarded;
pub mod header;
pub mod http1;
pub mod path;
pub mod proxy;
pub mod response;
pub mod scheme;
pub mod status;
pub mod uwsgi;
