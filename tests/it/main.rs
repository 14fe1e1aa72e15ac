//! Integration tests: one binary, one module per subject.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
#![expect(clippy::disallowed_methods, reason = "tests write files of their own")]

mod actions;
mod alone;
mod architecture;
mod bad_input;
mod build;
mod charts;
mod commands;
mod compose;
mod config;
mod confinement;
mod corpus;
mod dev;
mod differential;
mod doctor;
mod edges;
mod healing;
mod help;
mod kept;
mod kustomizations;
mod layouts;
mod lint;
mod lock;
mod messages;
mod outcomes;
mod package;
mod package_delta;
mod package_diff;
mod papers;
mod parts;
mod pieces;
mod pipelines;
mod plans;
mod publish;
mod pull;
mod repositories;
mod sandbox;
mod schemas;
mod signing;
mod skeleton;
mod sources;
mod split_layers;
mod tls;
mod trust;
mod trust_traps;
