//! Entering EL0 and coming back, in every way there is.

use alloc::boxed::Box;
use core::arch::global_asm;

use base::arch::{Access, Machine as _, Protection, Trap, UserCpu, UserPageTable as _, UserRegs};
use base::{Frame, PAGE_SIZE, UserAddr};
use machine::machine::QuillMachine;
use machine::memory::frames;
use machine::mmu::user::UserTable;

use super::ensure;

global_asm!(include_str!("el0.S"));

unsafe extern "C" {
    static el0_registers: u8;
    static el0_load: u8;
    static el0_store: u8;
    static el0_jump: u8;
    static el0_udf: u8;
    static el0_brk: u8;
    static el0_hvc: u8;
    static el0_smc: u8;
    static el0_msr: u8;
    static el0_daif: u8;
    static el0_sve: u8;
    static el0_exclusive: u8;
    static el0_allowed: u8;
    static el0_wfi: u8;
    static el0_loop: u8;
    static el0_fp: u8;
    static el0_null_calls: u8;
    static el0_end: u8;
}

const CODE: u64 = 0x40_0000;
const DATA: u64 = 0x50_0000;
const STACK_TOP: u64 = 0x60_0000;
const HOLE: u64 = 0x70_0000;

pub const READ: Protection = Protection { read: true, write: false, execute: false };
pub const READ_WRITE: Protection = Protection { read: true, write: true, execute: false };
const READ_EXECUTE: Protection = Protection { read: true, write: false, execute: true };

/// An address space with the code, a page of data and a page of stack, active.
struct World {
    table: UserTable,
    data: Frame,
}

impl World {
    fn new() -> Result<World, &'static str> {
        let table = UserTable::new().map_err(|_| "a table")?;
        let [code, data, stack] = [(); 3].map(|()| base::frame::alloc_zeroed());
        let (code, data) = (code.map_err(|_| "a frame")?, data.map_err(|_| "a frame")?);
        let start = &raw const el0_registers;
        let len = (&raw const el0_end) as usize - start as usize;
        // SAFETY: el0.S puts its pieces between these two symbols.
        code.write(0, unsafe { core::slice::from_raw_parts(start, len) });
        let stack = stack.map_err(|_| "a frame")?;
        let map = |at, frame, how| table.map(UserAddr(at), frame, how).map_err(|_| "a mapping");
        map(CODE, code, READ_EXECUTE)?;
        map(DATA, data.clone(), READ_WRITE)?;
        map(STACK_TOP - PAGE_SIZE as u64, stack, READ_WRITE)?;
        table.activate();
        Ok(World { table, data })
    }

    /// A thread that starts at a piece.
    fn thread(&self, piece: *const u8) -> Box<dyn UserCpu> {
        QuillMachine.new_user_cpu(UserRegs::start(address(piece), STACK_TOP))
    }

    /// Runs a piece with x1 set until something other than an interrupt comes.
    fn trap(&self, piece: *const u8, x1: u64) -> (Trap, UserRegs) {
        let mut cpu = self.thread(piece);
        cpu.regs().x[1] = x1;
        loop {
            match cpu.run() {
                Trap::Interrupt => {}
                trap => return (trap, *cpu.regs()),
            }
        }
    }
}

/// Where a piece lies at EL0.
fn address(piece: *const u8) -> u64 {
    CODE + (piece as u64 - (&raw const el0_registers) as u64)
}

/// Every register goes in and comes out.
pub fn registers() -> Result<(), &'static str> {
    let world = World::new()?;
    let mut cpu = world.thread(&raw const el0_registers);
    let regs = cpu.regs();
    (0..31).for_each(|i| regs.x[i] = 1000 * i as u64);
    regs.tpidr = 77;
    ensure(cpu.run() == Trap::Syscall, "a system call")?;
    let regs = *cpu.regs();
    let right = (0..31).filter(|&i| i != 8).all(|i| regs.x[i] == 1000 * i as u64 + 1);
    ensure(right, "x0 to x30 came back")?;
    ensure(regs.x[8] == 78 && regs.tpidr == 78, "TPIDR_EL0 came back")?;
    ensure(regs.sp == STACK_TOP + 16, "SP came back")?;
    ensure(regs.pstate >> 28 == 0b0110, "the flags came back")?;
    ensure(regs.pc == address(&raw const el0_load) - 4, "PC is behind the svc")
}

