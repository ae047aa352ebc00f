//! The name in a client's certificate: its subject's common name, else its only alternative name.
//!
//! Reads just as much of X.509 as that takes. The certificate's signature has been verified before.

/// Object identifier of a common name (2.5.4.3).
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// Object identifier of the extension with alternative names (2.5.29.17).
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
/// The longest name that is taken for a user's.
const NAME_BYTES_MAX: usize = 256;

const BOOLEAN: u8 = 0x01;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const IA5_STRING: u8 = 0x16;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const EMAIL_NAME: u8 = 0x81;
const DNS_NAME: u8 = 0x82;
const URI_NAME: u8 = 0x86;

/// The user's name in a certificate; `None` when it has none, or several that contend.
pub(super) fn name_of(certificate: &[u8]) -> Option<String> {
    let mut outer = Der(certificate);
    let mut signed = Der(Der(outer.take(SEQUENCE)?).take(SEQUENCE)?);
    if signed.peek() == Some(VERSION) {
        signed.take(VERSION)?;
    }
    // Serial number, algorithm, issuer, validity.
    for _ in 0..4 {
        signed.any()?;
    }
    let subject = signed.take(SEQUENCE)?;
    match common_names(subject)?.as_slice() {
        [name] => Some(name.clone()),
        [] => alternative_name(signed),
        _ => None,
    }
}

fn common_names(subject: &[u8]) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut sets = Der(subject);
    while !sets.is_empty() {
        let mut attributes = Der(sets.take(SET)?);
        while !attributes.is_empty() {
            let mut attribute = Der(attributes.take(SEQUENCE)?);
            let kind = attribute.take(OBJECT_IDENTIFIER)?;
            let (tag, value) = attribute.any()?;
            if kind == COMMON_NAME {
                let is_text = matches!(tag, UTF8_STRING | PRINTABLE_STRING | IA5_STRING);
                names.push(if is_text { text(value) } else { None }?);
            }
        }
    }
    Some(names)
}

/// The only e-mail address, DNS name or URI among the alternative names.
fn alternative_name(mut signed: Der<'_>) -> Option<String> {
    let mut extensions = loop {
        match signed.any()? {
            (EXTENSIONS, content) => break Der(Der(content).take(SEQUENCE)?),
            _ => continue,
        }
    };
    while !extensions.is_empty() {
        let mut extension = Der(extensions.take(SEQUENCE)?);
        if extension.take(OBJECT_IDENTIFIER)? != ALTERNATIVE_NAMES {
            continue;
        }
        if extension.peek() == Some(BOOLEAN) {
            extension.take(BOOLEAN)?;
        }
        let mut all = Der(Der(extension.take(OCTET_STRING)?).take(SEQUENCE)?);
        let mut names = Vec::new();
        while !all.is_empty() {
            if let (EMAIL_NAME | DNS_NAME | URI_NAME, value) = all.any()? {
                names.push(text(value)?);
            }
        }
        return match names.as_slice() {
            [name] => Some(name.clone()),
            _ => None,
        };
    }
    None
}

/// A name as text; what could pass for another name in a log is none.
fn text(value: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(value).ok()?;
    let is_good =
        !name.trim().is_empty() && name.len() <= NAME_BYTES_MAX && !name.contains(char::is_control);
    is_good.then(|| name.to_owned())
}

/// What is left of a sequence of DER values.
#[derive(Clone, Copy)]
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The next value's content, if it has this tag.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, content) = self.any()?;
        (found == tag).then_some(content)
    }

    /// The next value's tag and content.
    fn any(&mut self) -> Option<(u8, &'a [u8])> {
        let (tag, rest) = self.0.split_first()?;
        let (first, rest) = rest.split_first()?;
        let (length, rest) = match *first {
            short @ 0..=0x7f => (usize::from(short), rest),
            long @ 0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
                (bytes.iter().fold(0_usize, |n, b| (n << 8) | usize::from(*b)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((*tag, content))
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    use super::*;

    fn certificate(names: &[(DnType, &str)], alternatives: &[&str]) -> Vec<u8> {
        let alternatives: Vec<String> = alternatives.iter().map(|a| (*a).to_owned()).collect();
        let mut params = CertificateParams::new(alternatives).unwrap();
        params.distinguished_name = DistinguishedName::new();
        for (kind, name) in names {
            params.distinguished_name.push(kind.clone(), *name);
        }
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn the_common_name_is_the_user_else_the_only_alternative_name() {
        let named = |names: &[(DnType, &str)], alternatives: &[&str]| {
            name_of(&certificate(names, alternatives))
        };
        let organisation = (DnType::OrganizationName, "Example");
        let ada = (DnType::CommonName, "ada");
        assert_eq!(
            named(&[organisation.clone(), ada.clone()], &["x.example"]).as_deref(),
            Some("ada")
        );
        assert_eq!(
            named(std::slice::from_ref(&organisation), &["x.example"]).as_deref(),
            Some("x.example")
        );
        assert_eq!(named(std::slice::from_ref(&organisation), &["x.example", "y.example"]), None);
        assert_eq!(named(&[organisation], &[]), None);
        assert_eq!(named(&[(DnType::CommonName, "a\nb")], &[]), None);
        assert_eq!(named(&[(DnType::CommonName, " ")], &["x.example"]), None);
        assert_eq!(named(&[(DnType::CommonName, "größe")], &[]).as_deref(), Some("größe"));
    }

    #[test]
    fn no_damaged_certificate_panics() {
        let whole = certificate(&[(DnType::CommonName, "ada")], &["x.example"]);
        for cut in 0..whole.len() {
            let _name = name_of(&whole[..cut]);
            for bit in 0..8 {
                let mut flipped = whole.clone();
                flipped[cut] ^= 1 << bit;
                let _name = name_of(&flipped);
            }
        }
    }
}
