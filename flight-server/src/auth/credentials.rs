//! What a request says about who sends it: the `authorization` header.

use std::fmt;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use tonic::Status;
use tonic::metadata::MetadataMap;
use zeroize::Zeroizing;

/// The longest header that is looked at.
const HEADER_BYTES_MAX: usize = 16 << 10;
/// The longest name of a user.
const USER_BYTES_MAX: usize = 256;
/// The longest password.
const PASSWORD_BYTES_MAX: usize = 1_024;

/// Go clients leave the padding out, Java's put it in.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// What was sent; never shown.
pub(super) enum Credentials {
    Nothing,
    Basic { user: String, password: Zeroizing<String> },
    Bearer(Zeroizing<String>),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "Nothing",
            Self::Basic { .. } => "Basic(…)",
            Self::Bearer(_) => "Bearer(…)",
        })
    }
}

impl Credentials {
    /// # Errors
    /// `UNAUTHENTICATED` for a header that is not understood, without repeating it.
    pub(super) fn of(metadata: &MetadataMap) -> Result<Self, Status> {
        let Some(value) = metadata.get("authorization") else { return Ok(Self::Nothing) };
        let refused = |problem: &str| Status::unauthenticated(problem.to_owned());
        if value.len() > HEADER_BYTES_MAX {
            return Err(refused("the authorization header is too long"));
        }
        let text = value.to_str().map_err(|_| refused("the authorization header is not ASCII"))?;
        let (scheme, rest) = text.trim().split_once(' ').unwrap_or((text, ""));
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("basic") {
            return basic(rest).map_err(refused);
        }
        if scheme.eq_ignore_ascii_case("bearer") && !rest.is_empty() {
            return Ok(Self::Bearer(Zeroizing::new(rest.to_owned())));
        }
        Err(refused("the authorization header is neither \"Basic …\" nor \"Bearer …\""))
    }
}

fn basic(encoded: &str) -> Result<Credentials, &'static str> {
    const MALFORMED: &str =
        "the authorization header is malformed: Basic takes base64 of user:password";
    let bytes = Zeroizing::new(BASE64.decode(encoded).map_err(|_| MALFORMED)?);
    let text = std::str::from_utf8(&bytes).map_err(|_| MALFORMED)?;
    // A password may hold colons, a name cannot.
    let (user, password) = text.split_once(':').ok_or(MALFORMED)?;
    if user.is_empty() {
        return Err("the name of the user is empty: send user and password");
    }
    if password.is_empty() {
        return Err("the password is empty: send user and password");
    }
    // HMAC takes a key and the same key with zeros behind it for one.
    if text.contains('\0') {
        return Err(MALFORMED);
    }
    if user.len() > USER_BYTES_MAX || password.len() > PASSWORD_BYTES_MAX {
        return Err("the name of the user or the password is too long");
    }
    Ok(Credentials::Basic { user: user.to_owned(), password: Zeroizing::new(password.to_owned()) })
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD as PADDED, STANDARD_NO_PAD as UNPADDED};

    use super::*;

    fn read(header: &str) -> Result<Credentials, Status> {
        let mut metadata = MetadataMap::new();
        metadata.insert("authorization", header.parse().unwrap());
        Credentials::of(&metadata)
    }

    #[test]
    fn p11_basic_is_read_padded_and_unpadded_for_every_length() {
        for length in 1..12 {
            let password: String = "p:ä=s5w0rd:xyz".chars().take(length).collect();
            for encoded in [
                PADDED.encode(format!("ada:{password}")),
                UNPADDED.encode(format!("ada:{password}")),
            ] {
                for scheme in ["Basic", "basic", "BASIC"] {
                    let found = read(&format!("{scheme} {encoded}")).unwrap();
                    let Credentials::Basic { user, password: found } = found else { panic!() };
                    assert_eq!((user.as_str(), found.as_str()), ("ada", password.as_str()));
                }
            }
        }
        assert!(matches!(read("Bearer x.y.z").unwrap(), Credentials::Bearer(t) if *t == "x.y.z"));
        assert!(matches!(Credentials::of(&MetadataMap::new()).unwrap(), Credentials::Nothing));
    }

    #[test]
    fn jdbc_02_missing_passwords_and_malformed_headers_are_refused_without_being_repeated() {
        for (header, expected) in [
            (format!("Basic {}", PADDED.encode("ada:")), "the password is empty"),
            (format!("Basic {}", PADDED.encode(":canary")), "the name of the user is empty"),
            (format!("Basic {}", PADDED.encode("canary")), "Basic takes base64"),
            ("Basic canary%%%".to_owned(), "Basic takes base64"),
            ("Basic".to_owned(), "Basic takes base64"),
            (format!("Basic {}", PADDED.encode(b"a:\xff\xfe")), "Basic takes base64"),
            (format!("Basic {}", PADDED.encode("ada:canary\0")), "Basic takes base64"),
            (format!("Basic {}", PADDED.encode(format!("ada:{}", "x".repeat(2000)))), "too long"),
            (format!("Bearer {}", "canary".repeat(4000)), "too long"),
            ("Bearer ".to_owned(), "neither"),
            ("canary".to_owned(), "neither"),
            ("Digest canary".to_owned(), "neither"),
        ] {
            let status = read(&header).unwrap_err();
            assert_eq!(status.code(), tonic::Code::Unauthenticated);
            assert!(status.message().contains(expected), "{}", status.message());
            assert!(!status.message().contains("canary"));
        }
        let shown = format!("{:?}", read(&format!("Basic {}", PADDED.encode("a:canary"))).unwrap());
        assert!(!shown.contains("canary"));
    }
}
