//! What somebody answered, read up to a limit.

use bytes::{Bytes, BytesMut};
use reqwest::header::HeaderMap;
use reqwest::{Response, StatusCode};
use serde::de::DeserializeOwned;

use super::EgressError;
use super::error::Stopped;

/// A whole answer. A redirect is one too.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Answer {
    pub(super) async fn read(mut response: Response, body_max: usize) -> Result<Self, Stopped> {
        let announced = response.content_length().unwrap_or(0);
        if announced > body_max as u64 {
            return Err(Stopped::TooLarge(body_max));
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > body_max {
                return Err(Stopped::TooLarge(body_max));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Self {
            status: response.status(),
            headers: std::mem::take(response.headers_mut()),
            body: body.freeze(),
        })
    }

    /// Its body as a JSON document.
    ///
    /// # Errors
    /// If it is no such document.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, EgressError> {
        serde_json::from_slice(&self.body).map_err(EgressError::Malformed)
    }
}
