//! Inputs that once failed, by target. They run first.

pub(crate) const REGRESSIONS: &[(&str, &[u8])] = &[
    // a CR at the end of binary content was no part of its last line
    ("messages", b"\ra\r"),
    // all of a reply to RSET with different codes was kept
    ("replies", b".\x01220\r\n\x1c250\r\n\x1c550 \r\n\x1c290-mx.examp250 PIPELINING\r\n250 ok\r\n"),
    // the error showed the password
    ("routes", b"mx://:s3cretPw@"),
];
