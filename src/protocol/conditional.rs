//! Conditional requests (RFC 9110, section 13): whether the client has it already, or wanted
//! something else.

use std::time::SystemTime;

use http::header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::date;
use crate::entity_tag::{self, EntityTag};

/// What tells one state of a resource from another.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Validators {
    /// Its entity tag, if it has one.
    pub etag: Option<HeaderValue>,
    /// Its date of modification, in whole seconds, if it has one. The second has to be over: only
    /// then does it name one state, which makes it a strong validator (section 8.8.2.2).
    pub last_modified: Option<SystemTime>,
}

/// What the preconditions of a request come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The request is to be answered as if there were none.
    Proceed,
    /// 304: the client has what it would get.
    NotModified,
    /// 412: the resource is not what the client takes it for.
    PreconditionFailed,
}

/// Evaluates the preconditions in their order (section 13.2.2); `If-Range` is for
/// [`range`](mod@crate::range).
pub fn evaluate(method: &Method, fields: &HeaderMap, validators: &Validators) -> Verdict {
    if !is_expected(fields, validators) {
        return Verdict::PreconditionFailed;
    }
    let reads = *method == Method::GET || *method == Method::HEAD;
    if fields.contains_key(IF_NONE_MATCH) {
        return match is_known(fields, validators) {
            false => Verdict::Proceed,
            true if reads => Verdict::NotModified,
            true => Verdict::PreconditionFailed,
        };
    }
    match compared(fields, IF_MODIFIED_SINCE, validators) {
        Some(true) if reads => Verdict::NotModified,
        _ => Verdict::Proceed,
    }
}

/// Whether the resource is what `If-Match` or, without that, `If-Unmodified-Since` takes it for.
fn is_expected(fields: &HeaderMap, validators: &Validators) -> bool {
    if !fields.contains_key(IF_MATCH) {
        return compared(fields, IF_UNMODIFIED_SINCE, validators).unwrap_or(true);
    }
    let ours = tag(validators);
    entity_tag::any(&fields.get_all(IF_MATCH), |theirs| {
        ours.is_some_and(|ours| ours.is_strongly(theirs))
    })
}

/// Whether `If-None-Match` names this state.
fn is_known(fields: &HeaderMap, validators: &Validators) -> bool {
    let ours = tag(validators);
    entity_tag::any(&fields.get_all(IF_NONE_MATCH), |theirs| {
        ours.is_some_and(|ours| ours.is_weakly(theirs))
    })
}

/// Whether `If-Range` allows to send a part: it is absent, or names exactly this state
/// (section 13.1.5).
pub fn allows_range(fields: &HeaderMap, validators: &Validators) -> bool {
    let Some(value) = fields.get(IF_RANGE) else { return true };
    let text = value.as_bytes();
    if text.starts_with(b"\"") || text.starts_with(b"W/") {
        let same = EntityTag::parse(text).zip(tag(validators));
        return same.is_some_and(|(theirs, ours)| theirs.is_strongly(ours));
    }
    date::parse(value).is_some_and(|theirs| Some(theirs) == validators.last_modified)
}

fn tag(validators: &Validators) -> Option<EntityTag<'_>> {
    EntityTag::parse(validators.etag.as_ref()?.as_bytes())
}

