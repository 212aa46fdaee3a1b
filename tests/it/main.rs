//! What the built program does, seen from outside: with a real RabbitMQ, real processes and a real wire.
//!
//! `tests/run` brings and starts what these tests talk to. A service that is missing fails them; none is skipped.

mod broker;
mod cli;
mod deploy;
mod edges_health;
mod edges_malformed;
mod edges_outcomes;
mod edges_properties;
mod edges_rig;
mod edges_routing;
mod edges_token;
mod embedded;
mod flow;
mod support;
