//! The protos become Rust, those of each service in a folder of its own.

fn main() -> std::io::Result<()> {
    #[cfg(feature = "fleet")]
    {
        platform_grpc_build::compile(&["fleet/proto/film.proto"], &["fleet/proto"])?;
        platform_grpc_build::compile_under("payments", &["payments/payments.proto"], &["payments"])?;
    }
    Ok(())
}
