//! `fjord passwd`: a line for a password file.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::{Context, Result, ensure};
use argon2::Argon2;
use argon2::password_hash::rand_core::OsRng;
use argon2::password_hash::{PasswordHasher, SaltString};
use zeroize::Zeroizing;

/// The longest password that a login may bring.
const PASSWORD_BYTES_MAX: usize = 1_024;

/// Asks for a password and writes `user:hash` to standard output.
///
/// # Errors
/// For an empty password, two that differ, or a name that no line may begin with.
pub(crate) fn run(user: &str) -> Result<()> {
    let is_good = !user.is_empty() && !user.contains(|c: char| c == ':' || c.is_control());
    ensure!(is_good, "user {user:?}: a name holds neither ':' nor control characters");
    let password = ask(user)?;
    let hash = make_hash(&password)?;
    writeln!(std::io::stdout(), "{user}:{hash}").context("standard output cannot be written")
}

fn ask(user: &str) -> Result<Zeroizing<String>> {
    if !std::io::stdin().is_terminal() {
        let mut line = Zeroizing::new(String::new());
        std::io::stdin().lock().read_line(&mut line).context("standard input cannot be read")?;
        return Ok(Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned()));
    }
    let ask = |prompt: String| rpassword::prompt_password(prompt).map(Zeroizing::new);
    let password = ask(format!("Password of {user}: ")).context("no password was given")?;
    let again = ask("Again: ".to_owned()).context("no password was given")?;
    ensure!(*password == *again, "the two passwords differ: nothing was written");
    Ok(password)
}

/// An argon2id hash of 19 MiB and two passes.
///
/// # Errors
/// For a password that is empty or too long.
fn make_hash(password: &str) -> Result<String> {
    ensure!(!password.is_empty(), "the password is empty");
    ensure!(!password.contains('\0'), "the password holds a zero byte");
    ensure!(
        password.len() <= PASSWORD_BYTES_MAX,
        "the password is longer than {PASSWORD_BYTES_MAX} bytes"
    );
    let salt = SaltString::generate(&mut OsRng);
    let hash = Argon2::default().hash_password(password.as_bytes(), &salt);
    hash.map(|hash| hash.to_string()).map_err(|e| anyhow::anyhow!("no hash can be made: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::stored::StoredHash;

    #[test]
    fn what_is_written_is_accepted_and_verifies() {
        let text = make_hash("s3cret").unwrap();
        let hash = StoredHash::parse(&text).unwrap();
        assert!(hash.verify("s3cret") && !hash.verify("s3cre"));
        assert_ne!(text, make_hash("s3cret").unwrap());
        assert!(make_hash("").is_err());
    }
}
