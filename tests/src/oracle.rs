//! The oracle: the same requests to Certosa and to a server on the Rust SDK (being written).
