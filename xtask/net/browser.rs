//! A Chromium without a window, driven by the `DevTools` protocol as a person drives one with a window: it goes to an
//! address, clicks, types, reads.
//!
//! Commands and answers are JSON objects with a NUL behind each, through two pipes (`--remote-debugging-pipe`).

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Stdio};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::Namespace;

/// The most seconds that a test may have a browser. Then it is ended, and the test that waits for it fails.
const LIFE: u32 = 120;

/// A browser with one page open.
pub struct Browser {
    child: Child,
    commands: File,
    answers: BufReader<File>,
    session: String,
    number: u64,
    _folder: TempDir,
}

impl Browser {
    /// Starts one in a namespace.
    pub fn start(space: &Namespace) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [commands, answers] = ["commands", "answers"].map(|name| folder.path().join(name));
        for pipe in [&commands, &answers] {
            mkfifo(pipe, Mode::S_IRWXU).unwrap();
        }
        let options = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync \
            --disable-dev-shm-usage --disable-background-networking --disable-component-update --hide-scrollbars";
        let line = format!(
            "exec timeout {LIFE} chromium {options} --user-data-dir=$0/profile --remote-debugging-pipe \
             3<$0/commands 4>$0/answers"
        );
        let child = space
            .command("sh")
            .args(["-c", &line])
            .arg(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Each waits for the other end, in the order of the shell line.
        let commands = OpenOptions::new().write(true).open(commands).unwrap();
        let answers = BufReader::new(File::open(answers).unwrap());
        let mut browser = Self { child, commands, answers, session: String::new(), number: 0, _folder: folder };
        let target = browser.call("Target.createTarget", &json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        browser.session = text(&browser.call("Target.attachToTarget", &attach)["sessionId"]);
        browser.call("Page.enable", &json!({}));
        browser
    }

    /// Sets the size of the screen, and the language of the reader. A phone has two pixels in each direction for one of
    /// a page.
    pub fn become_device(&mut self, width: u32, height: u32, mobile: bool, languages: &str) {
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1 + u32::from(mobile), "mobile": mobile });
        self.call("Emulation.setDeviceMetricsOverride", &metrics);
        self.call("Network.enable", &json!({}));
        self.call("Network.setExtraHTTPHeaders", &json!({ "headers": { "Accept-Language": languages } }));
    }

    /// Sets whether the reader prefers dark pages.
    pub fn prefer_dark(&mut self, dark: bool) {
        let value = if dark { "dark" } else { "light" };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": value }] });
        self.call("Emulation.setEmulatedMedia", &features);
    }

    /// Presses Enter, as the key `Go` of a phone does, and waits until another page is there.
    pub fn enter(&mut self) {
        let key = json!({ "type": "keyDown", "key": "Enter", "windowsVirtualKeyCode": 13, "text": "\r" });
        self.call("Input.dispatchKeyEvent", &key);
        self.wait("Page.loadEventFired");
    }

    /// Goes to an address, and waits until the page is there.
    pub fn open(&mut self, url: &str) {
        self.send("Page.navigate", &json!({ "url": url }));
        self.wait("Page.loadEventFired");
    }

    /// Clicks into a field and types.
    pub fn type_into(&mut self, field: &str, what: &str) {
        self.click(field);
        self.insert(what);
    }

    /// Types where the cursor is, in place of what is selected.
    pub fn insert(&mut self, what: &str) {
        for character in what.chars() {
            self.call("Input.dispatchKeyEvent", &json!({ "type": "char", "text": character.to_string() }));
        }
    }

    /// Clicks on what leads to another page, and waits until that is there.
    pub fn follow(&mut self, selector: &str) {
        self.click(selector);
        self.wait("Page.loadEventFired");
    }

    /// Clicks in the middle of something, and scrolls to it if that is not to be seen.
    pub fn click(&mut self, selector: &str) {
        let place = self.evaluate(&format!(
            "(() => {{ const element = document.querySelector('{selector}');
               element.scrollIntoView({{ block: 'center', behavior: 'instant' }});
               const box = element.getBoundingClientRect();
               return [box.x + box.width / 2, box.y + box.height / 2]; }})()"
        ));
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({ "type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", &event);
        }
    }

    /// All text that can be seen.
    pub fn read(&mut self) -> String {
        text(&self.evaluate("document.body.innerText"))
    }

    /// The value of a JavaScript expression; if that is a promise, what it brings.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let parameters = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let result = self.call("Runtime.evaluate", &parameters);
        assert!(result["exceptionDetails"].is_null(), "{expression}: {result}");
        result["result"]["value"].clone()
    }

    /// Keeps what can be seen as a PNG file in the directory that `LETHE_SCREENSHOTS` names, if it does.
    pub fn screenshot(&mut self, name: &str) {
        let Some(folder) = std::env::var_os("LETHE_SCREENSHOTS") else { return };
        let shot = self.call("Page.captureScreenshot", &json!({ "format": "png" }));
        let bytes = BASE64_STANDARD.decode(text(&shot["data"])).unwrap();
        std::fs::write(Path::new(&folder).join(format!("{name}.png")), bytes).unwrap();
    }

    /// Sends a command and returns its result.
    fn call(&mut self, method: &str, parameters: &Value) -> Value {
        let number = self.send(method, parameters);
        let answer = self.next(|message| message["id"] == number);
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].clone()
    }

    fn wait(&mut self, event: &str) {
        self.next(|message| message["method"] == event);
    }

    fn send(&mut self, method: &str, parameters: &Value) -> u64 {
        self.number += 1;
        let mut command = json!({ "id": self.number, "method": method, "params": parameters });
        if !self.session.is_empty() {
            command["sessionId"] = json!(self.session);
        }
        self.commands.write_all(format!("{command}\0").as_bytes()).unwrap();
        self.number
    }

    /// The next message of a kind; others are passed over.
    fn next(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        loop {
            let mut message = Vec::new();
            self.answers.read_until(0, &mut message).unwrap();
            assert_eq!(message.pop(), Some(0), "chromium has ended");
            let message: Value = serde_json::from_slice(&message).unwrap();
            if is_it(&message) {
                return message;
            }
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It ends when its pipe for commands is closed; if not, it is killed.
        let number = self.number + 1;
        let _ = self.commands.write_all(format!("{{\"id\":{number},\"method\":\"Browser.close\"}}\0").as_bytes());
        let _ = self.child.wait();
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("text, not {value}")).to_owned()
}
