//! What the tests share: a server in the test's own process.

mod server;

pub use server::TestServer;
