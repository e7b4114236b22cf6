//! What functions put into texts of rules.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;

use super::{Subject, text};
use crate::config::routing::Function;
use crate::sys;

/// The value of a function for a request.
pub(super) fn value(function: &Function, subject: &dyn Subject) -> Vec<u8> {
    let variable = |name: &str| subject.variable(name).unwrap_or_default();
    let since = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    match function {
        Function::Cookie(name) => {
            text::named(&variable("HTTP_COOKIE"), b';', name.as_bytes()).to_vec()
        }
        Function::Parameter(name) => {
            text::named(&variable("QUERY_STRING"), b'&', name.as_bytes()).to_vec()
        }
        Function::MediaType(name) => subject.media_type(&variable(name)),
        Function::Base64(name) => text::to_base64(&variable(name)),
        Function::Hex(name) => hex(&variable(name)).into_bytes(),
        Function::HttpTime(seconds) => {
            let time = Timestamp::now().checked_add(Duration::from_secs(*seconds));
            let text =
                time.and_then(|time| DateTimePrinter::new().timestamp_to_rfc9110_string(&time));
            text.unwrap_or_default().into_bytes()
        }
        Function::Seconds => since().as_secs().to_string().into_bytes(),
        Function::Micros => since().as_micros().to_string().into_bytes(),
        Function::Uuid => uuid().unwrap_or_default().into_bytes(),
        Function::Figure(figure) => subject
            .figure(*figure)
            .map(|number| number.to_string())
            .unwrap_or_default()
            .into_bytes(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02X}");
        text
    })
}

/// Version 4 (RFC 9562, section 5.4).
fn uuid() -> std::io::Result<String> {
    let (high, low) = (sys::random()?, sys::random()?);
    let (high, low) = (high & !0xf000 | 0x4000, low & !(0b11 << 62) | 0b10 << 62);
    Ok(format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    ))
}
