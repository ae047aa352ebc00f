//! From a request's header or certificate to who sends it.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use tonic::Status;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use zeroize::Zeroizing;

use super::access::Access;
use super::credentials::Credentials;
use super::identity::{Identity, Principal, Proof, TokenId};
use super::jwt::{Jwt, Verified};
use super::keyed::Keyed;
use super::login::Login;
use super::tokens::{Full, Tokens};
use crate::config::{AuthConfig, Grant};
use crate::tls::Peer;

/// Who everybody is where nobody has to say.
const ANONYMOUS: &str = "anonymous";

/// Knows who may come in, and whom it has let in.
#[derive(Debug)]
pub(crate) struct Authenticator {
    config: AuthConfig,
    login: Option<Login>,
    jwt: Option<Jwt>,
    tokens: Tokens,
    keyed: Keyed,
    anonymous: Principal,
}

/// What a handshake gives.
#[derive(Debug)]
pub(crate) struct Granted {
    /// Who has come in; its token is the new one.
    pub(crate) identity: Identity,
    /// `Bearer …`, for the `authorization` header of the answer; marked as sensitive.
    pub(crate) authorization: AsciiMetadataValue,
}

impl Authenticator {
    /// Reads the files that the configuration names. Blocks.
    ///
    /// # Errors
    /// For a password file or public key that cannot be read.
    pub(crate) fn open(config: AuthConfig) -> Result<Self> {
        let login = config.passwords.as_deref().map(Login::open).transpose()?;
        let jwt = config.jwt.clone().map(Jwt::new).transpose()?;
        let tokens = Tokens::new(config.token_idle, config.token_life);
        let user: Arc<str> = ANONYMOUS.into();
        let access = Arc::new(Access::new(Arc::clone(&user), vec![Grant::Admin]));
        let anonymous = Principal { user, access, proof: Proof::None, expires: None };
        Ok(Self { config, login, jwt, tokens, keyed: Keyed::new(), anonymous })
    }

    /// Whether anybody has to say who they are.
    pub(crate) fn is_on(&self) -> bool {
        self.config.is_on()
    }

    /// Lets somebody in and gives them a token of their own, which stands for their session.
    ///
    /// # Errors
    /// As [`Self::authenticate`]; `RESOURCE_EXHAUSTED` when too many tokens are out.
    pub(crate) async fn handshake(
        &self,
        metadata: &MetadataMap,
        peer: &Peer,
    ) -> Result<Granted, Status> {
        let (principal, _) = self.principal(metadata, peer).await?;
        let issued = self.tokens.issue(principal.clone(), Instant::now());
        let (token, id) = issued.map_err(|Full| {
            Status::resource_exhausted("too many sessions: close some, or wait until they end")
        })?;
        let header = Zeroizing::new(format!("Bearer {}", *token));
        let mut authorization: AsciiMetadataValue =
            header.parse().map_err(|_| Status::internal("the token cannot be sent"))?;
        authorization.set_sensitive(true);
        Ok(Granted { identity: principal.identity(Some(id)), authorization })
    }

    /// Who sends a request: called for each.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` when nothing, or nothing valid, says who; `PERMISSION_DENIED` for somebody
    /// without a role; `RESOURCE_EXHAUSTED` after too many failures.
    pub(crate) async fn authenticate(
        &self,
        metadata: &MetadataMap,
        peer: &Peer,
    ) -> Result<Identity, Status> {
        let (principal, token) = self.principal(metadata, peer).await?;
        Ok(principal.identity(token))
    }

    /// Ends a token: its session was closed.
    pub(crate) fn forget(&self, token: TokenId) {
        self.tokens.end(&token);
    }

    async fn principal(
        &self,
        metadata: &MetadataMap,
        peer: &Peer,
    ) -> Result<(Principal, Option<TokenId>), Status> {
        if !self.is_on() {
            return Ok(self.anybody(metadata));
        }
        match Credentials::of(metadata)? {
            Credentials::Bearer(token) if Tokens::is_ours(&token) => {
                self.by_token(&token, peer).await
            }
            Credentials::Bearer(token) => self.by_jwt(&token).await,
            Credentials::Basic { user, password } => {
                self.by_password(&user, password, peer).await.map(|p| (p, None))
            }
            Credentials::Nothing => self.by_certificate(peer).map(|p| (p, None)),
        }
    }

