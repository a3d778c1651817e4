//! What a person who starts the process is told: what is served, where, and how a client gets there.

use std::io::{self, Write};
use std::net::SocketAddr;

use crate::config::Settings;
use crate::config::settings::{BuiltinSet, EndpointSettings, Serves};
use crate::server::Server;

/// The text of the welcome, with the addresses the system gave.
pub(super) struct Welcome<'a> {
    pub(super) settings: &'a Settings,
    pub(super) servers: &'a [(String, Server)],
    pub(super) address: SocketAddr,
    pub(super) admin_address: Option<SocketAddr>,
    pub(super) store: &'a str,
}

impl Welcome<'_> {
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let scheme = |is_secure| if is_secure { "https" } else { "http" };
        let has_tls = self.settings.server.tls.is_some();
        let base = format!("{}://{}", scheme(has_tls), self.address);
        let url = self.settings.server.public_url.as_ref().unwrap_or(&base);
        writeln!(out, "switchboard {}", env!("CARGO_PKG_VERSION"))?;
        for endpoint in &self.settings.endpoints {
            let tools = match endpoint.serves {
                Serves::Builtin(BuiltinSet::Demo) => "demonstration tools".to_owned(),
                Serves::Builtin(BuiltinSet::Conformance) => "conformance tools".to_owned(),
                Serves::Own => self.named(&endpoint.name),
                Serves::Upstreams => self.upstreams(&endpoint.name),
                Serves::Nothing => "nothing yet".to_owned(),
            };
            writeln!(
                out,
                "  serving  {base}{}  ({tools}; every MCP revision)",
                endpoint.path
            )?;
        }
        if let Some(http_sse) = &self.settings.server.http_sse {
            writeln!(
                out,
                "  and      {base}{}  (HTTP+SSE, for clients of 2024-11-05)",
                http_sse.path
            )?;
        }
        let admin = match self.admin_address {
            None => base.clone(),
            Some(address) => format!("{}://{address}", scheme(self.settings.admin_tls)),
        };
        writeln!(out, "  admin    {admin}/health  /ready  /metrics")?;
        writeln!(out, "  store    {}", self.store)?;
        let ways = self.settings.auth.names();
        let asks = |endpoint: &EndpointSettings| !endpoint.ways.is_empty();
        if self.settings.endpoints.iter().all(asks) {
            writeln!(out, "  auth     {}", ways.join(", "))?;
        } else if self.address.ip().is_loopback() {
            writeln!(out, "  auth     none: only this machine can connect")?;
        } else {
            writeln!(
                out,
                "  auth     NONE: everybody who reaches {} can call",
                self.address
            )?;
        }
        let path = self
            .settings
            .main_endpoint()
            .map_or("/mcp", |endpoint| &endpoint.path);
        writeln!(out, "\nFor your client's configuration:")?;
        writeln!(
            out,
            r#"  {{"mcpServers": {{"switchboard": {{"type": "http", "url": "{url}{path}"}}}}}}"#
        )?;
        out.flush()
    }

    /// The upstreams of an endpoint.
    fn upstreams(&self, endpoint: &str) -> String {
        let gateway = &self.settings.gateway;
        let shown = gateway
            .endpoints
            .iter()
            .find(|shown| shown.name == endpoint);
        shown.map_or_else(String::new, |shown| shown.upstreams.join(", "))
    }

    /// The name of the program's own server at an endpoint.
    fn named(&self, endpoint: &str) -> String {
        let mut servers = self.servers.iter();
        servers
            .find(|(name, _)| name == endpoint)
            .map_or_else(String::new, |(_, server)| server.to_string())
    }
}
