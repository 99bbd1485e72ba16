//! Dispositions, masks and what is pending.

use super::*;
use base::UserAddr;

fn handler(at: u64) -> SigAction {
    SigAction { handler: at, ..SigAction::default() }
}

#[test]
fn blocked_signals_wait() {
    let signals = Signals::default();
    signals.change_mask(How::Block, SigSet::of(Signal::USR1).with(Signal::KILL));
    assert_eq!(signals.blocked(), SigSet::of(Signal::USR1));
    signals.send(SigInfo::kernel(Signal::USR1));
    assert!(!signals.attention());
    assert_eq!(signals.pending(), SigSet::of(Signal::USR1));
    assert!(signals.take_next().is_none());
    signals.change_mask(How::Unblock, SigSet::of(Signal::USR1));
    assert!(signals.attention());
    assert_eq!(signals.take_next().map(|n| n.info.signal), Some(Signal::USR1));
    assert!(!signals.attention());
}

#[test]
fn ignored_signals_are_not_kept() {
    let signals = Signals::default();
    signals.send(SigInfo::kernel(Signal::CHLD));
    assert!(!signals.attention());
    signals.set_action(Signal::TERM, handler(SIG_IGN)).unwrap();
    signals.send(SigInfo::kernel(Signal::TERM));
    assert!(!signals.attention());
    signals.send(SigInfo::kernel(Signal::USR1));
    assert!(signals.attention());
    signals.set_action(Signal::USR1, handler(SIG_IGN)).unwrap();
    assert!(!signals.attention());
    assert_eq!(signals.set_action(Signal::KILL, handler(SIG_IGN)), Err(Errno::EINVAL));
    assert_eq!(signals.ignored_and_caught().0, SigSet::of(Signal::USR1).with(Signal::TERM));
}

#[test]
fn faults_come_first_and_cannot_be_escaped() {
    let signals = Signals::default();
    signals.send(SigInfo::kernel(Signal::HUP));
    signals.change_mask(How::Set, SigSet(u64::MAX));
    signals.set_action(Signal::SEGV, handler(0x1000)).unwrap();
    signals.force(SigInfo::fault(Signal::SEGV, 1, UserAddr(5)));
    let next = signals.take_next().unwrap();
    assert_eq!((next.info.signal, next.action.handler), (Signal::SEGV, SIG_DFL));
    signals.change_mask(How::Set, SigSet(0));
    signals.set_action(Signal::SEGV, handler(0x1000)).unwrap();
    signals.force(SigInfo::fault(Signal::SEGV, 1, UserAddr(5)));
    assert_eq!(signals.take_next().map(|n| n.action.handler), Some(0x1000));
    assert_eq!(signals.take_next().map(|n| n.info.signal), Some(Signal::HUP));
}

#[test]
fn the_alternate_stack() {
    let signals = Signals::default();
    let stack = |size, flags| AltStack { base: 0x10_0000, size, flags };
    assert_eq!(signals.alt_stack().told_flags(0), SS_DISABLE);
    assert_eq!(signals.set_alt_stack(stack(5119, 0), 0), Err(Errno::ENOMEM));
    assert_eq!(signals.set_alt_stack(stack(8192, 4), 0), Err(Errno::EINVAL));
    assert_eq!(signals.set_alt_stack(stack(8192, 0), 0), Ok(()));
    assert_eq!(signals.set_alt_stack(stack(8192, 0), 0x10_1000), Err(Errno::EPERM));
    assert_eq!(signals.alt_stack().told_flags(0x10_2000), SS_ONSTACK);
    assert_eq!(signals.alt_stack().told_flags(0x10_0000), 0);
    assert_eq!(signals.set_alt_stack(stack(0, SS_DISABLE), 0), Ok(()));
    assert_eq!(signals.alt_stack().told_flags(0x10_1000), SS_DISABLE);
}

#[test]
fn a_wait_with_another_mask_comes_back_to_the_old_one() {
    let signals = Signals::default();
    let (usr1, usr2) = (SigSet::of(Signal::USR1), SigSet::of(Signal::USR2));
    signals.change_mask(How::Block, usr1);
    signals.send(SigInfo::kernel(Signal::USR1));
    signals.suspend_mask(usr2);
    assert!(signals.attention(), "the wait's own mask lets it in");
    let next = signals.take_next().unwrap();
    assert_eq!((next.info.signal, next.blocked), (Signal::USR1, usr1));
    signals.begin_handler(&next);
    assert_eq!(signals.blocked(), usr2.with(Signal::USR1));
    signals.resume_mask();
    assert_eq!(signals.blocked(), usr2.with(Signal::USR1), "the handler's frame has the old mask");

    let signals = Signals::default();
    signals.change_mask(How::Block, usr1);
    signals.suspend_mask(usr2);
    signals.resume_mask();
    assert_eq!(signals.blocked(), usr1);
}

#[test]
fn a_wait_takes_what_is_blocked() {
    let signals = Signals::default();
    let set = SigSet::of(Signal::USR1);
    signals.change_mask(How::Block, set);
    assert_eq!(signals.take(set), None);
    signals.send(SigInfo::kernel(Signal::USR1));
    assert_eq!(signals.take(SigSet::of(Signal::USR2)), None);
    assert_eq!(signals.take(set).map(|info| info.signal), Some(Signal::USR1));
    assert_eq!(signals.take(set), None);
    assert!(!signals.sleep(Some(1000), || false), "nothing came");
    signals.send(SigInfo::kernel(Signal::USR2));
    assert!(!signals.sleep(None, || false), "interrupted");
    assert!(signals.sleep(None, || true));
}
