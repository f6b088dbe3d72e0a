//! platform-discovery
