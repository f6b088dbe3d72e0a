//! Does DNS say what we believe, and is nothing believed that it did not say? Against BIND and dnsmasq on loopback,
//! and against a server that says what no server should.

mod bind;
mod dnsmasq;
mod ground;
mod hostile;
