//! The page with the two instructions a signal handler returns to: `mov x8, #139; svc #0`.
//!
//! Linux keeps them in the vDSO, which Quill has not; a C library that sets no restorer (glibc on arm64
//! does not) relies on the kernel for them, and debuggers know a signal frame by them.

use alloc::sync::Arc;
use core::fmt;

use base::{Errno, Frame, PageIndex, Result, UserAddr, frame};

use pagecache::Pattern;

use crate::mm::vma::{PageSource, SourcePage};
use crate::mm::{MapFile, MapRequest, Mm};

/// `mov x8, #__NR_rt_sigreturn` and `svc #0`, after a `nop` that unwinders expect in front.
const CODE: [u32; 3] = [0xd503_201f, 0xd280_1168, 0xd400_0001];

struct SigPage(Frame);

impl PageSource for SigPage {
    fn page(&self, index: PageIndex, _pattern: Pattern) -> Result<SourcePage> {
        if index.0 == 0 { Ok(SourcePage::held(self.0.clone(), None)) } else { Err(Errno::EINVAL) }
    }

    fn describe(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("[sigpage]")
    }
}

/// Maps the page. Returns where a handler returns to. ENOMEM.
pub fn map(mm: &Mm) -> Result<UserAddr> {
    let page = frame::alloc_zeroed()?;
    for (i, word) in CODE.iter().enumerate() {
        page.write(4 * i, &word.to_le_bytes());
    }
    let source: Arc<dyn PageSource> = Arc::new(SigPage(page));
    let file = MapFile {
        source: Ok(Some(source)),
        max_bytes: u64::MAX,
        readable: true,
        writable: false,
        append_only: false,
        noexec: false,
    };
    const READ_EXEC: u32 = 5;
    const SHARED: u32 = 1;
    let request = MapRequest {
        len: base::PAGE_SIZE as u64,
        prot: READ_EXEC,
        flags: SHARED,
        file: Some(file),
        ..MapRequest::default()
    };
    Ok(mm.mmap(&request)?.add(4))
}
