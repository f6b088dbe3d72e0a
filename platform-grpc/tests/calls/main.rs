//! Promises of the server and the channel, each through both.

mod channel;
mod drain;
mod health;
mod house;
mod limits;
mod methods;
mod outside;
mod server;
mod streams;
