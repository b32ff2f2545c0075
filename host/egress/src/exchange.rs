//! An exchange from its request to its response. The steps are types, each made only by the one before:
//! [`Request`] → [`Permitted`](crate::Permitted) → [`Resolved`](crate::Resolved) → [`Connected`](crate::Connected) →
//! [`Injected`] → [`Scrubbed`].

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use hyper::body::Incoming;

use crate::connect::Client;
use crate::credential::Credential;
use crate::decode::Decoder;
use crate::error::{EgressError, ResponseError, Stage};
use crate::inject::{Injected, Sending};
use crate::outgoing::{Outgoing, Progress};
use crate::policy::Policy;
use crate::redirect::Redirects;
use crate::request::{Request, remove_hop_by_hop};
use crate::response::{ResponseBody, Scrubbed};
use crate::revoked::Revoked;

impl Client {
    /// Sends a request, and gives back the head of the response; the body comes as it is read. Dropping the future or
    /// the body closes the connection.
    pub async fn exchange(
        &self,
        policy: &Arc<Policy>,
        mut request: Request,
        credential: Option<Arc<Credential>>,
        mut revoked: Revoked,
    ) -> Result<Scrubbed, EgressError> {
        request.body = revoked.clone().cuts(request.body);
        let mut scrubbed = tokio::select! {
            biased;
            () = revoked.fired() => return Err(EgressError::Revoked),
            scrubbed = self.follow(policy, request, credential) => scrubbed?,
        };
        scrubbed.0.body_mut().end_when(revoked);
        Ok(scrubbed)
    }

    async fn follow(
        &self,
        policy: &Arc<Policy>,
        mut request: Request,
        credential: Option<Arc<Credential>>,
    ) -> Result<Scrubbed, EgressError> {
        let mut redirects = Redirects::of(&request, policy.limits.redirects_max, credential);
        loop {
            let scrubbed = self.once(policy, request, redirects.credential()).await?;
            match redirects.next(&scrubbed.0, policy) {
                Some(next) => request = next,
                None => return Ok(scrubbed),
            }
        }
    }

    async fn once(
        &self,
        policy: &Arc<Policy>,
        request: Request,
        credential: Option<Arc<Credential>>,
    ) -> Result<Scrubbed, EgressError> {
        let permitted = policy.permit(request, credential)?;
        let connected = self.connect(permitted).await?;
        let injected = connected.inject().await?;
        injected.send().await
    }
}

impl Injected {
    /// The one way to a [`Scrubbed`].
    pub async fn send(self) -> Result<Scrubbed, EgressError> {
        let Self { request, sending } = self;
        let progress = Arc::clone(&sending.progress);
        let time = sending.target.policy.limits.first_byte();
        let sent = tokio::select! {
            biased;
            sent = sending.answered(request) => sent,
            () = stood_still(&progress, time) => Err(EgressError::Time(Stage::FirstByte)),
        };
        if sent.is_err() {
            progress.end();
        }
        sent
    }
}

impl Sending {
    async fn answered(mut self, request: http::Request<Outgoing>) -> Result<Scrubbed, EgressError> {
        let response = self.sent(request).await?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(EgressError::Response(ResponseError::Upgrade));
        }
        let (mut head, body) = response.into_parts();
        head.extensions.clear();
        let is_credentialed = self.target.credential.is_some();
        let decoder = if is_credentialed { Decoder::of(&head.headers).map_err(EgressError::Response)? } else { None };
        remove_hop_by_hop(&mut head.headers);
        if decoder.is_some() {
            head.headers.remove(http::header::CONTENT_ENCODING);
        }
        if let Some(scrubber) = &self.scrubber {
            head.headers.remove(http::header::CONTENT_LENGTH);
            scrubber.headers(&mut head.headers);
        }
        let body = ResponseBody::new(self, body, decoder)?;
        Ok(Scrubbed(http::Response::from_parts(head, body)))
    }

    /// Sends it, and once more if the connection had waited and was closed before anything of it was sent.
    async fn sent(&mut self, mut request: http::Request<Outgoing>) -> Result<http::Response<Incoming>, EgressError> {
        loop {
            self.link.line.address(&mut request)?;
            let mut failed = match self.link.line.send(request).await {
                Ok(response) => return Ok(response),
                Err(failed) => failed,
            };
            match failed.take_message() {
                Some(unsent) if self.link.was_kept => {
                    request = unsent;
                    Box::pin(self.link.renew(&self.target)).await?;
                    self.progress.moved();
                }
                _ => {
                    let fault = self.progress.fault().map(EgressError::RequestBody);
                    return Err(fault.unwrap_or_else(|| failed.into_error().into()));
                }
            }
        }
    }
}

/// Ends when nothing was sent for this long.
async fn stood_still(progress: &Progress, time: Duration) {
    loop {
        let still = progress.still();
        match time.checked_sub(still).filter(|left| !left.is_zero()) {
            None => return,
            Some(left) => tokio::time::sleep(left).await,
        }
    }
}
