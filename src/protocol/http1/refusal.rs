//! What is refused, with which status, and the rule that says so.

use http::StatusCode;

/// Why a connection is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// What the client is answered.
    pub status: StatusCode,
    /// What it broke: a sentence for the log.
    pub rule: &'static str,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.rule)
    }
}

/// The outcome of a check.
pub(super) type Checked<T> = Result<T, &'static Refusal>;

macro_rules! rules {
    ($($status:ident { $($name:ident = $rule:literal;)+ })+) => {
        $($(
            pub(super) static $name: Refusal =
                Refusal { status: StatusCode::$status, rule: $rule };
        )+)+

        /// Every rule.
        #[cfg(test)]
        pub(super) static ALL: &[&Refusal] = &[$($(&$name),+),+];
    };
}

rules! {
    BAD_REQUEST {
        BARE_LF = "a line feed without a carriage return before it (RFC 9112, section 2.2)";
        BARE_CR = "a carriage return without a line feed behind it (RFC 9112, section 2.2)";
        EMPTY_LINES = "too many empty lines before a request line (RFC 9112, section 2.2)";

        METHOD = "the request does not begin with a method, which is a token, and one space (RFC 9112, section 3.1)";
        TARGET_SPACE = "not exactly one space around the request target (RFC 9112, section 3)";
        TARGET_CHARACTER = "a character in the request target that has to be escaped (RFC 9112, section 3.2)";
        FRAGMENT = "a fragment in the request target (RFC 9110, section 7.1)";
        TARGET_FORM = "a request target that is neither a path nor an http URI (RFC 9112, section 3.2)";
        ASTERISK = "a request target '*' that is not of OPTIONS (RFC 9112, section 3.2.4)";
        CONNECT_TARGET = "a target of CONNECT that is not a host and a port (RFC 9112, section 3.2.3)";
        NO_VERSION = "a request line without a version (RFC 9112, section 3)";
        VERSION = "a version that is not 'HTTP/', a digit, '.', a digit, and the end of the line (RFC 9112, section 2.3)";

        USERINFO = "a user name or password in a host (RFC 9110, section 4.2.4)";
        HOST_EMPTY = "an http URI without a host (RFC 9110, section 4.2.1)";
        HOST_SYNTAX = "a host that is neither a name nor an address (RFC 3986, section 3.2.2)";
        HOST_ESCAPE = "a percent-escape in the host of a request target (RFC 3986, section 3.2.2)";
        PORT = "a port that is not a number (RFC 3986, section 3.2.3)";

        FIELD_LINE = "a field line without a name and a colon (RFC 9112, section 5)";
        FIELD_NAME = "a character in a field name that no token has (RFC 9110, section 5.1)";
        FIELD_SPACE = "a blank between a field's name and the colon (RFC 9112, section 5.1)";
        FIELD_VALUE = "a control character in a field value (RFC 9110, section 5.5)";
        FOLDING = "a field line that begins with a blank (RFC 9112, sections 2.2 and 5.2)";

        NO_HOST = "HTTP/1.1 without a Host field (RFC 9112, section 3.2)";
        TWO_HOSTS = "more than one Host field (RFC 9112, section 3.2)";

        LENGTH = "a Content-Length that is not a decimal number, or is too large (RFC 9110, section 8.6)";
        TWO_LENGTHS = "more than one Content-Length (RFC 9112, section 6.3)";
        LENGTH_AND_CODING = "Content-Length and Transfer-Encoding together (RFC 9112, section 6.1)";
        CODING_IN_1_0 = "a Transfer-Encoding in HTTP/1.0 (RFC 9112, section 6.1)";
        CODING_SYNTAX = "a Transfer-Encoding that is not a list of codings (RFC 9112, section 6.1)";
        CHUNKED_TWICE = "chunked more than once (RFC 9112, section 6.1)";
        CHUNKED_LAST = "a Transfer-Encoding whose last coding is not chunked (RFC 9112, section 6.3)";

        CHUNK_SIZE = "a chunk size that is not 1 to 16 hexadecimal digits (RFC 9112, section 7.1)";
        CHUNK_EXTENSION = "a chunk extension that is none (RFC 9112, section 7.1.1)";
        CHUNK_EXTENSIONS = "chunk extensions that are too long (RFC 9112, section 7.1.1)";
        CHUNK_END = "chunk data that is not followed by the end of a line (RFC 9112, section 7.1)";
        TRAILER = "a trailer field that says where a message ends or goes (RFC 9110, section 6.5.1)";
    }

    URI_TOO_LONG {
        LINE_LENGTH = "a request line that is longer than a head may be (RFC 9112, section 3)";
        TARGET_LENGTH = "a request target of more than 65534 bytes (RFC 9112, section 3)";
    }

    REQUEST_HEADER_FIELDS_TOO_LARGE {
        HEAD_LENGTH = "a head that is too long (RFC 6585, section 5)";
        FIELD_COUNT = "too many fields (RFC 6585, section 5)";
        NAME_LENGTH = "a field name of more than 65535 bytes (RFC 6585, section 5)";
        TRAILER_LENGTH = "a trailer section that is too long (RFC 6585, section 5)";
    }

    NOT_IMPLEMENTED {
        CODING = "a transfer coding that is not chunked (RFC 9112, section 6.1)";
    }

    HTTP_VERSION_NOT_SUPPORTED {
        MAJOR_VERSION = "a version of HTTP that is not 1 (RFC 9110, section 15.6.6)";
    }
}
