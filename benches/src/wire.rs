//! A client that reads results over the wire and counts their rows, the same for every server.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use arrow::array::RecordBatch;
use arrow_flight::sql::client::{FlightSqlServiceClient, PreparedStatement};
use arrow_flight::{FlightInfo, Ticket};
use futures::TryStreamExt;
use tonic::transport::{Channel, Endpoint};

/// Bytes that may be under way to us, so that no server waits for our leave.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// A connection.
#[derive(Debug)]
pub struct Client {
    flight: FlightSqlServiceClient<Channel>,
}

/// A statement that the server has prepared.
#[derive(Debug)]
pub struct Prepared {
    statement: PreparedStatement<Channel>,
}

impl Client {
    /// Connects, without TLS and login.
    pub async fn connect(address: SocketAddr) -> Result<Self> {
        let channel = Endpoint::from_shared(format!("http://{address}"))?
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .connect()
            .await?;
        Ok(Self { flight: FlightSqlServiceClient::new(channel) })
    }

    /// Runs a text to its last row; the number of rows.
    pub async fn query(&mut self, sql: &str) -> Result<usize> {
        let info = self.flight.execute(sql.to_owned(), None).await?;
        self.read(info).await
    }

    /// Prepares a text.
    pub async fn prepare(&mut self, sql: &str) -> Result<Prepared> {
        Ok(Prepared { statement: self.flight.prepare(sql.to_owned(), None).await? })
    }

    /// Runs a prepared statement with these parameters to its last row; the number of rows.
    pub async fn run(&mut self, prepared: &Prepared, parameters: RecordBatch) -> Result<usize> {
        // What was bound goes into the handle: the next execution begins with the bare one.
        let mut statement = prepared.statement.clone();
        statement.set_parameters(parameters)?;
        let info = statement.execute().await?;
        self.read(info).await
    }

    async fn read(&mut self, info: FlightInfo) -> Result<usize> {
        let mut rows = 0;
        for endpoint in info.endpoint {
            rows += self.fetch(endpoint.ticket.context("an endpoint without a ticket")?).await?;
        }
        Ok(rows)
    }

    /// Reads and decodes what a ticket stands for; the number of rows.
    pub async fn fetch(&mut self, ticket: Ticket) -> Result<usize> {
        let mut batches = self.flight.do_get(ticket).await?;
        let mut rows = 0;
        while let Some(batch) = batches.try_next().await? {
            rows += batch.num_rows();
        }
        Ok(rows)
    }
}
