//! platform-grpc
