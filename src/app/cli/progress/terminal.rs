//! The terminal that a bar is drawn on: whole frames, and none where the terminal is behind.

use std::io;
use std::sync::{Mutex, PoisonError};

use indicatif::TermLike;

use crate::app::cli::out;

/// The columns of a terminal that does not tell.
const USUAL_WIDTH: u16 = 80;

/// Gathers a frame, and hands it to standard error when it is whole.
#[derive(Debug, Default)]
pub(super) struct Terminal {
    frame: Mutex<String>,
}

impl Terminal {
    fn add(&self, text: &str) -> io::Result<()> {
        self.frame.lock().unwrap_or_else(PoisonError::into_inner).push_str(text);
        Ok(())
    }

    /// A control sequence that moves the cursor by `n`.
    fn step(&self, n: usize, direction: char) -> io::Result<()> {
        if n == 0 { Ok(()) } else { self.add(&format!("\x1b[{n}{direction}")) }
    }
}

impl TermLike for Terminal {
    fn width(&self) -> u16 {
        let told = rustix::termios::tcgetwinsize(rustix::stdio::stderr()).map_or(0, |size| size.ws_col);
        if told == 0 { USUAL_WIDTH } else { told }
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.step(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.step(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.step(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.step(n, 'D')
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.add(text)?;
        self.add("\n")
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.add(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.add("\r\x1b[2K")
    }

    fn flush(&self) -> io::Result<()> {
        let frame = std::mem::take(&mut *self.frame.lock().unwrap_or_else(PoisonError::into_inner));
        out::redraw(format_args!("{frame}"));
        Ok(())
    }
}
