//! TLS, as far as `sslmode` asks for it.

use std::process::Command;

use fjord_connectors::Error;

use super::server::authority;
use super::world::{Remote, say};

/// Whether our connection is encrypted.
async fn encrypted(remote: &Remote, options: &[(&str, &str)]) -> Result<bool, Error> {
    let connector = remote.open_at(remote.database.port(), options)?;
    connector.check().await?;
    let sql = "SELECT bool_or(s.ssl) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid)
               WHERE a.application_name = 'fjord' AND a.datname = current_database()";
    let found = remote.sql(sql) == "t";
    connector.close().await;
    while remote.connections() > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    Ok(found)
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_asked_for_as_far_as_was_said() {
    let Some(remote) = Remote::new() else { return };
    let Some(authority) = authority() else {
        say(format_args!("skipped: no FJORD_TEST_POSTGRES_CA"));
        return;
    };
    let by_address = remote.url(remote.database.port());
    let by_name = by_address.replace("127.0.0.1", "localhost");
    let by_name = by_name.as_str();
    let root = ("sslrootcert", authority.as_str());
    assert!(!encrypted(&remote, &[("sslmode", "disable")]).await.unwrap());
    for mode in ["prefer", "require"] {
        assert!(encrypted(&remote, &[("sslmode", mode)]).await.unwrap(), "{mode}");
    }
    assert!(encrypted(&remote, &[("sslmode", "verify-ca"), root]).await.unwrap());
    assert!(
        encrypted(&remote, &[("url", by_name), ("sslmode", "verify-full"), root]).await.unwrap()
    );
    // Not the name that the certificate is for.
    let error =
        encrypted(&remote, &[("sslmode", "verify-full"), root]).await.unwrap_err().to_string();
    assert!(error.contains("certificate"), "{error}");
    // Another authority.
    let folder = tempfile::tempdir().unwrap();
    let (other, key) = (folder.path().join("other.crt"), folder.path().join("other.key"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
        ])
        .args(["-days", "2", "-subj", "/CN=another authority", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&other)
        .output()
        .unwrap();
    assert!(made.status.success());
    let other = other.to_string_lossy().into_owned();
    for (mode, url) in [("verify-ca", by_name), ("verify-full", by_name)] {
        let options = [("url", url), ("sslmode", mode), ("sslrootcert", other.as_str())];
        let error = encrypted(&remote, &options).await.unwrap_err().to_string();
        assert!(error.contains("certificate"), "{mode}: {error}");
        // The system does not vouch for an authority that the tests have made.
        let options = [("url", url), ("sslmode", mode)];
        let error = encrypted(&remote, &options).await.unwrap_err().to_string();
        assert!(error.contains("certificate"), "{mode}: {error}");
    }
}
