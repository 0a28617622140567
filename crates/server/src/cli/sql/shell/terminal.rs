//! The mode of the terminal, put back when the editor can not do it itself: when a signal ends us while it reads.

use std::io::Write;

use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};

/// What the editor asks of the terminal while it reads, taken back.
const NO_BRACKETED_PASTE: &[u8] = b"\x1b[?2004l";

/// The mode in which the terminal was; it comes back when this is dropped.
pub(super) struct Mode(Option<Termios>);

impl Mode {
    /// The mode in which the terminal is.
    pub(super) fn saved() -> Self {
        Self(tcgetattr(std::io::stdin()).ok())
    }

    /// The editor has put it back.
    pub(super) fn forget(mut self) {
        self.0 = None;
    }
}

/// Puts the terminal back, and the cursor on a new line.
impl Drop for Mode {
    fn drop(&mut self) {
        if let Some(mode) = &self.0 {
            let _ = tcsetattr(std::io::stdin(), SetArg::TCSANOW, mode);
            // Without a standard error there is no line to leave.
            let _ = std::io::stderr().write_all(NO_BRACKETED_PASTE).and_then(|()| writeln!(std::io::stderr()));
        }
    }
}
