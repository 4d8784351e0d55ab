//! HTTP/1.1 without I/O: strict heads, framing, chunking, verbatim forwarding