    /// Where nobody has to say who they are, tokens tell sessions apart and nothing else counts.
    fn anybody(&self, metadata: &MetadataMap) -> (Principal, Option<TokenId>) {
        let token = match Credentials::of(metadata) {
            Ok(Credentials::Bearer(token)) => self.tokens.find(&token, Instant::now()),
            _ => None,
        };
        (self.anonymous.clone(), token.map(|(_, id)| id))
    }

    async fn by_token(
        &self,
        token: &str,
        peer: &Peer,
    ) -> Result<(Principal, Option<TokenId>), Status> {
        let ended = || Status::unauthenticated("the session has ended: log in again");
        let (principal, id) = self.tokens.find(token, Instant::now()).ok_or_else(ended)?;
        let is_valid = match principal.proof {
            Proof::Password(fingerprint) => match &self.login {
                Some(login) => login.is_current(&principal.user, fingerprint).await,
                None => false,
            },
            // Only over a connection that shows the same certificate.
            Proof::Certificate => certificate_name(peer) == Some(&*principal.user),
            Proof::Jwt => true,
            Proof::None => false,
        };
        if is_valid {
            return Ok((principal, Some(id)));
        }
        if matches!(principal.proof, Proof::Password(_)) {
            self.tokens.end(&id);
        }
        Err(ended())
    }

    async fn by_jwt(&self, token: &str) -> Result<(Principal, Option<TokenId>), Status> {
        let Some(jwt) = &self.jwt else {
            return Err(Status::unauthenticated("the bearer token is not one of this server's"));
        };
        let Verified { user, grants, expires } = jwt.verify(token).await?;
        let hash = self.keyed.hash(&[b"jwt", token.as_bytes()]);
        let mut id = [0; 16];
        id.copy_from_slice(&hash[..16]);
        let principal = self.admit(&user, grants, Proof::Jwt, Some(expires))?;
        Ok((principal, Some(TokenId(id))))
    }

    async fn by_password(
        &self,
        user: &str,
        password: Zeroizing<String>,
        peer: &Peer,
    ) -> Result<Principal, Status> {
        let Some(login) = &self.login else {
            return Err(Status::unauthenticated("this server takes no passwords"));
        };
        let fingerprint = login.verify(user, password, peer).await?;
        self.admit(user, Vec::new(), Proof::Password(fingerprint), None)
    }

    fn by_certificate(&self, peer: &Peer) -> Result<Principal, Status> {
        if self.config.mtls.is_some() {
            if let Some(user) = certificate_name(peer) {
                return self.admit(user, Vec::new(), Proof::Certificate, None);
            }
            if peer.certificate.is_some() {
                let problem = "the client certificate names no user: it takes one common name";
                return Err(Status::unauthenticated(problem));
            }
        }
        let mut accepted = Vec::new();
        if self.login.is_some() {
            accepted.push("user and password");
        }
        if self.jwt.is_some() || self.login.is_some() {
            accepted.push("a bearer token");
        }
        if self.config.mtls.is_some() {
            accepted.push("a client certificate");
        }
        let accepted = accepted.join(" or ");
        Err(Status::unauthenticated(format!("nothing says who you are: send {accepted}")))
    }

    /// Gives somebody their roles: those that they bring and those of their section, else the
    /// default.
    fn admit(
        &self,
        user: &str,
        brought: Vec<Grant>,
        proof: Proof,
        expires: Option<Instant>,
    ) -> Result<Principal, Status> {
        let mut grants = brought;
        grants.extend(self.config.users.get(user).cloned());
        if grants.is_empty() {
            grants.extend(self.config.default_role.clone());
        }
        if grants.is_empty() {
            return Err(Status::permission_denied(format!(
                "user {user:?} has no role on this server: it takes a section [user.NAME] or auth.default_role"
            )));
        }
        let user: Arc<str> = user.into();
        let access = Arc::new(Access::new(Arc::clone(&user), grants));
        Ok(Principal { user, access, proof, expires })
    }

    #[cfg(test)]
    pub(super) fn login(&self) -> &Login {
        self.login.as_ref().unwrap()
    }

    #[cfg(test)]
    pub(super) fn jwt(&self) -> &Jwt {
        self.jwt.as_ref().unwrap()
    }
}

fn certificate_name(peer: &Peer) -> Option<&str> {
    peer.certificate.as_ref().and_then(|certificate| certificate.name())
}
