//! Requests, as a test writes them down.

use lethe::App;
use lethe::http::{Problem, RequestLine};

/// The name of the server where a request does not say another.
const HOST: &str = "lethe.example";

/// One request of a test.
///
/// Everything that asks for something can be turned into one: a path, the bytes of a whole request, or what the methods
/// below put together.
///
/// ```
/// use lethe_test::TestRequest;
///
/// let by_path = TestRequest::from("/index.html");
/// assert_eq!(by_path.bytes(), b"GET /index.html HTTP/1.1\r\nHost: lethe.example\r\n\r\n");
///
/// let by_hand = TestRequest::from("GET / HTTP/1.0\r\n\r\n");
/// assert_eq!(by_hand.bytes(), b"GET / HTTP/1.0\r\n\r\n");
///
/// let built = TestRequest::head("/").header("Host", "old.example").header("Accept-Language", "en");
/// assert_eq!(built.bytes(), b"HEAD / HTTP/1.1\r\nHost: old.example\r\nAccept-Language: en\r\n\r\n");
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TestRequest {
    /// The request line, or all of the request where it was written by hand.
    start: Vec<u8>,
    fields: Vec<(String, String)>,
    is_whole: bool,
}

impl TestRequest {
    /// `GET` for this target: a path, with or without a query.
    ///
    /// ```
    /// # use lethe_test::TestRequest;
    /// assert!(TestRequest::get("/a?b=c").bytes().starts_with(b"GET /a?b=c HTTP/1.1\r\n"));
    /// ```
    pub fn get(target: &str) -> Self {
        Self::with_method("GET", target)
    }

    /// `HEAD` for this target.
    ///
    /// ```
    /// # use lethe_test::TestRequest;
    /// assert!(TestRequest::head("/").bytes().starts_with(b"HEAD / HTTP/1.1\r\n"));
    /// ```
    pub fn head(target: &str) -> Self {
        Self::with_method("HEAD", target)
    }

    /// A request with this method.
    ///
    /// ```
    /// # use lethe_test::TestRequest;
    /// assert!(TestRequest::with_method("GET", "/").bytes().starts_with(b"GET / HTTP/1.1\r\n"));
    /// ```
    pub fn with_method(method: &str, target: &str) -> Self {
        let start = format!("{method} {target} HTTP/1.1\r\n").into_bytes();
        Self { start, fields: Vec::new(), is_whole: false }
    }

    /// A whole request, byte by byte, from its first line to the empty line that ends its header fields.
    ///
    /// ```
    /// # use lethe_test::TestRequest;
    /// let request = TestRequest::whole("GET / HTTP/1.1\r\nHost: a\r\nX: \u{fc}\r\n\r\n");
    /// assert!(request.bytes().ends_with(b"\r\n\r\n"));
    /// ```
    pub fn whole(bytes: impl Into<Vec<u8>>) -> Self {
        Self { start: bytes.into(), fields: Vec::new(), is_whole: true }
    }

    /// Adds a header field. With a `Host` field it replaces the one that is there otherwise.
    ///
    /// ```
    /// # use lethe_test::TestRequest;
    /// let request = TestRequest::get("/").header("Host", "old.example");
    /// assert_eq!(request.bytes(), b"GET / HTTP/1.1\r\nHost: old.example\r\n\r\n");
    /// ```
    ///
    /// # Panics
    ///
    /// When the request was given as a whole, and when name or value would not be one field.
    #[must_use]
    #[track_caller]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        assert!(!self.is_whole, "a request that was given as a whole has its header fields");
        let is_field = |text: &str| !text.contains(['\r', '\n', '\0']);
        assert!(!name.is_empty() && !name.contains(':') && is_field(name) && is_field(value), "{name:?}: {value:?}");
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// What goes over the wire.
    ///
    /// ```
    /// # use lethe_test::TestRequest;
    /// assert_eq!(TestRequest::get("/").bytes(), b"GET / HTTP/1.1\r\nHost: lethe.example\r\n\r\n");
    /// ```
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.start.clone();
        if self.is_whole {
            return bytes;
        }
        let mut field = |name: &str, value: &str| bytes.extend(format!("{name}: {value}\r\n").as_bytes());
        if !self.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            field("Host", HOST);
        }
        self.fields.iter().for_each(|(name, value)| field(name, value));
        bytes.extend(b"\r\n");
        bytes
    }
}

/// A target if it begins with `/`, and else a whole request.
impl From<&str> for TestRequest {
    fn from(text: &str) -> Self {
        if text.starts_with('/') { Self::get(text) } else { Self::whole(text) }
    }
}

impl From<String> for TestRequest {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<&String> for TestRequest {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

/// A whole request.
impl From<Vec<u8>> for TestRequest {
    fn from(bytes: Vec<u8>) -> Self {
        Self::whole(bytes)
    }
}

impl From<&Vec<u8>> for TestRequest {
    fn from(bytes: &Vec<u8>) -> Self {
        Self::whole(bytes.as_slice())
    }
}

impl From<&[u8]> for TestRequest {
    fn from(bytes: &[u8]) -> Self {
        Self::whole(bytes)
    }
}

impl<const LEN: usize> From<&[u8; LEN]> for TestRequest {
    fn from(bytes: &[u8; LEN]) -> Self {
        Self::whole(bytes.as_slice())
    }
}

impl From<&Self> for TestRequest {
    fn from(request: &Self) -> Self {
        request.clone()
    }
}

/// The bytes of all requests of a test.
pub(crate) fn all(requests: impl IntoIterator<Item = impl Into<TestRequest>>) -> Vec<Vec<u8>> {
    requests.into_iter().map(|request| request.into().bytes()).collect()
}

/// Why a request is none that reaches this application with all of its header fields.
pub(crate) fn problem<A: App + ?Sized>(app: &A, request: &[u8]) -> Option<&'static str> {
    match RequestLine::parse_for(app.methods(), request) {
        Ok(line) if line.headers.is_complete() => None,
        Ok(_) => Some("no empty line ends its header fields"),
        Err(Problem::Incomplete) => Some("its first line does not end"),
        Err(Problem::Malformed) => Some("it is malformed"),
        Err(Problem::Method) => Some("App::methods does not have its method"),
        Err(Problem::Version) => Some("it is not HTTP/1.x"),
    }
}

/// The first line of a request: what a report calls it.
pub(crate) fn first_line(request: &[u8]) -> String {
    let end = request.iter().position(|&byte| matches!(byte, b'\r' | b'\n')).unwrap_or(request.len());
    String::from_utf8_lossy(&request[..end]).into_owned()
}
