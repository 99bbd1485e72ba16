//! What the block layer itself costs: a device that does nothing, at once.

use alloc::sync::Arc;
use alloc::vec::Vec;

use ::block::{Bio, BioOp, Completion, Disk, Driver, InFlight, Limits};
use base::{DevId, Sector, frame};
use sync::SpinLock;

use super::ensure;

const ROUNDS: u64 = 256;
/// Bios in a plug, too far apart to merge.
const BATCH: u64 = 32;

/// Completes in `commit`, and touches no byte.
#[derive(Default)]
struct NullDisk(SpinLock<Vec<InFlight>>);

impl Driver for NullDisk {
    fn limits(&self) -> Limits {
        Limits::DEFAULT
    }

    fn capacity(&self) -> Sector {
        Sector(1 << 30)
    }

    fn queue_request(&self, request: InFlight) -> Result<(), InFlight> {
        self.0.lock().push(request);
        Ok(())
    }

    fn commit(&self) {
        loop {
            let mut waiting = self.0.lock();
            if waiting.is_empty() {
                return;
            }
            let mut batch = core::mem::replace(&mut *waiting, Vec::with_capacity(BATCH as usize));
            drop(waiting);
            ::block::complete_all(batch.drain(..).map(|request| (request, Ok(()))));
        }
    }
}

/// Logs the guest's time for a bio of one page (its instructions, under `-icount shift=0`) under each
/// elevator: alone and waited for, in a plug of [`BATCH`], and merged in a plug.
pub fn cost() -> Result<(), &'static str> {
    for name in ::block::elevator::NAMES {
        let driver = Arc::new(NullDisk::default());
        let disk = Disk::new("null0", DevId::new(1, 99), driver, name).map_err(|_| "a disk")?;
        let alone = measure(&disk, 1, 800)?;
        let batch = measure(&disk, BATCH, 800)?;
        let merged = measure(&disk, BATCH, 8)?;
        log::info!("selftest: a bio under {name}: alone {alone} ns, {batch} of {BATCH}, {merged} merged");
    }
    Ok(())
}

/// Per bio.
fn measure(disk: &Disk, batch: u64, step: u64) -> Result<u64, &'static str> {
    let page = frame::alloc_zeroed().map_err(|_| "a frame")?;
    let begin = base::time::monotonic_ns();
    for round in 0..ROUNDS {
        let done = Completion::new();
        let plug = disk.plug();
        for n in 0..batch {
            let mut bio = Bio::new(BioOp::Write, Sector((round * batch + n) * step));
            bio.add(&page, 0, 4096);
            disk.submit_bio(done.track(bio));
        }
        drop(plug);
        ensure(done.wait().is_ok(), "no error")?;
    }
    Ok((base::time::monotonic_ns() - begin) / (ROUNDS * batch))
}
