//! Status codes (RFC 9110, section 15).

use super::method::Method;

/// Declares the statuses: number, name and reason phrase of each.
macro_rules! statuses {
    ($($code:literal $name:ident $reason:literal,)*) => {
        /// The status of a response: any final one of RFC 9110, and those of RFC 6585 and RFC 7725 beside it.
        ///
        /// The interim statuses (1xx) are not among them: a request is answered once.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[non_exhaustive]
        pub enum Status {
            $(
                #[doc = concat!($code, " ", $reason)]
                $name = $code,
            )*
        }

        impl Status {
            /// Every status, in ascending order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// What the number stands for, in words.
            pub const fn reason(self) -> &'static str {
                match self { $(Self::$name => $reason,)* }
            }

            /// The status line, without its CRLF.
            pub const fn line(self) -> &'static str {
                match self { $(Self::$name => concat!("HTTP/1.1 ", $code, " ", $reason),)* }
            }

            /// The status line with its CRLF, as it is sent.
            #[inline]
            pub(super) const fn line_with_end(self) -> &'static str {
                match self { $(Self::$name => concat!("HTTP/1.1 ", $code, " ", $reason, "\r\n"),)* }
            }
        }
    };
}

statuses! {
    200 Ok "OK",
    201 Created "Created",
    202 Accepted "Accepted",
    203 NonAuthoritativeInformation "Non-Authoritative Information",
    204 NoContent "No Content",
    205 ResetContent "Reset Content",
    206 PartialContent "Partial Content",
    300 MultipleChoices "Multiple Choices",
    301 MovedPermanently "Moved Permanently",
    302 Found "Found",
    303 SeeOther "See Other",
    304 NotModified "Not Modified",
    307 TemporaryRedirect "Temporary Redirect",
    308 PermanentRedirect "Permanent Redirect",
    400 BadRequest "Bad Request",
    401 Unauthorized "Unauthorized",
    402 PaymentRequired "Payment Required",
    403 Forbidden "Forbidden",
    404 NotFound "Not Found",
    405 MethodNotAllowed "Method Not Allowed",
    406 NotAcceptable "Not Acceptable",
    407 ProxyAuthenticationRequired "Proxy Authentication Required",
    408 RequestTimeout "Request Timeout",
    409 Conflict "Conflict",
    410 Gone "Gone",
    411 LengthRequired "Length Required",
    412 PreconditionFailed "Precondition Failed",
    413 ContentTooLarge "Content Too Large",
    414 UriTooLong "URI Too Long",
    415 UnsupportedMediaType "Unsupported Media Type",
    416 RangeNotSatisfiable "Range Not Satisfiable",
    417 ExpectationFailed "Expectation Failed",
    421 MisdirectedRequest "Misdirected Request",
    422 UnprocessableContent "Unprocessable Content",
    426 UpgradeRequired "Upgrade Required",
    428 PreconditionRequired "Precondition Required",
    429 TooManyRequests "Too Many Requests",
    431 RequestHeaderFieldsTooLarge "Request Header Fields Too Large",
    451 UnavailableForLegalReasons "Unavailable For Legal Reasons",
    500 InternalServerError "Internal Server Error",
    501 NotImplemented "Not Implemented",
    502 BadGateway "Bad Gateway",
    503 ServiceUnavailable "Service Unavailable",
    504 GatewayTimeout "Gateway Timeout",
    505 VersionNotSupported "HTTP Version Not Supported",
    511 NetworkAuthenticationRequired "Network Authentication Required",
}

impl Status {
    /// The status with this number, if there is one.
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|status| status.code() == code)
    }

    /// Its number.
    pub const fn code(self) -> u16 {
        self as u16
    }

    /// The status of a redirect that lasts: 301 for `GET` and `HEAD`; 308 for any other method, which a client may turn
    /// into `GET` on a 301 (RFC 9110, section 15.4.2).
    pub const fn moved(method: Method) -> Self {
        if method.is_safe() { Self::MovedPermanently } else { Self::PermanentRedirect }
    }

    /// Whether a response with this status has a `Content-Length`: not 204 (RFC 9110, section 8.6), and not 304, where
    /// it would be that of another response.
    #[inline]
    pub(super) const fn has_length(self) -> bool {
        !matches!(self, Self::NoContent | Self::NotModified)
    }

    /// Whether a response with this status may have content (RFC 9110, sections 6.4.1 and 15.3.6).
    #[inline]
    pub(super) const fn has_content(self) -> bool {
        self.has_length() && !matches!(self, Self::ResetContent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_found_by_its_number_and_by_no_other() {
        let known = (0..=u16::MAX).filter_map(Status::from_code);
        assert!(known.eq(Status::ALL.iter().copied()));
        for status in Status::ALL {
            assert!((200..600).contains(&status.code()));
        }
    }

    #[test]
    fn a_status_line_is_version_number_and_reason() {
        for status in Status::ALL {
            let line = status.line().as_bytes();
            let (version, rest) = line.split_at(9);
            let (code, reason) = rest.split_at(3);
            assert_eq!((version, reason.strip_prefix(b" ")), (&b"HTTP/1.1 "[..], Some(status.reason().as_bytes())));
            assert_eq!(str::from_utf8(code).unwrap().parse(), Ok(status.code()));
            assert_eq!(status.line_with_end().strip_suffix("\r\n"), Some(status.line()));
        }
    }

    #[test]
    fn a_redirect_of_post_keeps_the_method() {
        let moved = [Method::Get, Method::Head, Method::Post, Method::Put, Method::Options].map(Status::moved);
        let [permanently, permanent] = [Status::MovedPermanently, Status::PermanentRedirect];
        assert_eq!(moved, [permanently, permanently, permanent, permanent, permanently]);
    }
}
