//! Scanners against plain loops, for every byte at every place.

use super::*;

#[test]
#[cfg(target_arch = "x86_64")]
fn both_ways_to_test_a_class_agree() {
    for b in 0..=255 {
        for i in 0..16 {
            let mut bytes = *b"plain-text-here0";
            bytes[i] = b;
            assert_eq!(sixteen::controls(&bytes), sixteen_plain::controls(&bytes), "{b} at {i}");
            let (a, p) = (sixteen::target_stops(&bytes), sixteen_plain::target_stops(&bytes));
            assert_eq!(a, p, "{b} at {i}");
            assert_eq!(
                sixteen::name_stops(&bytes),
                sixteen_plain::name_stops(&bytes),
                "{b} at {i}"
            );
        }
    }
}

#[test]
fn scanners_stop_where_a_plain_loop_does() {
    for len in 0..40 {
        for at in 0..len {
            for b in [0, b'\t', b'\r', b'\n', b' ', b'#', b':', b'_', b'(', 0x7f, 0x80, 0xc1, 0xff]
            {
                let mut text = vec![b'a'; len];
                text[at] = b;
                for from in 0..=len + 1 {
                    let plain = |stop: &dyn Fn(u8) -> bool| {
                        (from..len).find(|i| stop(text[*i])).unwrap_or(len.max(from))
                    };
                    assert_eq!(control_at(&text, from), plain(&is_control));
                    assert_eq!(target_end(&text, from), plain(&is_target_stop));
                    assert_eq!(token_end(&text, from), plain(&|b| !is_token_byte(b)));
                    assert_eq!(text_end(&text, from), plain(&|b| b != b'\t' && is_control(b)));
                }
            }
        }
    }
}

#[test]
fn trimming() {
    for (text, expect) in
        [("", ""), (" \t ", ""), ("a", "a"), (" a\tb\t", "a\tb"), ("\x0ba", "\x0ba")]
    {
        assert_eq!(trim(text.as_bytes()), expect.as_bytes());
    }
}
