//! Writes a partition table to a disk, has it read, and uses the partition.
//! usage: reread /dev/vdb
#![no_std]
#![no_main]

use user::check::{equal, holds};
use user::sys::{self, *};
use user::{Args, println, program};

program!(main);

/// Read the partition table anew.
const BLKRRPART: usize = 0x125f;
/// The partition: its first sector and its size.
const START: u32 = 2048;
const SECTORS: u32 = 4096;

fn main(args: Args) -> i32 {
    if args.count() != 2 {
        println!("usage: reread /dev/vdb");
        return 2;
    }
    let disk = sys::open(args.get(1), O_RDWR, 0) as i32;
    holds("the disk opens", disk >= 0);
    equal("no partition yet", sys::open(c"/dev/vdb1", O_RDWR, 0), ENOENT);
    equal("pwrite", sys::pwrite(disk, &table(), 0), 512);
    equal("BLKRRPART", sys::ioctl(disk, BLKRRPART, 0), 0);
    let part = sys::open(c"/dev/vdb1", O_RDWR, 0) as i32;
    holds("the partition opens", part >= 0);
    equal("its size", sys::lseek(part, 0, 2), i64::from(SECTORS) as isize * 512);
    equal("pwrite", sys::pwrite(part, &[7; 512], 0), 512);
    equal("fsync", sys::fsync(part), 0);
    equal("BLKRRPART while it is open", sys::ioctl(disk, BLKRRPART, 0), EBUSY);
    equal("close", sys::close(part), 0);
    // Gone with the table.
    equal("pwrite", sys::pwrite(disk, &[0; 512], 0), 512);
    equal("BLKRRPART", sys::ioctl(disk, BLKRRPART, 0), 0);
    equal("no partition any more", sys::open(c"/dev/vdb1", O_RDWR, 0), ENOENT);
    user::check::verdict()
}

/// An MBR with one partition of Linux's type.
fn table() -> [u8; 512] {
    let mut table = [0; 512];
    table[446 + 4] = 0x83;
    table[446 + 8..446 + 12].copy_from_slice(&START.to_le_bytes());
    table[446 + 12..446 + 16].copy_from_slice(&SECTORS.to_le_bytes());
    table[510..].copy_from_slice(&[0x55, 0xaa]);
    table
}
