//! The journal as a whole, over disks that forget.

mod basic;
mod crash;
mod judge;
mod reuse;
mod threads;
