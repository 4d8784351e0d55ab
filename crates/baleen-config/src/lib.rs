//! baleen.toml to validated parameters, with diagnostics as data
