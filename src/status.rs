//! Enhanced status codes (RFC 3463).

use std::fmt;

/// The first number of an [`EnhancedCode`] (RFC 3463 section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(clippy::exhaustive_enums, reason = "RFC 3463 section 3.1 defines these three")]
pub enum StatusClass {
    /// `2`: done.
    Success,
    /// `4`: not now.
    Transient,
    /// `5`: not this way.
    Permanent,
}

impl StatusClass {
    /// The digit that stands for the class.
    pub const fn digit(self) -> u8 {
        match self {
            Self::Success => 2,
            Self::Transient => 4,
            Self::Permanent => 5,
        }
    }

    const fn from_digit(digit: u16) -> Option<Self> {
        match digit {
            2 => Some(Self::Success),
            4 => Some(Self::Transient),
            5 => Some(Self::Permanent),
            _ => None,
        }
    }
}

/// An enhanced status code, `class.subject.detail` (RFC 3463 section 2).
///
/// ```
/// use nexthop::{EnhancedCode, StatusClass};
///
/// let code = EnhancedCode::parse("5.1.1").unwrap();
/// assert_eq!(code.class(), StatusClass::Permanent);
/// assert_eq!(code.to_string(), "5.1.1");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EnhancedCode {
    class: StatusClass,
    subject: u16,
    detail: u16,
}

impl EnhancedCode {
    /// A code from its parts; `subject` and `detail` are cut to three digits (0 to 999).
    pub const fn new(class: StatusClass, subject: u16, detail: u16) -> Self {
        Self { class, subject: subject % 1000, detail: detail % 1000 }
    }

    /// Reads a code that is the whole of `text`. Each of subject and detail has one to three digits.
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split('.').map(number);
        let (class, subject, detail) = (numbers.next()??, numbers.next()??, numbers.next()??);
        let class = StatusClass::from_digit(class)?;
        (numbers.next().is_none() && text.as_bytes()[1] == b'.').then_some(Self { class, subject, detail })
    }

    /// Whether this is good, temporary or permanent.
    pub const fn class(self) -> StatusClass {
        self.class
    }

    /// What it is about, 0 to 999 (RFC 3463 section 3.2 and following).
    pub const fn subject(self) -> u16 {
        self.subject
    }

    /// The detail within the subject, 0 to 999.
    pub const fn detail(self) -> u16 {
        self.detail
    }

    /// The same subject and detail in another class.
    pub const fn with_class(self, class: StatusClass) -> Self {
        Self { class, ..self }
    }
}

fn number(digits: &str) -> Option<u16> {
    let plain = matches!(digits.len(), 1..=3) && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

impl fmt::Display for EnhancedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class.digit(), self.subject, self.detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_157_a_code_has_three_numbers_of_one_to_three_digits() {
        for good in ["2.0.0", "4.2.2", "5.7.999", "5.10.1"] {
            assert_eq!(EnhancedCode::parse(good).unwrap().to_string(), good);
        }
        for bad in
            ["", "5", "5.1", "5.1.", "3.0.0", "5.1.1.1", "5.1.1000", "5..1", "+5.1.1", "05.1.1", "5.1.x"]
        {
            assert_eq!(EnhancedCode::parse(bad), None, "{bad:?}");
        }
    }
}
