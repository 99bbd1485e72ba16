//! The small protocols of the cache in many orders of their steps (the crate `explore`): who locks a page, who
//! sends it, who dirties it again, who takes it away.

mod pages;
mod stores;
mod support;
