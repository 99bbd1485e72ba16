//! [`base::arch::Machine`]: what the process layer gets.

use alloc::boxed::Box;

use base::arch::{Machine, UserCpu, UserPageTable, UserRegs};
use base::{Frame, Result};

use crate::mmu::cache;
use crate::mmu::user::UserTable;
use crate::trap::user::UserThread;
use crate::{entropy, features};

/// The machine we run on. It has no state of its own: registers and tables are it.
pub struct QuillMachine;

impl Machine for QuillMachine {
    fn new_page_table(&self) -> Result<Box<dyn UserPageTable>> {
        Ok(Box::new(UserTable::new()?))
    }

    fn new_user_cpu(&self, regs: UserRegs) -> Box<dyn UserCpu> {
        Box::new(UserThread::new(regs))
    }

    fn hwcap(&self) -> u64 {
        features::hwcap()
    }

    fn hwcap2(&self) -> u64 {
        features::hwcap2()
    }

    fn entropy(&self, out: &mut [u8]) {
        entropy::fill(out);
    }

    fn sync_instructions(&self, frame: &Frame) {
        cache::sync_instructions(frame);
    }
}
