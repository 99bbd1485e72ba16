//! The journal as a whole, over disks that forget.

mod basic;
mod crash;
mod data;
mod judge;
mod priority;
mod reserved;
mod reuse;
mod threads;
