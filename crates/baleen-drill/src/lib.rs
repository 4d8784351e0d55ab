//! Synthetic upstreams and open-loop load
