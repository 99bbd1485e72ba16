//! Handlers and the way back, on a machine in memory.

use super::*;
use crate::limits::Limits;
use crate::mm::MapRequest;
use crate::mm::fake::{FakeCpu, FakeMachine};
use crate::signal::{How, SigAction, code, deliver};
use alloc::sync::Arc;

const HANDLER: u64 = 0x40_1000;
const TRAMPOLINE: u64 = 0x7000;

fn setup() -> (Mm, FakeCpu, Signals, u64) {
    let mm = Mm::new(FakeMachine::leak(), Arc::new(Limits::new(1 << 20)), 1 << 20).unwrap();
    let stack = MapRequest { len: 0x1_0000, prot: 3, flags: 0x22, ..Default::default() };
    let top = mm.mmap(&stack).unwrap().0 + 0x1_0000;
    let mut regs = UserRegs::start(0x40_0000, top - 0x108);
    regs.x.iter_mut().zip(100u64..).for_each(|(x, i)| *x = i);
    regs.pstate = 0x6000_0000;
    (mm, FakeCpu(regs), Signals::default(), top)
}

fn catch(signals: &Signals, signal: Signal, flags: u64) {
    let mask = SigSet::of(Signal::USR2);
    signals.set_action(signal, SigAction { handler: HANDLER, flags, restorer: 0x9999, mask }).unwrap();
}

#[test]
fn a_handler_is_called_and_comes_back() {
    let (mm, mut cpu, signals, _) = setup();
    let before = cpu.0;
    catch(&signals, Signal::SEGV, flags::SA_SIGINFO);
    signals.force(SigInfo::fault(Signal::SEGV, code::SEGV_ACCERR, UserAddr(0xdead)));
    assert!(signals.attention());
    assert_eq!(deliver(&signals, &mm, &mut cpu, TRAMPOLINE, None), None);
    let regs = cpu.0;
    assert_eq!((regs.pc, regs.x[0], regs.x[30]), (HANDLER, 11, TRAMPOLINE));
    assert_eq!((regs.x[1], regs.x[2], regs.sp % 16), (regs.sp, regs.sp + 128, 0));
    assert_eq!(signals.blocked(), SigSet::of(Signal::SEGV).with(Signal::USR2));
    // x29 leads to the frame record with the old x29 and x30.
    let mut link = [0; 16];
    mm.read_exact(UserAddr(regs.x[29]), &mut link).unwrap();
    assert_eq!(link[..8], 129u64.to_le_bytes());
    assert_eq!(link[8..], 130u64.to_le_bytes());
    // mcontext: fault address, x0.
    let mut words = [0; 16];
    mm.read_exact(UserAddr(regs.x[2] + 176), &mut words).unwrap();
    assert_eq!(words[..8], 0xdeadu64.to_le_bytes());
    assert_eq!(words[8..], 100u64.to_le_bytes());

    assert_eq!(sigreturn(&signals, &mm, &mut cpu.0), Ok(()));
    assert_eq!(cpu.0, before);
    assert_eq!(signals.blocked(), SigSet::default());
}

#[test]
fn a_handler_may_change_where_the_program_goes_on() {
    let (mm, mut cpu, signals, _) = setup();
    catch(&signals, Signal::ILL, flags::SA_SIGINFO | flags::SA_RESTORER);
    signals.force(SigInfo::kernel(Signal::ILL));
    assert_eq!(deliver(&signals, &mm, &mut cpu, TRAMPOLINE, None), None);
    assert_eq!(cpu.0.x[30], 0x9999);
    let pc = UserAddr(cpu.0.x[2] + 176 + 8 + 31 * 8 + 8);
    mm.write_all(pc, &0x1234u64.to_le_bytes()).unwrap();
    // What a program cannot choose of its pstate is left out, an EL1 mode refused.
    mm.write_all(pc.add(8), &0x8000_03c0u64.to_le_bytes()).unwrap();
    let mut regs = cpu.0;
    assert_eq!(sigreturn(&signals, &mm, &mut regs), Ok(()));
    assert_eq!((regs.pc, regs.pstate), (0x1234, 0x8000_0000));
    mm.write_all(pc.add(8), &5u64.to_le_bytes()).unwrap();
    assert!(sigreturn(&signals, &mm, &mut cpu.0).is_err());
}

#[test]
fn two_signals_nest() {
    let (mm, mut cpu, signals, _) = setup();
    let before = cpu.0;
    catch(&signals, Signal::USR1, 0);
    catch(&signals, Signal::HUP, flags::SA_NODEFER);
    signals.send(SigInfo::sent(Signal::USR1, code::SI_USER, 1, 0));
    signals.send(SigInfo::sent(Signal::HUP, code::SI_USER, 1, 0));
    assert_eq!(deliver(&signals, &mm, &mut cpu, TRAMPOLINE, None), None);
    // HUP came first, so USR1's handler runs first and returns into HUP's.
    assert_eq!(cpu.0.x[0], 10);
    assert_eq!(sigreturn(&signals, &mm, &mut cpu.0), Ok(()));
    assert_eq!((cpu.0.x[0], cpu.0.pc), (1, HANDLER));
    assert_eq!(sigreturn(&signals, &mm, &mut cpu.0), Ok(()));
    assert_eq!(cpu.0, before);
}

