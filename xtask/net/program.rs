//! Programs that run until they are dropped.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long a program may take to end when it is told to.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running program. Ctrl-C is not for it: it ends when this is dropped.
#[derive(Debug)]
pub struct Program {
    child: Child,
}

impl Program {
    /// Starts one.
    ///
    /// # Errors
    ///
    /// When there is no such program.
    pub fn start(command: &mut Command) -> anyhow::Result<Self> {
        let child = command.process_group(0).spawn().with_context(|| words(command))?;
        Ok(Self { child })
    }

    /// Starts one whose standard error is read.
    ///
    /// # Errors
    ///
    /// When there is no such program.
    pub fn start_with_log(command: &mut Command) -> anyhow::Result<(Self, ChildStderr)> {
        let mut program = Self::start(command.stderr(Stdio::piped()))?;
        let log = program.child.stderr.take().context("it is piped")?;
        Ok((program, log))
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Its standard output, where that is piped and was not taken before.
    pub fn output(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Its standard input and output, where both are piped and were not taken before.
    pub fn input_and_output(&mut self) -> Option<(ChildStdin, ChildStdout)> {
        Some((self.child.stdin.take()?, self.child.stdout.take()?))
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let _ = kill(Pid::from_raw(self.child.id().cast_signed()), signal);
    }

    /// Waits for its end.
    ///
    /// # Errors
    ///
    /// When it cannot be waited for.
    pub fn wait(&mut self) -> std::io::Result<ExitStatus> {
        self.child.wait()
    }

    /// Tells it to end, waits until it has, and returns what it printed that was not read yet.
    pub fn stop(mut self, signal: Signal) -> String {
        self.signal(signal);
        let mut text = String::new();
        if let Some(mut output) = self.child.stdout.take() {
            let _ = output.read_to_string(&mut text);
        }
        self.end();
        text
    }

    /// Kills it, and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits until it has ended, and kills it if that takes too long.
    fn end(&mut self) {
        let since = Instant::now();
        while self.is_running() && since.elapsed() < PATIENCE {
            sleep(Duration::from_millis(5));
        }
        self.kill();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if self.is_running() {
            self.signal(Signal::SIGTERM);
            self.end();
        }
    }
}

/// A command, written as it would be typed.
pub(crate) fn words(command: &Command) -> String {
    let words: Vec<_> =
        std::iter::once(command.get_program()).chain(command.get_args()).map(OsStr::to_string_lossy).collect();
    words.join(" ")
}

/// Runs a program to its end, and returns what it printed.
///
/// # Errors
///
/// When it fails: with what it said.
pub fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| words(command))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if !output.status.success() {
        let said = text(&output.stderr);
        let said = if said.trim().is_empty() { text(&output.stdout) } else { said };
        bail!("{}: {}", words(command), said.trim());
    }
    Ok(text(&output.stdout))
}
