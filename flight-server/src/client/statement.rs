//! One statement on a server: what it came to, and its rows as they come.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::sql::CommandStatementQuery;
use arrow_flight::{FlightEndpoint, FlightInfo};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};

use super::failure::Failure;
use super::outcome::{Outcome, OutcomeKind};
use super::received::Received;
use super::session::RemoteSession;
use crate::progress::Figures;

/// Rows on their way from a server.
pub(crate) type RemoteRows = BoxStream<'static, Result<RecordBatch, Failure>>;

/// What a statement came to.
pub(crate) enum Reply {
    /// A query's rows. The connection is used as they are read.
    Rows { schema: SchemaRef, rows: RemoteRows },
    /// So many rows were changed.
    Affected(u64),
    /// Something else was done.
    Done(String),
}

impl RemoteSession {
    /// Runs a statement. One that changes something has run when this returns; dropping it before
    /// that cancels it.
    ///
    /// # Errors
    /// The statement's own, and those of the connection.
    pub(crate) async fn run(&self, sql: &str, received: &Arc<Received>) -> Result<Reply, Failure> {
        let command = CommandStatementQuery { query: sql.to_owned(), transaction_id: None };
        let info = self.info(&command).await?;
        let outcome = Outcome::of(self.address(), &info)?;
        Ok(match outcome.kind {
            OutcomeKind::Affected => {
                Reply::Affected(u64::try_from(info.total_records).unwrap_or(0))
            }
            OutcomeKind::Done => Reply::Done(outcome.message),
            OutcomeKind::Rows => {
                let schema = self.announced(&info)?;
                let id = outcome.query_id;
                let rows = self.rows(info.endpoint, &schema, received);
                let rows = rows.map_err(move |failure| failure.of_query(id.as_deref())).boxed();
                Reply::Rows { schema, rows }
            }
        })
    }

    /// The schema that a server announced.
    pub(super) fn announced(&self, info: &FlightInfo) -> Result<SchemaRef, Failure> {
        let schema = info.clone().try_decode_schema();
        schema.map(Arc::new).map_err(|e| Failure::protocol(self.address(), e))
    }

    /// The rows of all endpoints, in order.
    pub(super) fn rows(
        &self,
        endpoints: Vec<FlightEndpoint>,
        announced: &SchemaRef,
        received: &Arc<Received>,
    ) -> RemoteRows {
        let (session, announced) = (self.clone(), Arc::clone(announced));
        let received = Arc::clone(received);
        let parts = stream::iter(endpoints).then(move |endpoint| {
            let (session, announced) = (session.clone(), Arc::clone(&announced));
            let received = Arc::clone(&received);
            async move { session.part(endpoint, announced, received).await }
        });
        parts.try_flatten().boxed()
    }

    async fn part(
        &self,
        endpoint: FlightEndpoint,
        announced: SchemaRef,
        received: Arc<Received>,
    ) -> Result<RemoteRows, Failure> {
        let ticket = endpoint
            .ticket
            .ok_or_else(|| Failure::protocol(self.address(), "an endpoint without a ticket"))?;
        let messages = self.fetch(ticket).await?;
        let counted = Arc::clone(&received);
        let messages = messages.map_err(FlightError::from).try_filter_map(move |message| {
            let figures = Figures::in_message(&message);
            match figures {
                Some(figures) => counted.tell(figures),
                None => counted.add_bytes(message.data_header.len() + message.data_body.len()),
            }
            std::future::ready(Ok(figures.is_none().then_some(message)))
        });
        let address = self.address().clone();
        let rows = FlightRecordBatchStream::new_from_flight_data(messages).map(move |batch| {
            let batch = batch.map_err(|e| Failure::of_stream(&address, &e))?;
            if !is_as_announced(&announced, &batch.schema()) {
                let problem = "other columns than it had announced";
                return Err(Failure::protocol(&address, problem));
            }
            received.add_rows(batch.num_rows());
            Ok(batch)
        });
        Ok(rows.boxed())
    }
}

/// Whether columns are the same in names and types; what is shown of them depends on no more.
fn is_as_announced(announced: &Schema, sent: &Schema) -> bool {
    let columns = |schema: &Schema| {
        let column = |f: &arrow::datatypes::FieldRef| (f.name().clone(), f.data_type().clone());
        schema.fields().iter().map(column).collect::<Vec<_>>()
    };
    announced.fields() == sent.fields() || columns(announced) == columns(sent)
}
