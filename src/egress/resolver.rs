//! What a host's name means, less the addresses that may not be connected to.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::reach::Reach;

/// No address of a host may be connected to.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{host} is at {address}, which is {}", .reach.complaint())]
pub struct OutOfReach {
    host: String,
    /// One of them.
    address: IpAddr,
    reach: Reach,
}

/// Gives only addresses within reach: what is connected to is what was checked.
#[derive(Clone)]
pub(super) struct Checked {
    reach: Reach,
    inner: Arc<dyn Resolve>,
}

/// What the system says.
pub(super) struct System;

impl Checked {
    pub(super) fn new(reach: Reach, inner: Arc<dyn Resolve>) -> Self {
        Self { reach, inner }
    }
}

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let (reach, host) = (self.reach, name.as_str().to_owned());
        let resolving = self.inner.resolve(name);
        Box::pin(async move {
            let (within, beyond): (Vec<_>, Vec<_>) = resolving
                .await?
                .partition(|address: &SocketAddr| reach.admits(address.ip()));
            match beyond.first() {
                Some(address) if within.is_empty() => Err(OutOfReach {
                    host,
                    address: address.ip(),
                    reach,
                }
                .into()),
                Some(_) | None => Ok(Box::new(within.into_iter()) as Addrs),
            }
        })
    }
}

impl Resolve for System {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // The port is set where the connection is made.
            let addresses = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(Box::new(addresses.collect::<Vec<_>>().into_iter()) as Addrs)
        })
    }
}
