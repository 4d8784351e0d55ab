//! What shells count themselves, because it is no event of policy: bytes, buffers, refused messages.
//!
//! To add a counter: a variant, and its line in the table below. Not here: where they are counted. Tested: `tests/text.rs`.

use std::sync::OnceLock;

use crate::cells::Count;

macro_rules! shell_counters {
    ($($(#[$doc:meta])* $variant:ident $name:literal $help:literal;)*) => {
        /// A counter that a shell adds to.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(usize)]
        pub enum ShellCounter {
            $($(#[$doc])* $variant,)*
        }

        impl ShellCounter {
            /// All of them, in order.
            pub const ALL: &'static [ShellCounter] = &[$(ShellCounter::$variant),*];

            /// The name of its metric.
            #[must_use]
            pub const fn metric(self) -> &'static str {
                match self { $(ShellCounter::$variant => $name,)* }
            }

            pub(crate) const fn help(self) -> &'static str {
                match self { $(ShellCounter::$variant => $help,)* }
            }
        }
    };
}

shell_counters! {
    /// Bytes read from downstreams.
    DownstreamReceivedBytes "baleen_downstream_received_bytes_total" "Bytes read from downstreams.";
    /// Bytes written to downstreams.
    DownstreamSentBytes "baleen_downstream_sent_bytes_total" "Bytes written to downstreams.";
    /// Bytes read from upstreams.
    UpstreamReceivedBytes "baleen_upstream_received_bytes_total" "Bytes read from upstreams.";
    /// Bytes written to upstreams.
    UpstreamSentBytes "baleen_upstream_sent_bytes_total" "Bytes written to upstreams.";
    /// Connections that could not be accepted.
    AcceptErrors "baleen_accept_errors_total" "Connections that could not be accepted, for example for want of file descriptors.";
    /// Connections accepted by one worker and handed to another.
    HandedOver "baleen_connections_handed_over_total" "Connections accepted by one worker and handed to a less loaded one.";
    /// Bytes that came after the end of a response.
    ExtraResponseBytes "baleen_extra_response_bytes_total" "Bytes that upstreams sent after the end of a response; the connection is closed.";
    /// Lines that the access log could not take.
    AccessLogDropped "baleen_access_log_dropped_total" "Access log lines dropped because the log could not keep up.";
    /// Old answers served in place of failures.
    DegradedStale "baleen_degraded_stale_total" "Old answers that were served because nothing else was left.";
    /// Fixed answers served in place of failures.
    DegradedStatic "baleen_degraded_static_total" "Fixed answers that were served because nothing else was left.";
    /// Requests whose names led nowhere.
    Unbound "baleen_unbound_requests_total" "Requests whose names led nowhere, answered 404 or 503; not those that brought tables of their own.";
}

macro_rules! shell_gauges {
    ($($(#[$doc:meta])* $variant:ident $name:literal $help:literal;)*) => {
        /// A level that a shell raises and lowers. Each worker keeps its own; they are summed.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(usize)]
        pub enum ShellGauge {
            $($(#[$doc])* $variant,)*
        }

        impl ShellGauge {
            /// All of them, in order.
            pub const ALL: &'static [ShellGauge] = &[$(ShellGauge::$variant),*];

            /// The name of its metric.
            #[must_use]
            pub const fn metric(self) -> &'static str {
                match self { $(ShellGauge::$variant => $name,)* }
            }

            pub(crate) const fn help(self) -> &'static str {
                match self { $(ShellGauge::$variant => $help,)* }
            }
        }
    };
}

shell_gauges! {
    /// Buffers that hold bytes in transit.
    Buffers "baleen_buffers" "Buffers in use.";
    /// Bytes that those buffers take.
    BufferBytes "baleen_buffer_bytes" "Bytes of memory that the buffers in use take.";
}

/// Who sent a message that the codec refused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Sender {
    /// A downstream: the message is a request.
    Downstream,
    /// An upstream: the message is a response.
    Upstream,
}

impl Sender {
    /// Both.
    pub const ALL: [Sender; 2] = [Sender::Downstream, Sender::Upstream];

    /// A short stable word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Sender::Downstream => "downstream",
            Sender::Upstream => "upstream",
        }
    }
}

/// Most rules that are told apart, per sender; the rest count as `other`.
pub const RULES_MAX: usize = 96;

/// Counters by a word that the caller brings. Found by scanning: it is no hot path, and the words are few.
pub(crate) struct ByWord {
    words: [OnceLock<&'static str>; RULES_MAX],
    counts: [Count; RULES_MAX],
    other: Count,
}

impl Default for ByWord {
    fn default() -> Self {
        ByWord {
            words: [const { OnceLock::new() }; RULES_MAX],
            counts: [const { Count::new() }; RULES_MAX],
            other: Count::new(),
        }
    }
}

impl ByWord {
    /// Count one. Only the writer's thread calls this.
    pub(crate) fn add(&self, word: &'static str) {
        let place = self.words.iter().position(|w| *w.get_or_init(|| word) == word);
        place.map_or(&self.other, |i| &self.counts[i]).add(1);
    }

    /// Every word with its count, and then what found no place as `other`.
    pub(crate) fn read(&self, mut each: impl FnMut(&'static str, u64)) {
        for (word, count) in self.words.iter().zip(&self.counts) {
            match word.get() {
                Some(word) => each(word, count.get()),
                None => break,
            }
        }
        if self.other.get() > 0 {
            each("other", self.other.get());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_beyond_the_bound_count_as_other() {
        let table = ByWord::default();
        let words: Vec<&'static str> =
            (0..RULES_MAX + 2).map(|i| &*Box::leak(format!("rule-{i}").into_boxed_str())).collect();
        words.iter().for_each(|w| table.add(w));
        table.add(words[3]);
        let mut read = Vec::new();
        table.read(|w, n| read.push((w, n)));
        assert_eq!(read.len(), RULES_MAX + 1);
        assert_eq!(read[3], ("rule-3", 2));
        assert_eq!(read.last(), Some(&("other", 2)));
    }
}
