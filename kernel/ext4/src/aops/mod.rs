//! How a file's pages meet its blocks. [`immediate`] allocates when a write call fills a page; delayed
//! and journalled ways will stand beside it.

mod immediate;
