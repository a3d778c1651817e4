//! An issuer of access tokens: a key that signs them, and a page with its public half.
//!
//! The page is served by this process for as long as the [`Issuer`] lives. A server reads it when it
//! meets the first token, and now and then later; it is no part of what a call costs.

use std::net::SocketAddr;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use crate::failure::Failure;

/// What tokens are for.
pub(crate) const AUDIENCE: &str = "loadtest";
/// The group that everybody belongs to.
pub(crate) const GROUP: &str = "callers";

/// How long a token is good: longer than any run.
const LIFE_SECS: u64 = 48 * 60 * 60;
/// The largest request for the page.
const REQUEST_MAX: usize = 8 * 1024;
/// By which name tokens say what signed them.
const KEY_ID: &str = "loadtest";

/// See the module docs.
pub(crate) struct Issuer {
    key: EncodingKey,
    address: SocketAddr,
    serving: AbortHandle,
}

impl Issuer {
    /// Makes a key and serves its page.
    pub(crate) async fn start() -> Result<Self, Failure> {
        let refused = || std::io::Error::other("the key was refused");
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
        let der = pair
            .and_then(|pair| pair.to_pkcs8v1())
            .map_err(|_| refused());
        let der = der.map_err(Failure::own("making a key"))?;
        let key = EncodingKey::from_ec_der(der.as_ref());
        let page = page(&key).map_err(|_| refused());
        let page = page.map_err(Failure::own("writing down a key"))?;
        let listening = async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            Ok((listener.local_addr()?, listener))
        };
        let listening: Result<_, std::io::Error> = listening.await;
        let (address, listener) = listening.map_err(Failure::own("serving keys"))?;
        let serving = tokio::task::spawn_local(serve(listener, page)).abort_handle();
        Ok(Self {
            key,
            address,
            serving,
        })
    }

    /// What its tokens have as `iss`.
    pub(crate) fn identifier(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where its keys are.
    pub(crate) fn keys_url(&self) -> String {
        format!("{}/keys", self.identifier())
    }

    /// The header of a caller who has logged in, as one in use has: a person, their groups, their
    /// scopes.
    pub(crate) fn bearer(&self) -> Result<String, Failure> {
        let now = jsonwebtoken::get_current_timestamp();
        let header = Header {
            typ: Some("at+jwt".to_owned()),
            kid: Some(KEY_ID.to_owned()),
            ..Header::new(Algorithm::ES256)
        };
        let claims = json!({
            "iss": self.identifier(),
            "aud": AUDIENCE,
            "sub": "00u1a2b3c4d5e6f7g8h9",
            "client_id": "loadtest",
            "iat": now,
            "exp": now + LIFE_SECS,
            "jti": "AT.7f3d0c6e-95a1-4b0e-8c62-1d2f3a4b5c6d",
            "scope": "openid profile mcp:tools mcp:tools:write",
            "groups": ["everybody", GROUP, "engineering"],
        });
        let token = jsonwebtoken::encode(&header, &claims, &self.key);
        let token = token.map_err(std::io::Error::other);
        let token = token.map_err(Failure::own("signing a token"))?;
        Ok(format!("Authorization: Bearer {token}\r\n"))
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn page(key: &EncodingKey) -> jsonwebtoken::errors::Result<String> {
    let mut public = Jwk::from_encoding_key(key, Algorithm::ES256)?;
    public.common.key_id = Some(KEY_ID.to_owned());
    Ok(serde_json::to_string(&JwkSet { keys: vec![public] })?)
}

/// Answers whoever comes, one after the other.
async fn serve(listener: TcpListener, page: String) {
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{page}",
        page.len()
    );
    while let Ok((connection, _)) = listener.accept().await {
        // Who hangs up comes again.
        let _gone = answer_one(connection, answer.as_bytes()).await;
    }
}

async fn answer_one(mut connection: TcpStream, answer: &[u8]) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|window| window == b"\r\n\r\n") && request.len() < REQUEST_MAX {
        if connection.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    connection.write_all(answer).await?;
    connection.shutdown().await
}
