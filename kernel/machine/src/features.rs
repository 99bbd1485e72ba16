//! What the program is told of the CPU: AT_HWCAP, AT_HWCAP2, and the identification registers.
//!
//! Only what works here is told: no SVE, SME, MTE, pointer authentication or BTI, which need state or
//! page attributes that Quill does not keep. Sources: Linux, Documentation/arch/arm64/elf_hwcaps and
//! cpu-feature-registers; Arm ARM D24.2 for the fields.

use alloc::vec::Vec;
use core::arch::asm;

/// FP and ASIMD are always there (an arm64 Linux needs them); CPUID: `trap::id_registers`.
const ALWAYS: u64 = 1 << 0 | 1 << 1 | 1 << 11;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Register {
    Pfr0,
    Pfr1,
    Isar0,
    Isar1,
    Mmfr2,
}
use Register::{Isar0, Isar1, Mmfr2, Pfr0, Pfr1};

/// When the field at this shift is at least so much, this bit of AT_HWCAP is set.
const HWCAP: &[(Register, u32, u64, u32)] = &[
    (Isar0, 4, 1, 3),   // AES
    (Isar0, 4, 2, 4),   // PMULL
    (Isar0, 8, 1, 5),   // SHA1
    (Isar0, 12, 1, 6),  // SHA2
    (Isar0, 16, 1, 7),  // CRC32
    (Isar0, 20, 2, 8),  // ATOMICS
    (Pfr0, 16, 1, 9),   // FPHP
    (Pfr0, 20, 1, 10),  // ASIMDHP
    (Isar0, 28, 1, 12), // ASIMDRDM
    (Isar1, 12, 1, 13), // JSCVT
    (Isar1, 16, 1, 14), // FCMA
    (Isar1, 20, 1, 15), // LRCPC
    (Isar1, 0, 1, 16),  // DCPOP
    (Isar0, 32, 1, 17), // SHA3
    (Isar0, 36, 1, 18), // SM3
    (Isar0, 40, 1, 19), // SM4
    (Isar0, 44, 1, 20), // ASIMDDP
    (Isar0, 12, 2, 21), // SHA512
    (Isar0, 48, 1, 23), // ASIMDFHM
    (Pfr0, 48, 1, 24),  // DIT
    (Mmfr2, 32, 1, 25), // USCAT
    (Isar1, 20, 2, 26), // ILRCPC
    (Isar0, 52, 1, 27), // FLAGM
    (Pfr1, 4, 2, 28),   // SSBS
    (Isar1, 36, 1, 29), // SB
];

/// The same for AT_HWCAP2.
const HWCAP2: &[(Register, u32, u64, u32)] = &[
    (Isar1, 0, 2, 0),   // DCPODP
    (Isar0, 52, 2, 7),  // FLAGM2
    (Isar1, 32, 1, 8),  // FRINT
    (Isar1, 52, 1, 13), // I8MM
    (Isar1, 44, 1, 14), // BF16
    (Isar1, 48, 1, 15), // DGH
    (Isar0, 60, 1, 16), // RNG
];

/// Fields the program may see, each 4 bits.
const VISIBLE: &[(Register, u64)] = &[
    (Pfr0, 0x000f_0000_00ff_0000),
    (Pfr1, 0x0000_0000_0000_00f0),
    (Isar0, 0xf0ff_ffff_f0ff_fff0),
    (Isar1, 0x00ff_f0ff_00ff_f00f),
    (Mmfr2, 0x0000_000f_0000_0000),
];

/// AT_HWCAP.
pub fn hwcap() -> u64 {
    ALWAYS | collect(HWCAP)
}

/// AT_HWCAP2.
pub fn hwcap2() -> u64 {
    collect(HWCAP2)
}

/// Whether the CPU has the CRC32 instructions.
pub fn has_crc32() -> bool {
    has(Isar0, 16, 1)
}

/// What /proc/cpuinfo calls the bits of AT_HWCAP, by their number.
const HWCAP_NAMES: [&str; 32] = [
    "fp", "asimd", "evtstrm", "aes", "pmull", "sha1", "sha2", "crc32", "atomics", "fphp", "asimdhp", "cpuid",
    "asimdrdm", "jscvt", "fcma", "lrcpc", "dcpop", "sha3", "sm3", "sm4", "asimddp", "sha512", "sve",
    "asimdfhm", "dit", "uscat", "ilrcpc", "flagm", "ssbs", "sb", "paca", "pacg",
];
/// The same for AT_HWCAP2.
const HWCAP2_NAMES: [&str; 17] = [
    "dcpodp",
    "sve2",
    "sveaes",
    "svepmull",
    "svebitperm",
    "svesha3",
    "svesm4",
    "flagm2",
    "frint",
    "svei8mm",
    "svef32mm",
    "svef64mm",
    "svebf16",
    "i8mm",
    "bf16",
    "dgh",
    "rng",
];

/// The features by name, in the order /proc/cpuinfo has them.
pub fn names() -> Vec<&'static str> {
    let set = |bits: u64, names: &'static [&'static str]| {
        names.iter().enumerate().filter(move |(bit, _)| bits >> bit & 1 == 1).map(|(_, name)| *name)
    };
    set(hwcap(), &HWCAP_NAMES).chain(set(hwcap2(), &HWCAP2_NAMES)).collect()
}

/// What `mrs` of the register S3_0_C0_C{crm}_{op2} gives the program. None when that is no
/// identification register.
pub fn id_register(crm: u32, op2: u32) -> Option<u64> {
    Some(match (crm, op2) {
        (0, 0) => midr(),
        (0, 5) => 1 << 31,
        (0, 6) => 0,
        (4, 0) => visible(Pfr0) | 0x11,
        (4, 1) => visible(Pfr1),
        (6, 0) => visible(Isar0),
        (6, 1) => visible(Isar1),
        (7, 2) => visible(Mmfr2),
        (2..=7, _) => 0,
        _ => return None,
    })
}

/// MIDR_EL1: who made the CPU and which it is.
pub fn midr() -> u64 {
    let value: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mrs {0}, midr_el1", out(reg) value, options(nomem, nostack, pure)) };
    value
}

fn collect(table: &[(Register, u32, u64, u32)]) -> u64 {
    table
        .iter()
        .filter(|&&(register, shift, least, _)| has(register, shift, least))
        .map(|&(.., bit)| 1 << bit)
        .sum()
}

fn has(register: Register, shift: u32, least: u64) -> bool {
    let field = visible(register) >> shift & 15;
    // 15 says "not there" in the FP and ASIMD fields.
    field >= least && field != 15
}

fn visible(register: Register) -> u64 {
    let mask = VISIBLE.iter().find(|(r, _)| *r == register).map_or(0, |(_, mask)| *mask);
    read(register) & mask
}

fn read(register: Register) -> u64 {
    let value: u64;
    // SAFETY: reads registers that every ARMv8 CPU has (MMFR2 by its encoding: older ones give 0).
    unsafe {
        match register {
            Pfr0 => asm!("mrs {0}, id_aa64pfr0_el1", out(reg) value, options(nomem, nostack, pure)),
            Pfr1 => asm!("mrs {0}, id_aa64pfr1_el1", out(reg) value, options(nomem, nostack, pure)),
            Isar0 => asm!("mrs {0}, id_aa64isar0_el1", out(reg) value, options(nomem, nostack, pure)),
            Isar1 => asm!("mrs {0}, id_aa64isar1_el1", out(reg) value, options(nomem, nostack, pure)),
            Mmfr2 => asm!("mrs {0}, S3_0_C0_C7_2", out(reg) value, options(nomem, nostack, pure)),
        }
    }
    value
}
