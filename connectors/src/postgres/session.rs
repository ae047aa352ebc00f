//! What a connection is set to before its first use, so that names, literals and texts mean one
//! thing whatever the server, the database or the role have as defaults.

use std::time::Duration;

use tokio_postgres::Client;

pub(super) const APPLICATION: &str = "fjord";

/// Sets a fresh connection.
pub(super) async fn prepare(
    client: &Client,
    statement_timeout: Duration,
) -> Result<(), tokio_postgres::Error> {
    // Nothing but the system's own names is found without a schema: no operator or function of a
    // user can take the place of one that a query of ours means.
    let sql = format!(
        "SET search_path = 'pg_catalog'; SET standard_conforming_strings = on; \
         SET bytea_output = 'hex'; SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'postgres'; \
         SET TimeZone = 'UTC'; SET lc_monetary = 'C'; SET xmloption = 'content'; \
         SET extra_float_digits = 1; SET row_security = on; \
         SET default_transaction_read_only = on; SET default_transaction_deferrable = off; \
         SET idle_in_transaction_session_timeout = 0; SET statement_timeout = {}",
        statement_timeout.as_millis()
    );
    client.batch_execute(&sql).await
}
