//! `subscriptions/listen`: an acknowledgement, then changes, then a closing result.
//!
//! Spec: 2026-07-28 basic/patterns/subscriptions. Every message names the listen request; nothing
//! is sent that was not asked for and acknowledged; progress and log messages never travel here.

use std::fmt::Write as _;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::identity::Caller;
use crate::protocol::capabilities::ClientCapability;
use crate::protocol::encode;
use crate::protocol::jsonrpc::{Request, RequestId};
use crate::protocol::meta::{DeclaredClient, SERVER_INFO_KEY};
use crate::protocol::raw::RawJson;
use crate::protocol::subscription::{self, SubscriptionFilter};
use crate::protocol::version::ProtocolVersion;
use crate::runtime::queue::Closed;
use crate::service::changes::Watch;
use crate::service::event::{Event, EventSender};
use crate::service::{Service, ServiceError};

/// An accepted listen request.
pub struct Listening {
    id: RequestId,
    service: Arc<dyn Service>,
    caller: Arc<Caller>,
    watch: Watch,
    server_info: RawJson,
}

impl std::fmt::Debug for Listening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listening")
            .field("id", &self.id)
            .field("watch", &self.watch)
            .finish_non_exhaustive()
    }
}

impl Listening {
    /// Reads the request and starts to watch.
    ///
    /// # Errors
    /// [`ServiceError`] when the filter cannot be read or watched.
    pub async fn begin(
        request: &Request,
        client: &DeclaredClient,
        service: &Arc<dyn Service>,
        caller: &Arc<Caller>,
    ) -> Result<Self, ServiceError> {
        let filter = SubscriptionFilter::of(&request.params)
            .map_err(|error| ServiceError::InvalidParams(error.to_string()))?;
        if !filter.task_ids.is_empty() && !client.capabilities.tasks {
            return Err(ServiceError::MissingCapability(ClientCapability::Tasks));
        }
        Ok(Self {
            id: request.id.clone(),
            service: service.clone(),
            caller: caller.clone(),
            watch: service.watch(caller, filter).await?,
            server_info: service.describe(caller).info_json.clone(),
        })
    }

    /// Speaks until the client goes or cancels, or until `end`: then it says that it ends.
    pub async fn speak(
        self,
        to: &EventSender,
        cancel: CancellationToken,
        end: impl Future<Output = ()>,
    ) {
        if self.acknowledge(to).await.is_err() {
            return;
        }
        // A stream that will never say anything helps nobody.
        let ends_by_itself = self.watch.honoured().is_empty();
        let graceful = tokio::select! {
            biased;
            () = cancel.cancelled() => false,
            () = to.closed() => false,
            () = end => true,
            () = std::future::ready(()), if ends_by_itself => true,
            _closed = self.tell_changes(to), if !ends_by_itself => false,
        };
        if graceful {
            let _gone = send(to, self.closing_result()).await;
        }
    }

    async fn acknowledge(&self, to: &EventSender) -> Result<(), Closed> {
        let acknowledgement = subscription::acknowledgement(&self.id, self.watch.honoured());
        send(to, encode::notification(&acknowledgement)).await
    }

    async fn tell_changes(&self, to: &EventSender) -> Result<(), Closed> {
        loop {
            for change in self.watch.changed().await {
                let telling = self
                    .service
                    .tell(&self.caller, ProtocolVersion::NEWEST, &change);
                if let Some(notification) = telling.await {
                    let notification = subscription::on_listen(&notification, &self.id);
                    send(to, encode::notification(&notification)).await?;
                }
            }
        }
    }

    fn closing_result(&self) -> String {
        let meta = RawJson::of(&subscription::subscription_meta(&self.id));
        let mut text = String::from(r#""_meta":{"#);
        text.push_str(meta.members().unwrap_or(""));
        write!(
            text,
            r#","{SERVER_INFO_KEY}":{}}}"#,
            self.server_info.as_str()
        )
        .expect("invariant: writing to memory does not fail");
        encode::result(&self.id, &[r#""resultType":"complete""#, &text])
    }
}

async fn send(to: &EventSender, text: String) -> Result<(), Closed> {
    to.send(Event::Message {
        seq: None,
        data: text.into(),
    })
    .await
}