/// Loads, stores and jumps to where they are not allowed.
pub fn faults() -> Result<(), &'static str> {
    let world = World::new()?;
    let kernel = (&raw const el0_registers) as u64;
    let (load, store, jump) = (&raw const el0_load, &raw const el0_store, &raw const el0_jump);
    let (read, write, execute) = (Access::Read, Access::Write, Access::Execute);
    let cases = [
        (load, HOLE, read, false, "a load from nowhere"),
        (load, 0, read, false, "a load from null"),
        (load, kernel, read, false, "a load from the kernel"),
        (load, 1 << 52, read, false, "a load from between the halves"),
        (store, HOLE, write, false, "a store to nowhere"),
        (store, CODE, write, true, "a store to code"),
        (store, kernel, write, false, "a store to the kernel"),
        (jump, 0, execute, false, "a jump to null"),
        (jump, DATA, execute, true, "a jump to data"),
        (jump, kernel & !3, execute, false, "a jump into the kernel"),
    ];
    for (piece, at, access, permission, what) in cases {
        let (trap, regs) = world.trap(piece, at);
        ensure(trap == Trap::PageFault { addr: UserAddr(at), access, permission }, what)?;
        ensure(access != Access::Execute || regs.pc == at, "PC is at the target")?;
    }
    let tagged = 0x5a00_0000_0000_0000 | HOLE;
    let (trap, _) = world.trap(load, tagged);
    ensure(matches!(trap, Trap::PageFault { addr: UserAddr(HOLE), .. }), "tags are taken off")?;
    ensure(world.trap(load, DATA).0 == Trap::Syscall, "a load that is allowed")
}

/// Each class its signal.
pub fn exceptions() -> Result<(), &'static str> {
    let world = World::new()?;
    let cases = [
        (&raw const el0_udf, 0, 4, "udf"),
        (&raw const el0_brk, 0, 5, "brk"),
        (&raw const el0_hvc, 0, 4, "hvc"),
        (&raw const el0_smc, 0, 4, "smc"),
        (&raw const el0_msr, 0, 4, "msr"),
        (&raw const el0_daif, 0, 4, "msr daifset"),
        (&raw const el0_sve, 0, 4, "SVE"),
        (&raw const el0_exclusive, DATA + 1, 7, "a misaligned exclusive load"),
        (&raw const el0_jump, CODE + 2, 7, "a misaligned pc"),
    ];
    for (piece, x1, wanted, what) in cases {
        match world.trap(piece, x1).0 {
            Trap::Exception { signal, .. } if signal == wanted => {}
            other => {
                log::error!("selftest: {what}: {other:?}");
                return Err(what);
            }
        }
    }
    Ok(())
}

/// Counters, cache identification and maintenance, and ID registers by emulation.
pub fn allowed() -> Result<(), &'static str> {
    let world = World::new()?;
    let mut cpu = world.thread(&raw const el0_allowed);
    cpu.regs().x[9] = DATA;
    loop {
        match cpu.run() {
            Trap::Interrupt => {}
            Trap::Syscall => break,
            other => {
                log::error!("selftest: {other:?} at {:#x}", cpu.regs().pc - CODE);
                return Err("no trap but for emulation");
            }
        }
    }
    let x = cpu.regs().x;
    ensure(x[0] != 0 && x[1] != 0 && x[2] != 0, "counter, frequency, CTR")?;
    ensure(x[4] == machine::features::midr() && x[6] == 1 << 31 && x[7] == 0, "ID registers")?;
    let mut cpu = world.thread(&raw const el0_wfi);
    ensure(cpu.run() == Trap::Interrupt && cpu.run() == Trap::Syscall, "wfi lets others run")
}

