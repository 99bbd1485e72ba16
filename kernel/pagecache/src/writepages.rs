//! Interface first; the body follows.
use base::Result;
use crate::{AddressSpace, AddressSpaceOperations, WritebackControl};
/// The generic `writepages`.
pub fn mpage_writepages(_m: &AddressSpace, _ops: &dyn AddressSpaceOperations, _control: &mut WritebackControl) -> Result<()> { unimplemented!() }
