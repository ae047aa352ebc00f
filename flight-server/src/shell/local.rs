//! Statements that run in this process.

use anyhow::Result;
use fjord_engine::session::Session;
use fjord_engine::sql::statement::Statement;
use futures::{StreamExt, TryStreamExt};

use super::connection::{Answer, Connection};
use super::meter::Meter;

/// What the shell is called in `system.queries`.
const CLIENT: &str = "fjord sql";

impl Connection for Session {
    type Statement = Statement;

    fn parse(&self, text: &str) -> Result<Vec<Statement>> {
        Ok(Session::parse(self, text)?)
    }

    async fn execute(&self, statement: &Statement, meter: &Meter) -> Result<Answer> {
        let result = Session::submit(self, statement, CLIENT).await?;
        if let Some(plan) = &result.plan {
            meter.follow(plan);
        }
        let rows = result.stream.map_err(|e| fjord_engine::Error::from(e).into()).boxed();
        Ok(Answer { kind: result.kind, schema: result.schema, rows })
    }

    async fn complete(&self, prefix: &str) -> Vec<String> {
        Session::complete(self, prefix).await
    }
}
