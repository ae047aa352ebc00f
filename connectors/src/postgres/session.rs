//! What a connection is set to before its first use, so that names, literals and texts mean one
//! thing whatever the server, the database or the role have as defaults.

use std::time::Duration;

use tokio_postgres::Client;

pub(super) const APPLICATION: &str = "fjord";
/// How often the server looks whether this process still lives, in the midst of a query.
const LOST_CLIENT_INTERVAL: Duration = Duration::from_secs(2);

/// Sets back, after a transaction that is committed, what a function or trigger in it may have set,
/// locked or made for the session.
const AFRESH: &str = "RESET SESSION AUTHORIZATION; RESET ALL; UNLISTEN *; CLOSE ALL; DISCARD TEMP; \
     SELECT pg_catalog.pg_advisory_unlock_all()";

fn settings(statement_timeout: Duration) -> String {
    // Nothing but the system's own names is found without a schema: no operator or function of a
    // user can take the place of one that a query of ours means.
    format!(
        "SET search_path = 'pg_catalog'; SET standard_conforming_strings = on; \
         SET bytea_output = 'hex'; SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'postgres'; \
         SET TimeZone = 'UTC'; SET lc_monetary = 'C'; SET xmloption = 'content'; \
         SET extra_float_digits = 1; SET row_security = on; \
         SET default_transaction_read_only = on; SET default_transaction_deferrable = off; \
         SET idle_in_transaction_session_timeout = 0; SET statement_timeout = {}",
        statement_timeout.as_millis()
    )
}

/// Sets back, within a transaction that others go on with, what a view's function may have set.
pub(super) async fn set_back(
    client: &Client,
    statement_timeout: Duration,
) -> Result<(), tokio_postgres::Error> {
    let sql = format!("RESET SESSION AUTHORIZATION; {}", settings(statement_timeout));
    client.batch_execute(&sql).await
}

/// Makes a connection on which something was written as it was when it was fresh.
pub(super) async fn renew(
    client: &Client,
    statement_timeout: Duration,
) -> Result<(), tokio_postgres::Error> {
    client.batch_execute(AFRESH).await?;
    prepare(client, statement_timeout).await
}

/// Sets a fresh connection.
pub(super) async fn prepare(
    client: &Client,
    statement_timeout: Duration,
) -> Result<(), tokio_postgres::Error> {
    client.batch_execute(&settings(statement_timeout)).await?;
    // Where a process of ours was killed, a query that sends no row would go on to its end. Servers
    // before 14 have no such setting, and not every system lets them use it.
    let interval = LOST_CLIENT_INTERVAL.as_millis();
    let sql = format!("SET client_connection_check_interval = {interval}");
    if let Err(e) = client.batch_execute(&sql).await {
        if e.as_db_error().is_none() {
            return Err(e);
        }
        tracing::debug!(error = %e, "the server will not notice when this process is gone");
    }
    Ok(())
}