#[test]
fn the_alternate_stack_is_used_once() {
    let (mm, mut cpu, signals, top) = setup();
    let alt = AltStack { base: top - 0x8000, size: 0x4000, flags: 0 };
    signals.set_alt_stack(alt, cpu.0.sp).unwrap();
    catch(&signals, Signal::SEGV, flags::SA_ONSTACK | flags::SA_NODEFER);
    signals.force(SigInfo::kernel(Signal::SEGV));
    deliver(&signals, &mm, &mut cpu, TRAMPOLINE, None);
    assert_eq!(cpu.0.sp, top - 0x4000 - FRAME_SIZE);
    let first = cpu.0.sp;
    signals.force(SigInfo::kernel(Signal::SEGV));
    deliver(&signals, &mm, &mut cpu, TRAMPOLINE, None);
    assert_eq!(cpu.0.sp, first - FRAME_SIZE);
}

#[test]
fn the_default_ends_the_program_and_so_does_a_bad_stack() {
    let (mm, mut cpu, signals, _) = setup();
    signals.send(SigInfo::kernel(Signal::TERM));
    assert_eq!(deliver(&signals, &mm, &mut cpu, 0, None).map(|i| i.signal), Some(Signal::TERM));
    signals.send(SigInfo::kernel(Signal::WINCH));
    assert_eq!(deliver(&signals, &mm, &mut cpu, 0, None), None);
    catch(&signals, Signal::USR1, 0);
    for sp in [0, 8, 0x1000, u64::MAX, 1 << 48] {
        cpu.0.sp = sp;
        signals.send(SigInfo::kernel(Signal::USR1));
        assert_eq!(deliver(&signals, &mm, &mut cpu, 0, None).map(|i| i.signal), Some(Signal::SEGV));
        assert!(sigreturn(&signals, &mm, &mut cpu.0).is_err());
    }
}

#[test]
fn a_handler_for_once() {
    let (mm, mut cpu, signals, _) = setup();
    catch(&signals, Signal::USR1, flags::SA_RESETHAND);
    signals.send(SigInfo::kernel(Signal::USR1));
    assert_eq!(deliver(&signals, &mm, &mut cpu, 0, None), None);
    sigreturn(&signals, &mm, &mut cpu.0).unwrap();
    signals.send(SigInfo::kernel(Signal::USR1));
    assert_eq!(deliver(&signals, &mm, &mut cpu, 0, None).map(|i| i.signal), Some(Signal::USR1));
    assert_eq!(signals.change_mask(How::Block, SigSet(0)), SigSet(0));
}

#[test]
fn floating_point_registers_travel_through_the_frame() {
    let mut fp = FpRegs { v: [0; 32], fpsr: 1, fpcr: 2 };
    fp.v.iter_mut().zip(1u128..).for_each(|(v, i)| *v = i << 100 | i);
    let mut frame = Frame(vec![0; SIZE].into_boxed_slice());
    assert!(frame.fp().is_none());
    let next = Next { info: SigInfo::kernel(Signal::HUP), action: SigAction::default(), blocked: SigSet(0) };
    let alt = AltStack { base: 0, size: 0, flags: 2 };
    frame.fill(&UserRegs::start(0, 0), &next, &alt, Some(&fp));
    assert_eq!(frame.fp().as_deref(), Some(&fp));
    assert_eq!(SIZE, 4688);
}

#[test]
fn an_interrupted_call_is_done_again_when_the_handler_says_so() {
    const CALL: u64 = 0x5000;
    // What its flags are, and whether the call is done again.
    for (flags, again) in [(0, false), (flags::SA_RESTART, true)] {
        let (mm, mut cpu, signals, _) = setup();
        catch(&signals, Signal::USR1, flags);
        (cpu.0.pc, cpu.0.x[0]) = (CALL + 4, Errno::EINTR.as_return());
        signals.send(SigInfo::kernel(Signal::USR1));
        assert_eq!(deliver(&signals, &mm, &mut cpu, TRAMPOLINE, Some(7)), None);
        assert_eq!(cpu.0.pc, HANDLER);
        assert!(sigreturn(&signals, &mm, &mut cpu.0).is_ok());
        let after = if again { (CALL, 7) } else { (CALL + 4, Errno::EINTR.as_return()) };
        assert_eq!((cpu.0.pc, cpu.0.x[0]), after);
    }
    // Of two handlers the first one's word counts.
    let (mm, mut cpu, signals, _) = setup();
    catch(&signals, Signal::HUP, 0);
    catch(&signals, Signal::USR1, flags::SA_RESTART);
    cpu.0.pc = CALL + 4;
    [Signal::USR1, Signal::HUP].into_iter().for_each(|signal| signals.send(SigInfo::kernel(signal)));
    assert_eq!(deliver(&signals, &mm, &mut cpu, TRAMPOLINE, Some(7)), None);
    assert!(sigreturn(&signals, &mm, &mut cpu.0).is_ok());
    assert!(sigreturn(&signals, &mm, &mut cpu.0).is_ok());
    assert_eq!(cpu.0.pc, CALL + 4);
    // No handler at all.
    assert_eq!(deliver(&signals, &mm, &mut cpu, TRAMPOLINE, Some(8)), None);
    assert_eq!((cpu.0.pc, cpu.0.x[0]), (CALL, 8));
}
