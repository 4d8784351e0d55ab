//! The table of rules is sound.

use super::*;

#[test]
fn every_rule_has_a_unique_slug_a_status_a_section_and_a_sentence() {
    let mut slugs = std::collections::BTreeSet::new();
    for (i, rule) in Rule::ALL.iter().enumerate() {
        assert_eq!(*rule as usize, i);
        assert!(slugs.insert(rule.as_str()), "{} twice", rule.as_str());
        assert!(rule.as_str().bytes().all(|b| b.is_ascii_lowercase() || b"-.0189".contains(&b)));
        assert!([400, 414, 417, 431, 501, 502, 505].contains(&rule.status()), "{rule:?}");
        assert!(rule.rfc().starts_with("RFC "), "{rule:?}");
        assert!(rule.why().ends_with('.'), "{rule:?}");
    }
}

#[test]
fn a_server_is_to_blame_with_502() {
    let refusal = Refusal::from(Rule::RequestLineTooLong);
    assert_eq!(refusal.status, 414);
    assert_eq!(refusal.by_upstream(), Refusal { rule: Rule::RequestLineTooLong, status: 502 });
    assert_eq!(
        refusal.to_string(),
        "The request line is longer than the limit. (request-line-too-long, RFC 9112 3)"
    );
}
