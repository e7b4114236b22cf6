//! Why a file is not sent although there is one, or although the application wants it.

use std::fmt;
use std::io;
use std::path::PathBuf;

use http::StatusCode;

/// A file that is not sent.
#[derive(Debug)]
pub enum FileError {
    /// The application named something that is no path below any prefix, or no absolute path.
    Unmapped(String),
    /// There is no such file.
    Missing(PathBuf),
    /// The path leads to where nothing may be sent from.
    Outside {
        /// The path.
        path: PathBuf,
        /// Where it leads, through symbolic links.
        location: PathBuf,
    },
    /// The system does not let it be opened.
    Closed(PathBuf, io::Error),
}

impl FileError {
    /// With what to answer when an application wanted it.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Missing(_) => StatusCode::NOT_FOUND,
            Self::Unmapped(_) | Self::Outside { .. } | Self::Closed(..) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unmapped(named) => {
                write!(f, "`{named}` is not in any directory that files may be sent from")
            }
            Self::Missing(path) => write!(f, "`{}` is not there, or no file", path.display()),
            Self::Outside { path, location } => write!(
                f,
                "`{}` is not sent, for it is `{}`: that is in no directory that files may be sent \
                 from, nor below `static-safe`",
                path.display(),
                location.display()
            ),
            Self::Closed(path, error) => {
                write!(f, "`{}` cannot be opened: {error}", path.display())
            }
        }
    }
}

impl std::error::Error for FileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Closed(_, error) => Some(error),
            Self::Unmapped(_) | Self::Missing(_) | Self::Outside { .. } => None,
        }
    }
}
