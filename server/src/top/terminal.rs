//! The terminal: drawn on as a whole, and given back as it was.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event as Happened, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::style::Stylize;
use ratatui::text::{Line, Text};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
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
    ended: Arc<AtomicBool>,
}

impl Terminal {
    /// Takes the terminal of standard input and output.
    pub(crate) fn enter() -> anyhow::Result<Self> {
        let ended = Arc::default();
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            flag::register(signal, Arc::clone(&ended)).context("cannot catch signals")?;
        }
        let screen = ratatui::try_init().context("there is no terminal to draw on")?;
        Ok(Self { screen, ended })
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
            let left = end.saturating_duration_since(Instant::now());
            if event::poll(left.min(GLANCE))? {
                match event::read()? {
                    Happened::Resize(..) => return Ok(Event::Resized),
                    Happened::Key(key) if key.kind == KeyEventKind::Press => return Ok(pressed(key)),
                    _ => {}
                }
            } else if left.is_zero() {
                return Ok(Event::Nothing);
            }
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
        assert_eq!(key(KeyCode::Up, plain), Event::Resized);
    }
}
