//! What the tests share: a server in a directory of its own, a client on raw sockets.

pub mod client;
pub mod extension;
pub mod packet;
pub mod place;
pub mod server;
pub mod setup;
pub mod wait;
