//! The fleet's protos become Rust.

fn main() -> std::io::Result<()> {
    #[cfg(feature = "fleet")]
    platform_grpc_build::compile(&["fleet/proto/film.proto"], &["fleet/proto"])?;
    Ok(())
}
