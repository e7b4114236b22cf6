use super::super::fields::FIELDS;
use super::*;

#[test]
fn every_event_has_a_subject_a_cause_and_a_remedy() {
    let catalog = catalog();
    for &event in Event::ALL {
        let Text { subject, cause, remedy, .. } = text(event);
        assert_eq!(catalog.matches(event.message_id()).count(), 1, "{event:?}");
        assert!(!subject.ends_with('.') && subject.len() > 10, "{event:?}");
        assert!(cause.ends_with('.') && remedy.ends_with('.'), "{event:?}");
    }
}

/// `@NAME@` as systemd finds them: capital letters between two signs.
fn variables(text: &str) -> Vec<&str> {
    let starts = text.match_indices('@').map(|(at, _)| &text[at + 1..]);
    let names = starts.filter_map(|rest| rest.split_once('@')).map(|(name, _)| name);
    let is_name = |name: &&str| name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    names.filter(|name| !name.is_empty()).filter(is_name).collect()
}

#[test]
fn every_field_that_a_text_names_exists() {
    assert_eq!(variables("a@b rwsgi@@RWSGI_APP@: @X@"), ["RWSGI_APP", "X"]);
    for &event in Event::ALL {
        let Text { subject, cause, remedy, .. } = text(event);
        for name in [subject, cause, remedy].into_iter().flat_map(variables) {
            assert!(FIELDS.iter().any(|field| field.name == name), "{event:?}: {name}");
        }
    }
}

#[test]
fn no_line_is_too_wide() {
    for line in catalog().lines() {
        assert!(line.chars().count() <= 115, "{line}");
    }
}
