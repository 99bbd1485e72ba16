//! Buffers that are in the log and not at home yet, and how the log's tail moves.
use alloc::collections::VecDeque;

/// See the module.
#[derive(Default)]
pub(crate) struct Checkpoint {
    _transactions: VecDeque<()>,
}
