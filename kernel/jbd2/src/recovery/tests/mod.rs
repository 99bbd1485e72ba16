//! A small writer of logs, a model of what a replay must do, and the tests that use them.

mod damage;
pub(crate) mod judge;
mod model;
pub(crate) mod writer;
