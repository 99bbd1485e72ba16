//! One entry of a translation table (VMSAv8-64, 4 KiB pages, 48 bits).
//!
//! ```text
//!  63     58    55 54  53        47                12 11 10 9 8 7 6 5 4 2 1 0
//! +------+--------+---+---+-----+--------------------+--+--+---+---+-+---+-+-+
//! |      | soft-  |UXN|PXN|     |  physical address  |nG|AF|SH |AP | |Att|T|V|
//! |      | ware   |   |   |     |                    |  |  |   |   | |   | | |
//! +------+--------+---+---+-----+--------------------+--+--+---+---+-+---+-+-+
//! ```
//! Source: Arm ARM D8.3. Bits 55 to 58 are software's; here the program's protection is kept in them,
//! so that it survives in an entry that is not valid (PROT_NONE).

use base::PhysAddr;
use base::arch::Protection;

/// A descriptor as it lies in a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
pub struct Descriptor(pub u64);

const VALID: u64 = 1 << 0;
/// At levels 0 to 2 a table, at level 3 a page; clear, a block.
const TABLE_OR_PAGE: u64 = 1 << 1;
const ATTR_NORMAL: u64 = 0 << 2;
const ATTR_DEVICE: u64 = 1 << 2;
const AP_EL0: u64 = 1 << 6;
const AP_READ_ONLY: u64 = 1 << 7;
const INNER_SHAREABLE: u64 = 3 << 8;
const ACCESSED: u64 = 1 << 10;
const NOT_GLOBAL: u64 = 1 << 11;
const PXN: u64 = 1 << 53;
const UXN: u64 = 1 << 54;
const SOFT_READ: u64 = 1 << 55;
const SOFT_WRITE: u64 = 1 << 56;
const SOFT_EXECUTE: u64 = 1 << 57;
const ADDRESS: u64 = 0x0000_ffff_ffff_f000;

/// What a kernel mapping is for. None of them is executable: only `boot/src/start.S` maps text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Normal memory, read and write.
    Data,
    /// Normal memory that nobody writes.
    ReadOnly,
    /// Device registers, nGnRE.
    Device,
}

impl Kind {
    const fn bits(self) -> u64 {
        let common = VALID | ACCESSED | PXN | UXN;
        match self {
            Kind::Data => common | ATTR_NORMAL | INNER_SHAREABLE,
            Kind::ReadOnly => common | ATTR_NORMAL | INNER_SHAREABLE | AP_READ_ONLY,
            Kind::Device => common | ATTR_DEVICE,
        }
    }
}

impl Descriptor {
    /// Nothing mapped.
    pub const EMPTY: Descriptor = Descriptor(0);

    /// A link to the next level's table.
    pub const fn table(phys: PhysAddr) -> Descriptor {
        Descriptor(phys.0 & ADDRESS | VALID | TABLE_OR_PAGE)
    }

    /// A leaf of the kernel's map at this level (1 and 2: block, 3: page).
    pub const fn kernel(phys: PhysAddr, kind: Kind, level: u32) -> Descriptor {
        let page = if level == 3 { TABLE_OR_PAGE } else { 0 };
        Descriptor(phys.0 & ADDRESS | kind.bits() | page)
    }

    /// A page of the program. Without `read` it is not valid, but remembers what it was.
    pub const fn user(phys: PhysAddr, protection: Protection) -> Descriptor {
        let mut bits =
            phys.0 & ADDRESS | TABLE_OR_PAGE | INNER_SHAREABLE | ACCESSED | NOT_GLOBAL | PXN | AP_EL0;
        if protection.read {
            bits |= SOFT_READ | VALID;
        }
        bits |= if protection.write { SOFT_WRITE } else { AP_READ_ONLY };
        bits |= if protection.execute { SOFT_EXECUTE } else { UXN };
        Descriptor(bits)
    }

    /// Whether the CPU follows it.
    pub const fn is_valid(self) -> bool {
        self.0 & VALID != 0
    }

    /// Whether it is a link, at levels 0 to 2.
    pub const fn is_table(self) -> bool {
        self.0 & (VALID | TABLE_OR_PAGE) == VALID | TABLE_OR_PAGE
    }

    /// The page, block or table it points at.
    pub const fn phys(self) -> PhysAddr {
        PhysAddr(self.0 & ADDRESS)
    }

    /// What [`Descriptor::user`] was told.
    pub const fn protection(self) -> Protection {
        Protection {
            read: self.0 & SOFT_READ != 0,
            write: self.0 & SOFT_WRITE != 0,
            execute: self.0 & SOFT_EXECUTE != 0,
        }
    }
}

/// The index into the table of this level for an address.
pub const fn index(addr: u64, level: u32) -> usize {
    ((addr >> shift(level)) & 511) as usize
}

/// log2 of the bytes that one entry of this level spans.
pub const fn shift(level: u32) -> u32 {
    39 - 9 * level
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_split_an_address() {
        let addr = (1 << 39) | (2 << 30) | (3 << 21) | (4 << 12) | 5;
        assert_eq!([0, 1, 2, 3].map(|level| index(addr, level)), [1, 2, 3, 4]);
        assert_eq!(index(0xffff_8000_0000_0000, 0), 256);
    }

    #[test]
    fn the_kernel_never_executes_what_it_maps_here() {
        for kind in [Kind::Data, Kind::ReadOnly, Kind::Device] {
            assert_eq!(Descriptor::kernel(PhysAddr(0x4000_0000), kind, 2).0 & (PXN | UXN), PXN | UXN);
        }
    }

    #[test]
    fn protection_survives_prot_none() {
        for bits in 0..8u8 {
            let p = Protection { read: bits & 1 != 0, write: bits & 2 != 0, execute: bits & 4 != 0 };
            let d = Descriptor::user(PhysAddr(0x1234_5000), p);
            assert_eq!((d.protection(), d.phys(), d.is_valid()), (p, PhysAddr(0x1234_5000), p.read));
            assert_eq!(d.0 & UXN == 0, p.execute);
            assert_ne!(d.0 & PXN, 0, "the kernel never executes the program's pages");
        }
    }
}
