//! Namers: where a logical name leads
