//! What the tests share: a server in a directory of its own, a client on raw sockets.

pub mod behind;
pub mod client;
pub mod control;
pub mod extension;
pub mod front;
pub mod journal;
pub mod load;
pub mod manager;
pub mod memory;
pub mod packet;
pub mod place;
pub mod server;
pub mod setup;
pub mod terminal;
pub mod upgrade;
pub mod uwsgi;
pub mod verdict;
pub mod wait;
