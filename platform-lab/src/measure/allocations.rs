//! Allocations per request, as the child's own allocator counts them.

use platform_core::Result;

use super::{CONNECTIONS, Stretch};
use crate::{
    child::Child,
    load::{Asking, Load, Until},
};

/// Allocations that one request adds.
///
/// # Errors
/// The server is gone or answers wrongly.
pub(crate) async fn allocations(child: &mut Child, asking: Asking, stretch: Stretch) -> Result<f64> {
    let mut load = Load::connect(child.port(), CONNECTIONS as usize, asking).await?;
    load.run(Until::Each(stretch.from / CONNECTIONS)).await?;
    let before = child.allocations()?;
    load.run(Until::Each((stretch.to - stretch.from) / CONNECTIONS)).await?;
    Ok(stretch.per_request([before, child.allocations()?]))
}