/// A deadline ends an endless loop.
pub fn timer() -> Result<(), &'static str> {
    let world = World::new()?;
    let mut cpu = world.thread(&raw const el0_loop);
    let deadline = base::time::monotonic_ns() + 2_000_000;
    while base::time::monotonic_ns() < deadline {
        // Masked until EL0 runs: an interrupt taken before that would be the last, and the loop endless.
        let mask = sync::irq::save();
        machine::timer::set_deadline(Some(deadline));
        let trap = cpu.run();
        sync::irq::restore(mask);
        ensure(trap == Trap::Interrupt, "an interrupt")?;
    }
    ensure(cpu.regs().pc == address(&raw const el0_loop), "the loop goes on where it was")
}

/// Two threads with a value each in d8.
pub fn fp() -> Result<(), &'static str> {
    let world = World::new()?;
    let mut threads = [world.thread(&raw const el0_fp), world.thread(&raw const el0_fp)];
    for round in 0..4u64 {
        for (n, cpu) in threads.iter_mut().enumerate() {
            cpu.regs().x[1] = round * 10 + n as u64 + 1;
            while cpu.run() != Trap::Syscall {}
            let before = if round == 0 { 0 } else { (round - 1) * 10 + n as u64 + 1 };
            ensure(cpu.regs().x[2] == before, "d8 as this thread left it")?;
        }
    }
    Ok(())
}

/// A signal frame with EL1h and masked interrupts in it changes nothing.
pub fn pstate() -> Result<(), &'static str> {
    let world = World::new()?;
    let mut cpu = world.thread(&raw const el0_daif);
    cpu.regs().pstate = 0x3c5 | 1 << 21 | 1 << 20 | 1 << 4;
    ensure(matches!(cpu.run(), Trap::Exception { signal: 4, .. }), "still EL0")?;
    ensure(cpu.regs().pstate & 0x3df == 0, "EL0t, nothing masked")
}

/// map, lookup, protect, unmap.
pub fn pages() -> Result<(), &'static str> {
    let world = World::new()?;
    let (found, how) = world.table.lookup(UserAddr(DATA + 5)).ok_or("a page")?;
    ensure(found.same(&world.data) && how == READ_WRITE, "the page that was mapped")?;
    drop(found);
    let (load, store) = (&raw const el0_load, &raw const el0_store);
    ensure(world.trap(store, DATA).0 == Trap::Syscall, "a store to it")?;
    world.table.protect(UserAddr(DATA), PAGE_SIZE as u64, READ);
    ensure(
        matches!(world.trap(store, DATA).0, Trap::PageFault { permission: true, .. }),
        "no store any more",
    )?;
    ensure(world.trap(load, DATA).0 == Trap::Syscall, "but loads")?;
    let other = base::frame::alloc_zeroed().map_err(|_| "a frame")?;
    other.write(0, &7u64.to_le_bytes());
    world.table.map(UserAddr(DATA), other, READ).map_err(|_| "another page")?;
    ensure(world.data.handles() == 1, "the first is given up")?;
    ensure(world.trap(load, DATA).1.x[0] == 7, "the second is seen")?;
    let far = UserAddr((1 << 47) + 0x1000);
    for n in 0..100 {
        let at = far.add(n * PAGE_SIZE as u64);
        world.table.map(at, world.data.clone(), READ).map_err(|_| "pages far away")?;
    }
    ensure(world.data.handles() == 101 && world.trap(load, far.0).0 == Trap::Syscall, "100 handles")?;
    let before = frames::stats().free;
    world.table.unmap(UserAddr(0), 1 << 48);
    ensure(frames::stats().free >= before + 4, "and with the pages the tables that held them")?;
    ensure(world.data.handles() == 1 && world.table.lookup(far).is_none(), "all gone")?;
    ensure(matches!(world.trap(load, DATA).0, Trap::PageFault { access: Access::Execute, .. }), "code too")
}

/// Logs the time of a call into the kernel and back (its instructions, under `-icount shift=0`).
pub fn cost() -> Result<(), &'static str> {
    const ROUNDS: u64 = 1000;
    let world = World::new()?;
    let mut cpu = world.thread(&raw const el0_null_calls);
    let begin = base::time::monotonic_ns();
    let mut calls = 0;
    while calls < ROUNDS {
        calls += u64::from(cpu.run() == Trap::Syscall);
    }
    let ns = (base::time::monotonic_ns() - begin) / ROUNDS;
    log::info!("selftest: svc and back {ns} ns, svc and branch included");
    Ok(())
}
