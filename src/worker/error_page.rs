//! Responses of rwsgi itself that say what is wrong: a status, and for people its reason or a page of the
//! configuration.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use rwsgi_core::config;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

/// The pages of the configuration.
#[derive(Debug, Default)]
pub(crate) struct ErrorPages(Vec<(u16, Bytes)>);

impl ErrorPages {
    /// Reads those that can be read.
    pub(crate) fn read(config: &config::Files) -> Self {
        let mut pages: Vec<(u16, Bytes)> = Vec::new();
        for (status, path) in &config.error_pages {
            if pages.iter().all(|(known, _)| known != status)
                && let Some(page) = config::error_page(path)
            {
                pages.push((*status, page.into()));
            }
        }
        Self(pages)
    }

    /// The head and the body of a response with this status, which allows one.
    pub(crate) fn response(&self, status: StatusCode) -> (Response<()>, Bytes) {
        let page = self.0.iter().find(|(known, _)| *known == status.as_u16());
        let (kind, body) = match page {
            Some((_, page)) => (HTML, page.clone()),
            None => (TEXT, reason(status)),
        };
        let mut head = Response::new(());
        *head.status_mut() = status;
        head.headers_mut().insert(CONTENT_TYPE, kind);
        head.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        (head, body)
    }
}

fn reason(status: StatusCode) -> Bytes {
    Bytes::from_static(status.canonical_reason().unwrap_or("Error").as_bytes())
}
