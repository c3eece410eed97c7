//! The terminal: drawn on as a whole, and given back as it was.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGWINCH};
use signal_hook::flag;
use terminal_size::{Height, Width, terminal_size};

use crate::print::Printed as _;

// Control sequences of xterm, which all terminals of today understand.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
const HOME: &str = "\x1b[H";
const REST_OF_LINE: &str = "\x1b[K";
const REST_OF_SCREEN: &str = "\x1b[J";
const BOLD: &str = "\x1b[1m";
const PLAIN: &str = "\x1b[m";

/// What Ctrl-C sends to a program that reads keys itself.
const CTRL_C: u8 = 3;

/// What became of waiting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Event {
    /// It is to end.
    Quit,
    /// The screen has another size.
    Resized,
    /// The time is over.
    Nothing,
}

/// A terminal that belongs to us: a screen of its own, no cursor, every key at once. Dropping it gives it back.
pub(super) struct Terminal {
    before: Termios,
    ended: Arc<AtomicBool>,
    resized: Arc<AtomicBool>,
}

impl Terminal {
    /// Takes the terminal of standard input and output.
    pub(super) fn enter() -> anyhow::Result<Self> {
        let before = tcgetattr(io::stdin()).context("standard input is no terminal")?;
        let (ended, resized) = (Arc::default(), Arc::default());
        for (signal, flag) in [(SIGINT, &ended), (SIGTERM, &ended), (SIGHUP, &ended), (SIGWINCH, &resized)] {
            flag::register(signal, Arc::clone(flag)).context("cannot catch signals")?;
        }
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        // From here on there is something to give back.
        let terminal = Self { before, ended, resized };
        tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &raw).context("cannot read single keys")?;
        write(ENTER)?;
        Ok(terminal)
    }

    /// Columns and rows; 80 and 24 where they are unknown.
    pub(super) fn size() -> (usize, usize) {
        let (Width(columns), Height(rows)) = terminal_size().unwrap_or((Width(80), Height(24)));
        (columns.into(), rows.into())
    }

    /// Shows these lines, the first of them bold, cut to the width.
    pub(super) fn draw(lines: &[String], width: usize) -> anyhow::Result<()> {
        let mut text = format!("{HOME}{BOLD}");
        for (row, line) in lines.iter().enumerate() {
            let end = if row == 0 { "" } else { "\r\n" };
            let line: String = line.chars().take(width).collect();
            text.extend([end, &line, PLAIN, REST_OF_LINE]);
        }
        text.push_str(REST_OF_SCREEN);
        write(&text)
    }

    /// Waits for a key that says something, a signal, or until the time is over.
    pub(super) fn wait(&mut self, timeout: Duration) -> anyhow::Result<Event> {
        let stdin = io::stdin();
        let mut sockets = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        let polled = poll(&mut sockets, PollTimeout::from(timeout.as_millis() as u16));
        if self.ended.load(Ordering::Relaxed) {
            return Ok(Event::Quit);
        }
        if self.resized.swap(false, Ordering::Relaxed) {
            return Ok(Event::Resized);
        }
        match polled {
            Ok(0) => return Ok(Event::Nothing),
            Err(Errno::EINTR) => return Ok(Event::Resized),
            Err(error) => return Err(error).context("standard input"),
            Ok(_) => {}
        }
        let mut keys = [0; 64];
        let len = stdin.lock().read(&mut keys).context("standard input")?;
        // Escape alone is a key; with more behind it, it is another key's name.
        let is_quit =
            matches!(&keys[..len], [] | [0x1b]) || keys[..len].iter().any(|key| b"qQ".contains(key) || *key == CTRL_C);
        Ok(if is_quit { Event::Quit } else { Event::Resized })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = write(LEAVE);
        let _ = tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &self.before);
    }
}

fn write(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).printed()
}
