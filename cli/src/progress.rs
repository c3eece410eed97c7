//! Progress of long operations.

use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};

use lethe_server::note;

/// The time between two lines of progress, where there is no bar.
const LINE_EVERY: Duration = Duration::from_secs(3);

/// Whether progress is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// On standard error: a bar on a terminal, otherwise a line every few seconds.
    Shown,
    /// Not at all, because the server is running.
    Silent,
}

/// Shows the progress of an operation.
pub(crate) struct Meter {
    /// Hidden if standard error is not a terminal.
    bar: ProgressBar,
    what: &'static str,
    next_line: Option<Instant>,
}

impl Meter {
    pub(crate) fn new(progress: Progress, what: &'static str) -> Self {
        let bar = match progress {
            Progress::Shown => ProgressBar::new_spinner(),
            Progress::Silent => ProgressBar::hidden(),
        };
        let next_line = (progress == Progress::Shown && bar.is_hidden()).then(|| Instant::now() + LINE_EVERY);
        Self { bar, what, next_line }
    }

    /// Names the next operation.
    pub(crate) fn what(&mut self, what: &'static str) {
        self.what = what;
    }

    pub(crate) fn files(&mut self, files: u64) {
        if self.bar.length().is_none() {
            self.bar.set_message(format!("{} files", HumanCount(files)));
            self.bar.tick();
        }
        self.line(|| format!("{} files found", HumanCount(files)));
    }

    pub(crate) fn bytes(&mut self, done: u64, total: u64) {
        if self.bar.length() != Some(total) {
            let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes}, {eta} left");
            self.bar.set_style(style.expect("the template is well-formed"));
            self.bar.set_length(total);
        }
        self.bar.set_position(done);
        let what = self.what;
        self.line(|| format!("{what}: {} of {}", HumanBytes(done), HumanBytes(total)));
    }

    /// Hides the bar while `say` prints.
    pub(crate) fn suspend(&self, say: impl FnOnce()) {
        self.bar.suspend(say);
    }

    fn line(&mut self, text: impl Fn() -> String) {
        if let Some(next) = &mut self.next_line
            && *next <= Instant::now()
        {
            *next = Instant::now() + LINE_EVERY;
            note(text());
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Formats a count with its noun, singular or plural.
pub(crate) fn counted(count: u64, what: &str) -> String {
    format!("{} {what}{}", HumanCount(count), if count == 1 { "" } else { "s" })
}
