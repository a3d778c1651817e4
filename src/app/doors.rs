//! Who may come in at each endpoint, and what stands before what answers there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use url::Url;

use super::counted::Counted;
use super::error::StartError;
use super::parts;
use crate::access::{Access, Guard, Parts, Present, Recorder, Tokens, Ways};
use crate::audit::Audit;
use crate::auth::protected_resource::ProtectedResource;
use crate::auth::token::Issuers;
use crate::config::Settings;
use crate::config::settings::{EndpointSettings, OidcSettings, Way};
use crate::egress::Egress;
use crate::keyring::Keyring;
use crate::runtime::clock::Clock;
use crate::runtime::tasks::Tasks;
use crate::service::Service;
use crate::transport::Endpoint;

/// What doors are made of.
pub(super) struct Doors<'a> {
    pub(super) settings: &'a Settings,
    pub(super) keyring: &'a Keyring,
    pub(super) clock: &'a Clock,
    pub(super) tasks: &'a Tasks,
    /// The rules that hold, now and later.
    pub(super) rules: Present,
    /// Where everything goes on record.
    recorder: Recorder,
    counted: Counted,
    /// Those that endpoints trust so far, by their names.
    issuers: BTreeMap<Vec<String>, Arc<Issuers>>,
}

impl<'a> Doors<'a> {
    pub(super) fn new(
        settings: &'a Settings,
        keyring: &'a Keyring,
        clock: &'a Clock,
        tasks: &'a Tasks,
        audit: Option<&Audit>,
        counted: Counted,
    ) -> Self {
        Self {
            recorder: Recorder::new(audit.cloned(), clock.clone()),
            settings,
            keyring,
            clock,
            tasks,
            rules: Present::new(parts::rules(&settings.policy)),
            counted,
            issuers: BTreeMap::new(),
        }
    }

    /// Puts a door before an endpoint: who may come in, and the guard behind it.
    pub(super) fn hang(&mut self, endpoint: &mut Endpoint) -> Result<(), StartError> {
        let mut settings = self.settings.endpoints.iter();
        if let Some(settings) = settings.find(|it| it.name == *endpoint.name) {
            let ways = self.ways(settings)?;
            endpoint.access = Access::by(
                &endpoint.name,
                ways,
                self.rules.clone(),
                self.recorder.clone(),
                self.clock.clone(),
            );
        }
        Ok(())
    }

    /// The guard of an endpoint.
    pub(super) fn guard(&self, endpoint: &Endpoint, service: Arc<dyn Service>) -> Guard {
        Guard::before(Parts {
            service,
            endpoint: endpoint.name.clone(),
            access: endpoint.access.clone(),
            rules: self.rules.clone(),
            tokens: self.counted.tokens.clone(),
            permits: self.counted.permits.clone(),
            recorder: self.recorder.clone(),
            clock: self.clock.clone(),
            metrics: self.counted.metrics.clone(),
        })
    }

    fn ways(&mut self, endpoint: &EndpointSettings) -> Result<Ways, StartError> {
        let mut ways = Ways::default();
        let mut issuers = Vec::new();
        let auth = &self.settings.auth;
        for way in &endpoint.ways {
            match way {
                Way::ApiKeys => ways.keys = Some(self.keyring.clone()),
                Way::Proxy => ways.proxy.clone_from(&auth.proxy),
                Way::Certificates => ways.certificates = true,
                Way::Oidc(name) => {
                    issuers.extend(auth.oidc.iter().filter(|issuer| issuer.name == *name));
                }
            }
        }
        if !issuers.is_empty() {
            ways.tokens = Some(self.tokens(endpoint, &issuers)?);
        }
        Ok(ways)
    }

    fn tokens(
        &mut self,
        endpoint: &EndpointSettings,
        trusted: &[&OidcSettings],
    ) -> Result<Tokens, StartError> {
        let issuers = self.issuers(trusted)?;
        let scopes: BTreeSet<_> = trusted.iter().flat_map(|it| it.scopes.clone()).collect();
        let resource = ProtectedResource {
            resource: self.url(&endpoint.path)?,
            authorization_servers: issuers.identifiers().map(str::to_owned).collect(),
            scopes: scopes.into_iter().collect(),
            name: endpoint.name.clone(),
        };
        Ok(Tokens::of(issuers, &resource))
    }

    /// Endpoints that trust the same issuers share what is known of their keys and tokens.
    fn issuers(&mut self, trusted: &[&OidcSettings]) -> Result<Arc<Issuers>, StartError> {
        let names: Vec<_> = trusted.iter().map(|issuer| issuer.name.clone()).collect();
        if let Some(issuers) = self.issuers.get(&names) {
            return Ok(issuers.clone());
        }
        let failed = |error: &dyn std::fmt::Display| StartError::Auth(error.to_string());
        let egress = Egress::new(crate::egress::Settings::default());
        let egress = egress.map_err(|error| failed(&error))?;
        let configs = trusted.iter().map(|issuer| issuer.config.clone()).collect();
        let issuers = Issuers::new(configs, &egress, self.clock, self.tasks);
        let issuers = Arc::new(issuers.map_err(|error| failed(&error))?);
        self.issuers.insert(names, issuers.clone());
        Ok(issuers)
    }

    /// The URL of a path, as clients and issuers know it.
    fn url(&self, path: &str) -> Result<Url, StartError> {
        let server = &self.settings.server;
        let scheme = if server.tls.is_some() {
            "https"
        } else {
            "http"
        };
        let listening = || format!("{scheme}://{}", server.listen);
        let base = server.public_url.clone().unwrap_or_else(listening);
        let url = format!("{base}{path}");
        Url::parse(&url).map_err(|error| StartError::Auth(format!("{url}: {error}")))
    }
}
