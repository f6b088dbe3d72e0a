//! The services of the tests.

fn main() -> std::io::Result<()> {
    platform_grpc_build::compile(&["proto/echo.proto"], &["proto"])
}
