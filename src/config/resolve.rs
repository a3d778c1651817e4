//! From what was written to what the parts need, with the checks that concern several keys.
//!
//! Each step takes what it can and complains about the rest, so that one run names everything
//! that is wrong. The result counts only if nothing was complained about.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::thread;
use std::time::Duration;

use super::callers::Callers;
use super::change::Written;
use super::env::Environment;
use super::layers::Ground;
use super::raw::{self, Raw};
use super::settings::{
    CallSettings, ClusterSettings, LimitSettings, LogSettings, ServerSettings, SessionSettings,
    Settings, StoreSettings, StreamSettings, TaskSettings, TimeoutSettings,
};
use super::values::Period;
#[cfg(feature = "sabotage")]
use super::{Complaint, Place, env};
use super::{Overrides, audit, auth, defaults, endpoints, policy, secrets, store, tls, upstreams};
use crate::gateway;
#[cfg(feature = "sabotage")]
use crate::runtime::sabotage::Bug;
use crate::store::Bounds;
use crate::task;
use crate::telemetry::tracing::{Filter, LogFormat};

/// Resolves `raw`. Incomplete if `ground` has complaints afterwards.
pub(super) fn resolve(
    raw: &Raw,
    overrides: &Overrides,
    environment: &Environment,
    ground: &mut Ground,
) -> Settings {
    let listen = address("server.listen", &raw.server.listen, ground);
    let admin_listen = raw
        .admin
        .listen
        .as_deref()
        .map(|text| address("admin.listen", text, ground));
    if admin_listen.is_some_and(|admin| admin == listen && admin.port() != 0) {
        let problem = "is also the address of `server.listen`; leave it out to serve both there";
        ground.complain(&["admin.listen", "server.listen"], problem);
    }
    let upstreams = upstreams::resolve(raw, environment, ground);
    let auth = auth::resolve(raw, environment, ground);
    let (endpoints, gateways) = endpoints::resolve(raw, &upstreams, &auth, overrides, ground);
    let http_sse = endpoints::http_sse(raw, &endpoints, ground);
    let callers = Callers::resolve(&raw.server, listen, &endpoints, ground);
    let tls = tls::resolve(&raw.server.tls, ground);
    let admin_tls = admin_tls(raw, admin_listen, tls.is_some(), ground);
    let store = StoreSettings {
        kind: store::kind(raw, environment, ground),
        bounds: bounds(&raw.streams, ground),
    };
    let audit = audit::resolve(&raw.audit, &store, &raw.cluster, ground);
    Settings {
        server: ServerSettings {
            listen,
            public_url: callers.public_url,
            hosts: callers.hosts,
            origins: callers.origins,
            cors: callers.cors,
            http_sse,
            tls,
            workers: raw.server.workers.map_or_else(cores, NonZeroUsize::get),
            limits: limits(&raw.server.limits, ground),
            timeouts: timeouts(&raw.server.timeouts, ground),
        },
        sessions: sessions(&raw.sessions, ground),
        calls: calls(&raw.calls, ground),
        tasks: tasks(&raw.tasks, raw.server.limits.event.get(), ground),
        streams: streams(&raw.streams),
        store,
        cluster: ClusterSettings {
            keys: secrets::cluster_keys(&raw.cluster.keys, environment, ground),
            lease: lease(&raw.cluster, ground),
        },
        endpoints,
        policy: policy::resolve(raw, &auth, ground),
        auth,
        gateway: gateway::config::Config {
            upstreams,
            endpoints: gateways,
            hops_max: hops(&raw.gateway, ground),
        },
        audit,
        admin_listen,
        admin_tls,
        log: log(&raw.log, ground),
        cautions: std::mem::take(&mut ground.cautions),
        written: Written::of(raw),
        #[cfg(feature = "sabotage")]
        sabotage: sabotage(environment, ground),
    }
}

#[cfg(feature = "sabotage")]
fn sabotage(environment: &Environment, ground: &mut Ground) -> Option<Bug> {
    environment.sabotage().unwrap_or_else(|problem| {
        let place = Place::Variable(env::SABOTAGE.to_owned());
        let key = String::new();
        let complaint = Complaint {
            place,
            key,
            problem,
        };
        ground.complaints.push(complaint);
        None
    })
}

