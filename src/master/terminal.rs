//! The terminal of `rwsgi top`: another screen, keys without Enter; as it was when dropped.

use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;

use nix::sys::termios::{
    LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr,
};
use rwsgi_core::sys;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The other screen, and no cursor.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_REST: &str = "\x1b[J";
/// What is taken when the terminal does not tell its size.
const USUAL: (usize, usize) = (80, 24);

/// The terminal, for as long as this lives.
#[derive(Debug)]
pub struct Terminal {
    before: Termios,
    keys: AsyncFd<io::Stdin>,
}

impl Terminal {
    /// Takes the terminal.
    ///
    /// # Errors
    /// Those of tcgetattr(3) and tcsetattr(3): there is none.
    #[expect(deprecated, reason = "the successor is unsafe; standard input stays what it is")]
    pub fn take() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        // Ctrl-C and Ctrl-Z stay signals. A read never waits: readiness says when there is a key.
        raw.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO);
        raw.control_chars[SpecialCharacterIndices::VMIN as usize] = 0;
        raw.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
        let keys = AsyncFd::with_interest(io::stdin(), Interest::READABLE)?;
        tcsetattr(io::stdin(), SetArg::TCSANOW, &raw)?;
        let terminal = Self { before, keys };
        write(ENTER)?;
        Ok(terminal)
    }

    /// Waits for keys; none when the terminal is gone.
    pub async fn keys(&self) -> Vec<u8> {
        let mut bytes = [0; 64];
        loop {
            let Ok(mut ready) = self.keys.readable().await else { return Vec::new() };
            let read = ready.get_inner().lock().read(&mut bytes);
            match read {
                Ok(count) if count > 0 => return bytes[..count].to_vec(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                Ok(_) if !ready.ready().is_read_closed() => ready.clear_ready(),
                Ok(_) | Err(_) => return Vec::new(),
            }
        }
    }

    /// Columns and lines.
    pub fn size() -> (usize, usize) {
        sys::terminal_size(io::stdout().as_fd()).unwrap_or(USUAL)
    }

    /// Shows these lines, cut to what fits.
    ///
    /// # Errors
    /// Those of write(2).
    pub fn show(lines: &[String]) -> io::Result<()> {
        let (columns, rows) = Self::size();
        let mut text = HOME.to_owned();
        let fitting = lines.iter().take(rows);
        for (index, line) in fitting.enumerate() {
            if index > 0 {
                text.push_str("\r\n");
            }
            text.extend(line.chars().take(columns));
            text.push_str(CLEAR_LINE);
        }
        text.push_str(CLEAR_REST);
        write(&text)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = write(LEAVE);
        let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, &self.before);
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
