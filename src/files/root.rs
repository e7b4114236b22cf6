//! A directory that files may be sent from.

use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use crate::error::FileError;
use crate::open::{Opened, Thing, open};

/// A directory, or a single file, that may be sent from.
#[derive(Debug)]
pub(crate) struct Root {
    /// As configured, absolute.
    path: PathBuf,
    /// Without links, as of when that was last asked; `None` when it was not there.
    canonical: RwLock<Option<PathBuf>>,
}

impl Root {
    pub(crate) fn new(path: PathBuf) -> Self {
        let canonical = RwLock::new(path.canonicalize().ok());
        Self { path, canonical }
    }

    pub(crate) fn all(paths: &[PathBuf]) -> Vec<Self> {
        paths.iter().cloned().map(Self::new).collect()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether `location`, which has no links, is in it.
    fn has(&self, location: &Path) -> bool {
        let canonical = self.canonical.read().unwrap_or_else(PoisonError::into_inner);
        canonical.as_ref().is_some_and(|root| location.starts_with(root))
    }

    /// Looks anew where it is: a deployment may have switched a link.
    fn refresh(&self) {
        let canonical = self.path.canonicalize().ok();
        *self.canonical.write().unwrap_or_else(PoisonError::into_inner) = canonical;
    }
}

/// That `opened`, which `path` led to, is in one of the roots; the second time after asking where
/// these are. It may then be another file: the one that is there now.
///
/// # Errors
/// It is in none of them.
pub(crate) fn admit<'a>(
    path: &Path,
    opened: Opened,
    mut roots: impl Iterator<Item = &'a Root> + Clone,
) -> Result<Option<Opened>, FileError> {
    if roots.clone().any(|root| opened.is_plainly_in(path, &root.path)) {
        return Ok(Some(opened));
    }
    let location = locate(path, &opened)?;
    if roots.clone().any(|root| root.has(&location)) {
        return Ok(Some(opened));
    }
    roots.clone().for_each(Root::refresh);
    let Thing::File(opened) = open(path)? else { return Ok(None) };
    let location = locate(path, &opened)?;
    if roots.any(|root| root.has(&location)) {
        return Ok(Some(opened));
    }
    Err(FileError::Outside { path: path.to_owned(), location })
}

fn locate(path: &Path, opened: &Opened) -> Result<PathBuf, FileError> {
    opened.location().map_err(|error| FileError::Closed(path.to_owned(), error))
}