/// An address to listen on. `localhost` is taken for its IPv4 address.
fn address(key: &str, text: &str, ground: &mut Ground) -> SocketAddr {
    let written = match text.strip_prefix("localhost:") {
        Some(port) => format!("{}:{port}", Ipv4Addr::LOCALHOST),
        None => text.to_owned(),
    };
    written.parse().unwrap_or_else(|_| {
        let problem = format!(
            "{text:?} is not an address and a port, as in \"127.0.0.1:8000\", \"0.0.0.0:8000\" \
             or \"[::1]:8000\""
        );
        ground.refuse(key, problem);
        SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
    })
}

/// Whether the listener of operators speaks TLS.
fn admin_tls(raw: &Raw, listen: Option<SocketAddr>, has_tls: bool, ground: &mut Ground) -> bool {
    if raw.admin.tls && listen.is_none() {
        let problem = "is for a listener of its own: set `admin.listen`";
        ground.complain(&["admin.tls", "admin.listen"], problem);
    }
    if raw.admin.tls && !has_tls {
        let problem = "needs a certificate: set `server.tls.certificate`";
        ground.complain(&["admin.tls", "server.tls.certificate"], problem);
    }
    let listen = listen.filter(|listen| !listen.ip().is_loopback());
    if let Some(listen) = listen.filter(|_| has_tls && !raw.admin.tls) {
        ground.cautions.push(format!(
            "{listen} can be reached from other machines, and what operators see there is not \
             encrypted: set `admin.tls`"
        ));
    }
    raw.admin.tls
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

fn limits(raw: &raw::Limits, ground: &mut Ground) -> LimitSettings {
    let at_most = |ground: &mut Ground, key: &str, value: usize, most: usize| {
        if value > most {
            ground.complain(&[key], format!("must be at most {most}"));
        }
    };
    at_most(
        ground,
        "server.limits.header_block",
        raw.header_block.get(),
        defaults::HEADER_BLOCK_MAX,
    );
    at_most(
        ground,
        "server.limits.header_count",
        raw.header_count.get(),
        defaults::HEADER_COUNT_MAX,
    );
    at_most(
        ground,
        "server.limits.json_depth",
        raw.json_depth.get(),
        defaults::JSON_DEPTH_MAX,
    );
    ordered(
        ground,
        ("server.limits.header_field", raw.header_field),
        ("server.limits.header_block", raw.header_block),
    );
    ordered(
        ground,
        ("server.limits.uri", raw.uri),
        ("server.limits.header_block", raw.header_block),
    );
    for (key, size) in [
        ("server.limits.event", raw.event),
        ("server.limits.line", raw.line),
    ] {
        if size.get() < defaults::EVENT_MIN {
            ground.complain(&[key], "must be at least 4KiB, so that our own errors fit");
        }
    }
    LimitSettings {
        body: raw.body.get(),
        header_block: raw.header_block.get(),
        header_field: raw.header_field.get(),
        header_count: raw.header_count.get(),
        uri: raw.uri.get(),
        json_depth: raw.json_depth.get(),
        json_members: raw.json_members.get(),
        connections_per_address: raw.connections_per_address.get(),
        event: raw.event.get(),
        line: raw.line.get(),
    }
}

fn timeouts(raw: &raw::Timeouts, ground: &mut Ground) -> TimeoutSettings {
    ordered(
        ground,
        ("server.timeouts.body_idle", raw.body_idle),
        ("server.timeouts.body_total", raw.body_total),
    );
    for (key, time) in [
        ("server.timeouts.header_read", raw.header_read),
        ("server.timeouts.keep_alive", raw.keep_alive),
    ] {
        if time < defaults::CONNECTION_TIME_MIN {
            let problem = format!("must be at least {}", defaults::CONNECTION_TIME_MIN);
            ground.complain(&[key], problem);
        }
    }
    TimeoutSettings {
        header_read: raw.header_read.get(),
        body_idle: raw.body_idle.get(),
        body_total: raw.body_total.get(),
        write_stall: raw.write_stall.get(),
        keep_alive: raw.keep_alive.get(),
        drain: raw.drain.get(),
    }
}

fn sessions(raw: &raw::Sessions, ground: &mut Ground) -> SessionSettings {
    let idle = ("sessions.idle_ttl", raw.idle_ttl);
    below(
        ground,
        ("sessions.passivate_after", raw.passivate_after),
        idle,
    );
    ordered(ground, idle, ("sessions.absolute_ttl", raw.absolute_ttl));
    SessionSettings {
        max: raw.max.get(),
        max_per_principal: raw.max_per_principal.get(),
        idle_ttl: raw.idle_ttl.get(),
        absolute_ttl: raw.absolute_ttl.get(),
        passivate_after: raw.passivate_after.get(),
        calls_per_session: raw.calls_per_session.get(),
    }
}

fn calls(raw: &raw::Calls, ground: &mut Ground) -> CallSettings {
    below(
        ground,
        ("calls.grace", raw.grace),
        ("calls.deadline", raw.deadline),
    );
    CallSettings {
        grace: raw.grace.get(),
        deadline: raw.deadline.get(),
        question: raw.question.get(),
        list_deadline: raw.list_deadline.get(),
    }
}

fn tasks(raw: &raw::Tasks, result_max: usize, ground: &mut Ground) -> TaskSettings {
    ordered(
        ground,
        ("tasks.ttl", raw.ttl),
        ("tasks.ttl_max", raw.ttl_max),
    );
    TaskSettings {
        after: raw.after.map(Period::get),
        config: task::Config {
            ttl: raw.ttl.get(),
            ttl_max: raw.ttl_max.get(),
            poll_interval: raw.poll_interval.get(),
            max: raw.max.get(),
            max_per_principal: raw.max_per_principal.get(),
            max_kept: raw.max_kept.get(),
            max_kept_bytes: raw.max_kept_bytes.get(),
            result_max,
        },
    }
}

fn streams(raw: &raw::Streams) -> StreamSettings {
    StreamSettings {
        max: raw.max.get(),
        heartbeat: raw.heartbeat.get(),
        stateless_heartbeat: raw.stateless_heartbeat.get(),
        retry: raw.retry.get(),
        unacknowledged: raw.unacknowledged.get(),
    }
}

fn bounds(raw: &raw::Streams, ground: &mut Ground) -> Bounds {
    let session = ("streams.session_log_bytes", raw.session_log_bytes);
    ordered(ground, ("streams.log_bytes", raw.log_bytes), session);
    ordered(
        ground,
        session,
        ("streams.node_log_bytes", raw.node_log_bytes),
    );
    ordered(
        ground,
        ("streams.unacknowledged", raw.unacknowledged),
        ("streams.log_entries", raw.log_entries),
    );
    Bounds {
        log_entries: raw.log_entries.get(),
        log_bytes: raw.log_bytes.get(),
        scope_bytes: raw.session_log_bytes.get(),
        total_bytes: raw.node_log_bytes.get(),
        ended_log_age: raw.ended_log_age.get(),
        ..Bounds::default()
    }
}

fn lease(raw: &raw::Cluster, ground: &mut Ground) -> Duration {
    if raw.lease < defaults::LEASE_MIN {
        let problem = format!("must be at least {}", defaults::LEASE_MIN);
        ground.complain(&["cluster.lease"], problem);
    }
    raw.lease.get()
}

fn hops(raw: &raw::Gateway, ground: &mut Ground) -> usize {
    if raw.max_hops.get() > defaults::HOPS_MAX {
        let problem = format!("must be at most {}", defaults::HOPS_MAX);
        ground.complain(&["gateway.max_hops"], problem);
    }
    raw.max_hops.get()
}

fn log(raw: &raw::Log, ground: &mut Ground) -> LogSettings {
    let format = match raw.format {
        raw::LogFormat::Text => LogFormat::Text,
        raw::LogFormat::Json => LogFormat::Json,
    };
    let filter = raw.filter.parse().unwrap_or_else(|error| {
        ground.refuse("log.filter", format!("{error}"));
        Filter::default()
    });
    LogSettings { format, filter }
}

/// Complains unless `low` is at most `high`.
fn ordered<T: Ord + std::fmt::Display>(ground: &mut Ground, low: (&str, T), high: (&str, T)) {
    if low.1 > high.1 {
        say_order(ground, low, high, "at most");
    }
}

/// Complains unless `low` is below `high`.
fn below<T: Ord + std::fmt::Display>(ground: &mut Ground, low: (&str, T), high: (&str, T)) {
    if low.1 >= high.1 {
        say_order(ground, low, high, "less than");
    }
}

/// Says it from the side of the key that was written; if both were, of the lower one.
fn say_order<T: std::fmt::Display>(
    ground: &mut Ground,
    (low, low_value): (&str, T),
    (high, high_value): (&str, T),
    must_be: &str,
) {
    if ground.is_set(low) || !ground.is_set(high) {
        let problem = format!("{low_value} must be {must_be} `{high}` ({high_value})");
        ground.complain(&[low, high], problem);
    } else {
        let problem = format!("`{low}` ({low_value}) must be {must_be} {high_value}");
        ground.complain(&[high, low], problem);
    }
}
