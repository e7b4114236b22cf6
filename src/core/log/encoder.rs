//! What becomes of a line before it is written (`log-encoder`, `log-req-encoder`).

use super::access::number;
use super::clock;
use super::text::escape_json;
use crate::config::logging::Encoder;

/// Sends `line`, which has no end, through `encoders`; the last of them may leave the end to us.
pub(super) fn encode(encoders: &[Encoder], line: &[u8], out: &mut Vec<u8>) {
    let mut line = line.to_vec();
    for encoder in encoders {
        line = apply(encoder, line);
    }
    out.extend_from_slice(&line);
    // A file of lines has lines.
    if !line.ends_with(b"\n") {
        out.push(b'\n');
    }
}

fn apply(encoder: &Encoder, mut line: Vec<u8>) -> Vec<u8> {
    match encoder {
        Encoder::Prefix(text) => {
            let mut out = text.clone().into_bytes();
            out.append(&mut line);
            out
        }
        Encoder::Suffix(text) => {
            line.extend_from_slice(text.as_bytes());
            line
        }
        Encoder::NewLine => {
            line.push(b'\n');
            line
        }
        Encoder::Format(text) => fill(text, &line, Vec::extend_from_slice),
        Encoder::Json(text) => fill(text, &line, escape_json),
    }
}

fn fill(text: &str, line: &[u8], quote: fn(&mut Vec<u8>, &[u8])) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + line.len() + 32);
    let mut rest = text;
    let now = clock::now();
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, tail)) = after.split_once('}') else { break };
        out.extend_from_slice(before.as_bytes());
        match name {
            "msg" => quote(&mut out, line),
            "msgnl" => {
                quote(&mut out, line);
                quote(&mut out, b"\n");
            }
            "unix" => number(&mut out, u64::try_from(now / 1_000_000).unwrap_or_default()),
            "micros" => number(&mut out, u64::try_from(now).unwrap_or_default()),
            // As in uWSGI, what is unknown is nothing.
            _ => {
                if let Some(format) = name.strip_prefix("strftime:") {
                    clock::append(&mut out, format, now / 1_000_000);
                }
            }
        }
        rest = tail;
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(encoders: &[Encoder], line: &str) -> String {
        let mut out = Vec::new();
        encode(encoders, line.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn encoders_work_in_their_order() {
        let chain = [
            Encoder::Prefix("[p] ".into()),
            Encoder::Format("x ${msg} y ${msgnl}z".into()),
            Encoder::Suffix("!".into()),
        ];
        assert_eq!(encoded(&chain, "/a"), "x [p] /a y [p] /a\nz!\n");
        assert_eq!(encoded(&[Encoder::NewLine], "/a"), "/a\n");
    }

    #[test]
    fn json_is_quoted() {
        let chain =
            [Encoder::Json("{\"m\":\"${msg}\",\"t\":${unix},\"y\":\"${strftime:%Y}\"}".into())];
        let object: serde_json::Value =
            serde_json::from_str(&encoded(&chain, "a \"b\"\n c")).unwrap();
        assert_eq!(object["m"], "a \"b\"\n c");
        assert!(object["t"].as_u64().unwrap() > 1_700_000_000);
    }
}