/// Whether the resource is as old as the date of a field, or older; `None` if that does not count,
/// because either has no date or the field has several.
fn compared(fields: &HeaderMap, name: HeaderName, validators: &Validators) -> Option<bool> {
    let mut values = fields.get_all(name).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    Some(validators.last_modified? <= date::parse(value)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::{Duration, UNIX_EPOCH};

    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn ours() -> Validators {
        Validators {
            etag: Some(HeaderValue::from_static("\"x\"")),
            last_modified: Some(UNIX_EPOCH + Duration::from_secs(784_111_777)),
        }
    }

    fn fields(lines: &[(HeaderName, &'static str)]) -> HeaderMap {
        lines.iter().map(|(name, text)| (name.clone(), HeaderValue::from_static(text))).collect()
    }

    fn get(lines: &[(HeaderName, &'static str)]) -> Verdict {
        evaluate(&Method::GET, &fields(lines), &ours())
    }

    #[test]
    fn who_has_it_need_not_get_it() {
        assert_eq!(get(&[]), Verdict::Proceed);
        assert_eq!(get(&[(IF_NONE_MATCH, "\"x\"")]), Verdict::NotModified);
        assert_eq!(get(&[(IF_NONE_MATCH, "\"a\", W/\"x\"")]), Verdict::NotModified);
        assert_eq!(get(&[(IF_NONE_MATCH, "*")]), Verdict::NotModified);
        assert_eq!(get(&[(IF_NONE_MATCH, "\"y\"")]), Verdict::Proceed);
        assert_eq!(get(&[(IF_MODIFIED_SINCE, BEFORE)]), Verdict::Proceed);
        assert_eq!(get(&[(IF_MODIFIED_SINCE, DATE)]), Verdict::NotModified);
        assert_eq!(get(&[(IF_MODIFIED_SINCE, AFTER)]), Verdict::NotModified);
    }

    #[test]
    fn who_wants_another_state_is_told() {
        assert_eq!(get(&[(IF_MATCH, "\"x\"")]), Verdict::Proceed);
        assert_eq!(get(&[(IF_MATCH, "*")]), Verdict::Proceed);
        assert_eq!(get(&[(IF_MATCH, "W/\"x\"")]), Verdict::PreconditionFailed);
        assert_eq!(get(&[(IF_UNMODIFIED_SINCE, DATE)]), Verdict::Proceed);
        assert_eq!(get(&[(IF_UNMODIFIED_SINCE, BEFORE)]), Verdict::PreconditionFailed);
    }

    #[test]
    fn tags_count_more_than_dates_and_expectations_more_than_caches() {
        let stale = (IF_MODIFIED_SINCE, AFTER);
        assert_eq!(get(&[(IF_NONE_MATCH, "\"y\""), stale.clone()]), Verdict::Proceed);
        assert_eq!(get(&[(IF_MATCH, "\"x\""), (IF_UNMODIFIED_SINCE, BEFORE)]), Verdict::Proceed);
        assert_eq!(get(&[(IF_MATCH, "\"x\""), stale.clone()]), Verdict::NotModified);
        let failed = [(IF_MATCH, "\"y\""), (IF_NONE_MATCH, "\"x\""), stale];
        assert_eq!(get(&failed), Verdict::PreconditionFailed);
    }

    #[test]
    fn dates_that_are_none_or_several_do_not_count() {
        assert_eq!(get(&[(IF_MODIFIED_SINCE, "now")]), Verdict::Proceed);
        assert_eq!(get(&[(IF_UNMODIFIED_SINCE, "now")]), Verdict::Proceed);
        let twice = [(IF_MODIFIED_SINCE, AFTER), (IF_MODIFIED_SINCE, AFTER)];
        assert_eq!(get(&twice), Verdict::Proceed);
        let undated = Validators { last_modified: None, ..ours() };
        let since = fields(&[(IF_MODIFIED_SINCE, AFTER)]);
        assert_eq!(evaluate(&Method::GET, &since, &undated), Verdict::Proceed);
    }

    #[test]
    fn only_reading_can_be_answered_with_not_modified() {
        let star = fields(&[(IF_NONE_MATCH, "*")]);
        assert_eq!(evaluate(&Method::PUT, &star, &ours()), Verdict::PreconditionFailed);
        assert_eq!(evaluate(&Method::HEAD, &star, &ours()), Verdict::NotModified);
        let since = fields(&[(IF_MODIFIED_SINCE, AFTER)]);
        assert_eq!(evaluate(&Method::POST, &since, &ours()), Verdict::Proceed);
    }

    #[test]
    fn a_part_needs_the_very_same_state() {
        let allows = |text| allows_range(&fields(&[(IF_RANGE, text)]), &ours());
        assert!(allows_range(&HeaderMap::new(), &ours()));
        assert!(allows("\"x\"") && allows(DATE));
        for text in ["W/\"x\"", "\"y\"", BEFORE, AFTER, "", "x", "\"x\", \"y\"", "*"] {
            assert!(!allows(text), "{text}");
        }
        let undated = Validators { last_modified: None, ..ours() };
        assert!(!allows_range(&fields(&[(IF_RANGE, DATE)]), &undated));
        let untagged = Validators { etag: None, ..ours() };
        assert!(!allows_range(&fields(&[(IF_RANGE, "\"x\"")]), &untagged));
    }

    proptest! {
        #[test]
        fn a_tag_that_was_sent_is_known_again(opaque in "[!#-~]{0,20}", other in "[!#-~]{0,20}") {
            prop_assume!(opaque != other);
            let value = HeaderValue::try_from(format!("\"{opaque}\"")).unwrap();
            let validators = Validators { etag: Some(value.clone()), last_modified: None };
            let mut fields = HeaderMap::new();
            fields.insert(IF_NONE_MATCH, HeaderValue::try_from(format!("\"{other}\"")).unwrap());
            prop_assert_eq!(evaluate(&Method::GET, &fields, &validators), Verdict::Proceed);
            fields.append(IF_NONE_MATCH, value);
            prop_assert_eq!(evaluate(&Method::GET, &fields, &validators), Verdict::NotModified);
        }
    }
}
