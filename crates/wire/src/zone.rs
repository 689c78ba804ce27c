//! Records in master-file syntax (RFC 1035, section 5).
