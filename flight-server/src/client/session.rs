//! A session on a server: who one is there, and the calls that it is made of.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::ProstMessageExt;
use arrow_flight::{Action, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, Ticket};
use futures::stream;
use prost::Message;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};

use super::address::Address;
use super::arguments::RemoteOptions;
use super::channel;
use super::cookies::Cookies;
use super::credentials::Credentials;
use super::failure::{Failure, FailureKind, HOW_TO_LOG_IN};
use super::messages::{CLOSE_SESSION, GET_SESSION_OPTIONS, GetSessionOptionsResult};
use crate::progress::PROGRESS_KEY;

/// One message may hold one long value; the server cuts everything else into small ones.
const MESSAGE_BYTES_MAX: usize = 256 << 20;
/// A password takes long to check on purpose; a server that hangs takes longer.
const LOGIN_MAX: Duration = Duration::from_secs(30);
/// Nobody waits longer to leave.
const CLOSE_MAX: Duration = Duration::from_secs(2);
const AUTHORIZATION: &str = "authorization";
/// Asks for columns as the engine has them, rather than in types that every tool reads.
const PROFILE: (&str, &str) = ("fjord-output-profile", "native");

/// A session. Calls may overlap; dropping one cancels it on the server.
#[derive(Clone, Debug)]
pub(crate) struct RemoteSession {
    stub: FlightServiceClient<Channel>,
    address: Arc<Address>,
    authorization: Option<MetadataValue<Ascii>>,
    cookies: Arc<Mutex<Cookies>>,
}

impl RemoteSession {
    /// Connects and logs in.
    ///
    /// # Errors
    /// When there is no server, none that this client can talk with, or none that lets it in.
    pub(crate) async fn open(options: &RemoteOptions) -> Result<Self, Failure> {
        let channel = channel::connect(options).await?;
        let mut session = Self {
            stub: FlightServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX),
            address: Arc::new(options.address.clone()),
            authorization: None,
            cookies: Arc::default(),
        };
        let login = tokio::time::timeout(LOGIN_MAX, session.log_in(&options.credentials)).await;
        match login {
            Ok(Ok(())) => Ok(session),
            Ok(Err(status)) => Err(session.why(&options.credentials, &status).await),
            Err(_elapsed) => {
                let text = format!("{}: no answer to the login", session.address);
                Err(Failure::new(FailureKind::Connection, text))
            }
        }
    }

    /// Where it is.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    async fn log_in(&mut self, credentials: &Credentials) -> Result<(), Status> {
        if let Some(header) = credentials.authorization() {
            let mut header = MetadataValue::try_from(header.as_str())
                .map_err(|_| Status::unauthenticated("found characters that no login has"))?;
            header.set_sensitive(true);
            self.authorization = Some(header);
        }
        if matches!(credentials, Credentials::Password { .. }) {
            self.authorization = Some(self.shake_hands().await?);
        }
        // Says at once whether the connection works and the login holds, and begins the session.
        match self.session_options().await {
            Err(status) if status.code() != tonic::Code::Unimplemented => Err(status),
            _ => Ok(()),
        }
    }

    /// Exchanges the password for a token, which comes in a header or a trailer.
    async fn shake_hands(&self) -> Result<MetadataValue<Ascii>, Status> {
        let mut request = Request::new(stream::empty::<HandshakeRequest>());
        self.decorate(request.metadata_mut());
        let response = self.stub.clone().handshake(request).await?;
        self.learn(response.metadata());
        let header = response.metadata().get(AUTHORIZATION).cloned();
        let mut answers = response.into_inner();
        let trailers = answers.trailers().await?;
        let mut token = header
            .or_else(|| trailers.and_then(|t| t.get(AUTHORIZATION).cloned()))
            .ok_or_else(|| Status::unauthenticated("the handshake brought no token"))?;
        token.set_sensitive(true);
        Ok(token)
    }

    /// Why there is no session.
    async fn why(&self, credentials: &Credentials, status: &Status) -> Failure {
        let failure = Failure::of_status(&self.address, status);
        let (address, said) = (&self.address, status.message());
        let text = match failure.kind {
            FailureKind::Connection if status.source().is_some() => {
                channel::why(address, status).await
            }
            FailureKind::Login => match credentials {
                Credentials::Anonymous => format!("{address} wants a login: {HOW_TO_LOG_IN}"),
                Credentials::Password { user, .. } => {
                    format!("{address} does not accept the login of user {user:?}: {said}")
                }
                Credentials::Token(_) => format!("{address} does not accept the token: {said}"),
            },
            _ => return failure,
        };
        Failure::new(failure.kind, text)
    }

    /// Asks what a command will come to. For a statement that changes something, this runs it.
    ///
    /// # Errors
    /// The statement's own, and those of the connection.
    pub(crate) async fn info(&self, command: &impl ProstMessageExt) -> Result<FlightInfo, Failure> {
        let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
        let answer = self.stub.clone().get_flight_info(self.request(descriptor)).await;
        let response = answer.map_err(|status| Failure::of_status(&self.address, &status))?;
        self.learn(response.metadata());
        Ok(response.into_inner())
    }

    /// Fetches what a ticket stands for, and on the way how far it is.
    pub(super) async fn fetch(&self, ticket: Ticket) -> Result<Streaming<FlightData>, Failure> {
        let mut request = self.request(ticket);
        request.metadata_mut().insert(PROGRESS_KEY, MetadataValue::from_static("true"));
        let answer = self.stub.clone().do_get(request).await;
        let response = answer.map_err(|status| Failure::of_status(&self.address, &status))?;
        self.learn(response.metadata());
        Ok(response.into_inner())
    }

    /// The session's options that are texts, such as `catalog` and `schema`.
    ///
    /// # Errors
    /// Those of the call.
    pub(super) async fn session_options(&self) -> Result<HashMap<String, String>, Status> {
        let body = self.act(GET_SESSION_OPTIONS).await?;
        let answer = GetSessionOptionsResult::decode(body.as_slice())
            .map_err(|e| Status::internal(e.to_string()))?;
        let texts = answer.session_options.into_iter();
        Ok(texts.filter_map(|(name, value)| Some((name, value.string_value?))).collect())
    }

    /// Ends the session. A server that has gone has ended it already.
    pub(crate) async fn close(&self) {
        match tokio::time::timeout(CLOSE_MAX, self.act(CLOSE_SESSION)).await {
            Ok(Ok(_)) => {}
            Ok(Err(e)) => tracing::debug!(error = %e, "session not closed"),
            Err(_elapsed) => tracing::debug!("session not closed in time"),
        }
    }

    /// Runs an action that takes nothing and answers once.
    async fn act(&self, action: &str) -> Result<Vec<u8>, Status> {
        let action = Action { r#type: action.to_owned(), body: bytes::Bytes::new() };
        let response = self.stub.clone().do_action(self.request(action)).await?;
        self.learn(response.metadata());
        let answer = response.into_inner().message().await?;
        Ok(answer.map(|result| result.body.to_vec()).unwrap_or_default())
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        self.decorate(request.metadata_mut());
        request
    }

    fn decorate(&self, headers: &mut MetadataMap) {
        headers.insert(PROFILE.0, MetadataValue::from_static(PROFILE.1));
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        let cookies = self.cookies.lock().unwrap_or_else(PoisonError::into_inner).header();
        if let Some(Ok(cookies)) = cookies.map(MetadataValue::try_from) {
            headers.insert("cookie", cookies);
        }
    }

    fn learn(&self, response: &MetadataMap) {
        self.cookies.lock().unwrap_or_else(PoisonError::into_inner).learn(response);
    }
}
