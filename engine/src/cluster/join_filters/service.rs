//! Where other workers of the cluster leave the parts of filters: one request each, without gRPC.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use http_body_util::{BodyExt, Limited};
use prost::Message;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response, StatusCode};
use tonic::codegen::{BoxFuture, Service};
use tonic::server::NamedService;

use super::desk::Desk;
use super::message::FilterMessage;
use crate::cluster::node::{NODE_HEADER, NodeAuth, check_version};

/// The one method.
pub(super) const PUT_PATH: &str = "/fjord.JoinFilters/Put";
/// Bytes of a request at most.
const REQUEST_BYTES_MAX: usize = 16 << 20;

/// Takes parts from nodes that know the secret and are the same version.
#[derive(Clone, Debug)]
pub(crate) struct JoinFilterService {
    auth: Arc<dyn NodeAuth>,
    fingerprint: Arc<str>,
    desk: Desk,
}

impl JoinFilterService {
    pub(crate) fn new(auth: Arc<dyn NodeAuth>, fingerprint: Arc<str>, desk: Desk) -> Self {
        Self { auth, fingerprint, desk }
    }

    async fn answer(self, request: Request<Body>) -> StatusCode {
        let signature = request.headers().get(NODE_HEADER).and_then(|value| value.to_str().ok());
        if let Err(problem) = self.auth.check(signature) {
            tracing::warn!(%problem, "a join's filter was refused");
            return StatusCode::UNAUTHORIZED;
        }
        if let Err(problem) = check_version(request.headers(), &self.fingerprint) {
            tracing::warn!(%problem, "a join's filter was refused");
            return StatusCode::PRECONDITION_FAILED;
        }
        if request.uri().path() != PUT_PATH {
            return StatusCode::NOT_FOUND;
        }
        let body = Limited::new(request.into_body(), REQUEST_BYTES_MAX);
        let Ok(body) = body.collect().await else { return StatusCode::PAYLOAD_TOO_LARGE };
        let put = FilterMessage::decode(body.to_bytes())
            .map_err(|e| e.to_string())
            .and_then(|message| self.desk.put(message));
        match put {
            Ok(()) => StatusCode::OK,
            Err(problem) => {
                tracing::warn!(%problem, "a join's filter was refused");
                StatusCode::BAD_REQUEST
            }
        }
    }
}

impl NamedService for JoinFilterService {
    const NAME: &'static str = "fjord.JoinFilters";
}

impl Service<Request<Body>> for JoinFilterService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Response<Body>, Infallible>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = service.answer(request).await;
            Ok(response)
        })
    }
}
