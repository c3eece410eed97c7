//! The terminal: drawn on as a whole, and given back as it was.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event as Happened, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::style::Stylize;
use ratatui::text::{Line, Text};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGWINCH};
use signal_hook::flag;

/// How soon a signal is seen.
const GLANCE: Duration = Duration::from_millis(100);

/// What became of waiting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    /// It is to end: by a key or by a signal.
    Quit,
    /// The screen has another size.
    Resized,
    /// Any other key with a character.
    Key(char),
    /// The time is over.
    Nothing,
}

/// A terminal that belongs to us: a screen of its own, no cursor, every key at once. Dropping it gives it back.
pub(crate) struct Terminal {
    screen: DefaultTerminal,
    /// Where keys come from, if that is not standard input.
    keys: Option<File>,
    ended: Arc<AtomicBool>,
    resized: Arc<AtomicBool>,
}

impl Terminal {
    /// Takes the terminal of standard input and output.
    pub(crate) fn enter() -> anyhow::Result<Self> {
        let (ended, resized) = (Arc::default(), Arc::default());
        for (signal, flag) in [(SIGINT, &ended), (SIGTERM, &ended), (SIGHUP, &ended), (SIGWINCH, &resized)] {
            flag::register(signal, Arc::clone(flag)).context("cannot catch signals")?;
        }
        let no_terminal = "there is no terminal to draw on";
        let keys = if io::stdin().is_terminal() { None } else { Some(File::open("/dev/tty").context(no_terminal)?) };
        let screen = ratatui::try_init().context(no_terminal)?;
        Ok(Self { screen, keys, ended, resized })
    }

    /// Columns and rows.
    pub(crate) fn size(&self) -> io::Result<(usize, usize)> {
        let size = self.screen.size()?;
        Ok((size.width.into(), size.height.into()))
    }

    /// Shows these lines, the first of them bold, cut to the width.
    pub(crate) fn draw(&mut self, lines: &[String]) -> io::Result<()> {
        let line = |(row, line): (usize, &String)| {
            let line = Line::raw(line.clone());
            if row == 0 { line.bold() } else { line }
        };
        let text: Text<'_> = lines.iter().enumerate().map(line).collect();
        self.screen.draw(|frame| frame.render_widget(text, frame.area())).map(drop)
    }

    /// Waits for a key, a signal, another size, or until the time is over.
    pub(crate) fn wait(&self, timeout: Duration) -> io::Result<Event> {
        let end = Instant::now() + timeout;
        loop {
            if self.ended.load(Ordering::Relaxed) {
                return Ok(Event::Quit);
            }
            if self.resized.swap(false, Ordering::Relaxed) {
                return Ok(Event::Resized);
            }
            let left = end.saturating_duration_since(Instant::now());
            let happened = self.look(left.min(GLANCE))?;
            // `crossterm` reads a terminal that is gone for ever.
            if happened.intersects(PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL) {
                return Ok(Event::Quit);
            }
            if happened.contains(PollFlags::POLLIN) && event::poll(Duration::ZERO)? {
                match event::read()? {
                    Happened::Key(key) if key.kind == KeyEventKind::Press => return Ok(pressed(key)),
                    _ => {}
                }
            } else if left.is_zero() {
                return Ok(Event::Nothing);
            }
        }
    }

    /// What there is of keys, after this time at the latest.
    fn look(&self, timeout: Duration) -> io::Result<PollFlags> {
        let stdin = io::stdin();
        let keys: BorrowedFd<'_> = self.keys.as_ref().map_or(stdin.as_fd(), AsFd::as_fd);
        let mut files = [PollFd::new(keys, PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
        match poll(&mut files, timeout) {
            // A signal: it is looked at next.
            Ok(_) | Err(Errno::EINTR) => Ok(files[0].revents().unwrap_or(PollFlags::empty())),
            Err(error) => Err(error.into()),
        }
    }
}

/// What a key means.
fn pressed(KeyEvent { code, modifiers, .. }: KeyEvent) -> Event {
    match code {
        KeyCode::Esc | KeyCode::Char('q' | 'Q') => Event::Quit,
        // A terminal that gives us every key sends no signal for it.
        KeyCode::Char('c') if modifiers.contains(KeyModifiers::CONTROL) => Event::Quit,
        KeyCode::Char(key) => Event::Key(key),
        KeyCode::Tab => Event::Key('\t'),
        _ => Event::Resized,
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q_escape_and_ctrl_c_end_it_and_other_keys_do_not() {
        let key = |code, modifiers| pressed(KeyEvent::new(code, modifiers));
        let plain = KeyModifiers::NONE;
        assert_eq!(key(KeyCode::Char('q'), plain), Event::Quit);
        assert_eq!(key(KeyCode::Esc, plain), Event::Quit);
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::CONTROL), Event::Quit);
        assert_eq!(key(KeyCode::Char('c'), plain), Event::Key('c'));
        assert_eq!(key(KeyCode::Char('+'), KeyModifiers::SHIFT), Event::Key('+'));
        assert_eq!(key(KeyCode::Tab, plain), Event::Key('\t'));
        assert_eq!(key(KeyCode::Up, plain), Event::Resized);
    }
}
