//! What each part gets of the settings.

use crate::access::Rules;
use crate::config::Settings;
use crate::config::settings::PolicySettings;
use crate::runtime::seal::ClusterKeys;
use crate::session;
use crate::transport::http_sse::Pipes;
use crate::transport::{self, Context, Endpoint};

pub(super) fn pipes(
    settings: &Settings,
    context: &Context,
    endpoints: &[Endpoint],
    keys: &ClusterKeys,
) -> Option<Pipes> {
    let http_sse = settings.server.http_sse.as_ref()?;
    let endpoint = endpoints.get(http_sse.endpoint)?.clone();
    Some(Pipes::new(context, endpoint, keys))
}

pub(super) fn session_config(settings: &Settings) -> session::Config {
    session::Config {
        max: settings.sessions.max,
        calls_per_session: settings.sessions.calls_per_session,
        idle_ttl: settings.sessions.idle_ttl,
        absolute_ttl: settings.sessions.absolute_ttl,
        passivate_after: settings.sessions.passivate_after,
        question_timeout: settings.calls.question,
        retry: settings.streams.retry,
        unacknowledged: settings.streams.unacknowledged,
    }
}

pub(super) fn transport_config(settings: &Settings) -> transport::Config {
    let server = &settings.server;
    transport::Config {
        http_sse: server.http_sse.as_ref().map(|paths| transport::HttpSse {
            stream_path: paths.path.clone(),
            message_path: paths.messages_path.clone(),
        }),
        is_https_only: server.tls.is_some()
            && server
                .public_url
                .as_deref()
                .is_some_and(|url| url.starts_with("https://")),
        hosts: server.hosts.clone(),
        origins: server.origins.clone(),
        cors: server.cors.clone(),
        body_max: server.limits.body,
        header_block_max: server.limits.header_block,
        header_field_max: server.limits.header_field,
        header_count_max: server.limits.header_count,
        uri_max: server.limits.uri,
        json: crate::protocol::prescan::Limits {
            depth: server.limits.json_depth,
            members: server.limits.json_members,
        },
        event_max: server.limits.event,
        line_max: server.limits.line,
        connections_per_address: server.limits.connections_per_address,
        streams_max: settings.streams.max,
        header_read: server.timeouts.header_read,
        body_idle: server.timeouts.body_idle,
        body_total: server.timeouts.body_total,
        write_stall: server.timeouts.write_stall,
        keep_alive: server.timeouts.keep_alive,
        grace: settings.calls.grace,
        call_deadline: settings.calls.deadline,
        list_deadline: settings.calls.list_deadline,
        task_deadline: settings.tasks.config.ttl_max,
        heartbeat: settings.streams.heartbeat,
        stateless_heartbeat: settings.streams.stateless_heartbeat,
    }
}

pub(super) fn rules(settings: &PolicySettings) -> Rules {
    Rules {
        policy: settings.access.clone(),
        limits: settings.limits.clone(),
    }
}
