//! What the built program does, seen from outside: with a real RabbitMQ, real processes and a real wire.
//!
//! `tests/run` brings and starts what these tests talk to. A service that is missing fails them; none is skipped.

mod admin;
mod api;
mod broker;
mod checker;
mod cli;
mod commands;
mod crash;
mod dead;
mod deploy;
mod descriptors;
mod edges_health;
mod edges_malformed;
mod edges_nested;
mod edges_outcomes;
mod edges_properties;
mod edges_rig;
mod edges_routing;
mod edges_token;
mod edges_unreadable;
mod embedded;
mod faults;
mod flow;
mod health;
mod ledger;
mod ledger_faults;
mod ledger_flow;
mod log_reader;
mod page;
mod reload;
mod secrets;
mod side_by_side;
mod support;
mod unanswered;
