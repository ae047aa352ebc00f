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

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;
    use crate::cluster::node::VERSION_HEADER;

    #[derive(Debug)]
    struct Known;

    impl NodeAuth for Known {
        fn sign(&self) -> String {
            "known".to_owned()
        }

        fn check(&self, signature: Option<&str>) -> Result<(), String> {
            match signature {
                Some("known") => Ok(()),
                _ => Err("unknown".to_owned()),
            }
        }
    }

    async fn put(signature: &str, version: &str, body: Vec<u8>) -> StatusCode {
        let service = JoinFilterService::new(Arc::new(Known), "this".into(), Desk::default());
        let request = Request::post(PUT_PATH)
            .header(NODE_HEADER, signature)
            .header(VERSION_HEADER, version)
            .body(Body::new(Full::new(bytes::Bytes::from(body))));
        service.answer(request.unwrap()).await
    }

    #[tokio::test]
    async fn only_nodes_of_the_cluster_leave_something() {
        let message = FilterMessage {
            attempt: "a".to_owned(),
            filter: 1,
            task: 0,
            tasks: 1,
            part: vec![0; 10],
        };
        let message = message.encode_to_vec();
        assert_eq!(put("known", "this", message.clone()).await, StatusCode::OK);
        assert_eq!(put("stranger", "this", message.clone()).await, StatusCode::UNAUTHORIZED);
        assert_eq!(put("known", "other", message.clone()).await, StatusCode::PRECONDITION_FAILED);
        assert_eq!(put("known", "this", vec![0xff; 20]).await, StatusCode::BAD_REQUEST);
        let large = vec![0; REQUEST_BYTES_MAX + 1];
        assert_eq!(put("known", "this", large).await, StatusCode::PAYLOAD_TOO_LARGE);
    }
}
