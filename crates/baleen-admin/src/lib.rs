//! The admin server: read-only views
