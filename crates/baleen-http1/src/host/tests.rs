//! Hosts and ports, as a table.

use super::is_authority;

#[test]
fn authorities() {
    let long = "a".repeat(255);
    let too_long = "a".repeat(256);
    let rows: &[(&str, bool)] = &[
        ("a", true),
        ("localhost:8080", true),
        ("example.com", true),
        ("EXAMPLE.com.", true),
        ("a-b_c~d.e0:1", true),
        ("127.0.0.1:65535", true),
        ("[::1]", true),
        ("[::1]:80", true),
        ("[2001:db8:0:0:0:0:0:1]:80", true),
        ("[::ffff:127.0.0.1]", true),
        (&long, true),
        (&too_long, false),
        ("fifteen-letters.b:1", true),
        ("sixteen-letters-.b:1", true),
        ("fifteen-letters.sixteen-letters-.c", true),
        ("fifteen-letters..c", false),
        ("sixteen-letters-,c", false),
        ("", false),
        (":80", false),
        (".", false),
        ("..", false),
        (".a", false),
        ("a..b", false),
        ("a..", false),
        ("a:", false),
        ("a:0", false),
        ("a:65536", false),
        ("a:000080", false),
        ("a:+80", false),
        ("a:8o", false),
        ("a:80:80", false),
        ("a b", false),
        ("a,b", false),
        ("a;b", false),
        ("u@a", false),
        ("u:p@a", false),
        ("a/b", false),
        ("a\\b", false),
        ("a?b", false),
        ("a#b", false),
        ("a%2eb", false),
        ("a*", false),
        ("\"a\"", false),
        ("caf\u{e9}", false),
        ("a\0", false),
        ("::1", false),
        ("[::1", false),
        ("::1]", false),
        ("[]", false),
        ("[:::1]", false),
        ("[::1]x", false),
        ("[::1]80", false),
        ("[::1]:", false),
        ("[::1]]", false),
        ("[[::1]]", false),
        ("[fe80::1%25eth0]", false),
        ("[v1.x]", false),
        ("[127.0.0.1]", false),
        ("a[::1]", false),
    ];
    for (text, expect) in rows {
        assert_eq!(is_authority(text.as_bytes(), false), *expect, "{text:?}");
    }
    for (text, expect) in [("a", false), ("a:", false), ("a:1", true), ("[::1]", false)] {
        assert_eq!(is_authority(text.as_bytes(), true), expect, "{text:?} with a port");
    }
}
