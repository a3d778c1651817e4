//! Scenarios over real sockets: each a short story about what a client sees.
//!
//! One file per family of behaviour. [`world`] holds what the stories are told with: a server that
//! is the shipped binary, clients that speak each era, and the patience to wait for a condition.

#![expect(
    unreachable_pub,
    reason = "the world is written like a library, and used by one crate only"
)]
#![expect(
    clippy::print_stdout,
    reason = "a failing scenario shows the transcript of the wire"
)]
#![allow(
    clippy::unwrap_used,
    clippy::match_wild_err_arm,
    clippy::float_cmp,
    clippy::unchecked_time_subtraction,
    clippy::used_underscore_binding,
    reason = "in a scenario a panic is the report, and counters are whole numbers"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "scenarios run on their own runtime, beside the process under test"
)]
#![allow(dead_code, reason = "the world offers more than today's scenarios use")]

mod world;

mod access_tokens;
mod api_keys;
mod audit_command;
mod audit_ends;
mod audit_faults;
mod audit_node;
mod batches;
mod bridge_matrix;
mod call_limits;
mod calls;
mod canaries;
mod children;
mod client_conformance;
mod client_http_sse;
mod client_in_process;
mod client_servers;
mod client_streams;
mod client_table;
mod cluster;
mod conformance;
mod cors;
mod crash;
mod deploy;
mod draining;
mod embedding;
mod era_table;
mod framing;
mod gateway_endpoints;
mod gateway_extensions;
mod gateway_floods;
mod gateway_pins;
mod gateway_sdks;
mod gateway_servers;
mod gateway_starting;
mod http_sse;
mod identity_provider;
mod known_attacks;
mod lapsed_streams;
mod limits;
mod listen;
mod misbehaving_tools;
mod once_only;
mod operation;
mod parked_calls;
mod permissions;
mod policy_command;
mod questions;
mod readme;
mod redis_store;
mod refusals;
mod reload;
mod resumption;
mod rmcp_client;
mod rounds;
mod sessions;
mod several_nodes;
mod shared_limits;
mod slow_clients;
mod stateless;
mod stdio;
mod stock_clients;
mod stock_resumption;
mod stopping;
mod store_contract;
mod streams;
mod subscriptions;
mod surroundings;
mod tasks;
mod ticket_desk;
mod tls;
mod token_exchange;
mod tools_command;
mod upstream_credentials;
mod upstream_faults;
mod upstream_handles;
mod upstream_http_sse;
mod upstream_lists;
mod upstream_processes;
mod upstream_programs;
mod upstream_recovery;
mod upstreams;
