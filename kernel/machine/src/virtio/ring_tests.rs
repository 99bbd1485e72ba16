//! The ring against a device that follows the rules, and one that does not.

use base::PhysAddr;
use proptest::prelude::*;

use super::fake::{FakeDevice, pair};
use super::ring::{BadRing, Buffer, Ring, Used, need_event};

fn buffers(count: u64) -> impl Iterator<Item = Buffer> {
    (0..count).map(|n| Buffer { phys: PhysAddr(0x1000 * (n + 1)), len: 512, device_writes: n > 0 })
}

#[test]
fn the_layout_is_the_legacy_one() {
    let parts = Ring::parts(256, PhysAddr(0x4000_0000));
    assert_eq!(parts.available.0 - parts.descriptors.0, 4096);
    assert_eq!(parts.used.0 - parts.descriptors.0, 8192);
    assert_eq!(Ring::bytes(256), 8192 + 6 + 2048);
    assert_eq!(Ring::parts(8, PhysAddr(0)).used.0, 4096);
}

#[test]
fn an_event_is_passed_modulo_65536() {
    assert!(need_event(5, 6, 5));
    assert!(!need_event(6, 6, 5));
    assert!(!need_event(4, 6, 5));
    assert!(need_event(65535, 0, 65535));
    assert!(need_event(65535, 1, 65534));
    assert!(!need_event(0, 0, 65530));
    assert!(need_event(0, 1, 0));
}

#[test]
fn a_chain_goes_out_and_comes_back() {
    let (mut ring, mut device) = pair(8, false);
    let head = ring.add(buffers(3), 3).unwrap();
    assert_eq!((ring.free(), device.take()), (5, 0));
    assert!(ring.publish());
    assert!(!ring.publish(), "nothing new");
    assert_eq!(device.take(), 1);
    assert_eq!(ring.pop(), Ok(None));
    device.give_back(head.into(), 99);
    assert_eq!(ring.pop(), Ok(Some(Used { head, written: 99 })));
    assert_eq!((ring.pop(), ring.free()), (Ok(None), 8));
}

#[test]
fn no_room_changes_nothing() {
    let (mut ring, _device) = pair(4, false);
    assert!(ring.add(buffers(3), 3).is_some());
    assert_eq!(ring.add(buffers(2), 2), None);
    assert_eq!(ring.add(buffers(0), 0), None);
    assert!(ring.add_indirect(PhysAddr(0x9000), 5).is_some());
    assert_eq!(ring.add_indirect(PhysAddr(0x9000), 5), None);
    assert_eq!(ring.free(), 0);
}

/// Far beyond 65,536 requests, each side sleeping whenever the other does not ask for it: if a wake is
/// lost, nothing moves any more.
#[test]
fn nothing_is_lost_at_the_wrap() {
    for size in [4u16, 256] {
        for batch in [1, 3, 4] {
            let (mut ring, mut device) = pair(size, true);
            let (mut told, mut done, mut heads) = (false, 0u32, std::vec::Vec::new());
            while done < 200_000 {
                while heads.len() < batch {
                    heads.push(ring.add(buffers(1), 1).unwrap());
                }
                told |= ring.publish();
                assert!(told, "the device sleeps on {} requests after {done}", heads.len());
                assert_eq!(device.take(), heads.len());
                told = false;
                let mut interrupt = false;
                for head in &heads {
                    interrupt |= device.give_back(u32::from(*head), 1);
                }
                assert!(interrupt, "the driver sleeps on {} after {done}", heads.len());
                while let Some(used) = ring.pop().unwrap() {
                    assert_eq!(heads.remove(0), used.head);
                    done += 1;
                }
                assert!(!ring.arm());
                assert!(heads.is_empty());
            }
        }
    }
}

#[test]
fn arming_sees_what_came_in_between() {
    let (mut ring, mut device) = pair(8, true);
    let heads = [ring.add(buffers(1), 1).unwrap(), ring.add(buffers(1), 1).unwrap()];
    ring.publish();
    device.take();
    device.give_back(heads[0].into(), 1);
    assert!(ring.pop().unwrap().is_some());
    device.give_back(heads[1].into(), 1);
    assert!(ring.arm());
    assert!(ring.pop().unwrap().is_some());
    assert!(!ring.arm());
}

#[test]
fn a_busy_device_is_not_told_again() {
    let (mut ring, mut device) = pair(8, true);
    ring.add(buffers(1), 1);
    assert!(ring.publish());
    // The device has not looked yet: its event index still stands at 0.
    ring.add(buffers(1), 1);
    assert!(!ring.publish());
    assert_eq!(device.take(), 2);
    ring.add(buffers(1), 1);
    assert!(ring.publish());
}

#[test]
fn lies_are_errors() {
    let (mut ring, mut device) = pair(8, false);
    let head = ring.add(buffers(2), 2).unwrap();
    ring.publish();
    device.give_back(77, 1);
    assert_eq!(ring.pop(), Err(BadRing::Id(77)));
    device.give_back(u32::from(head) + 1, 1);
    assert_eq!(ring.pop(), Err(BadRing::Id(u32::from(head) + 1)), "the middle of a chain");
    device.lie(1000);
    assert!(matches!(ring.pop(), Err(BadRing::Index { device: 1000, .. })));
}

#[test]
fn giving_back_twice_is_an_error() {
    let (mut ring, mut device) = pair(8, false);
    let head = ring.add(buffers(1), 1).unwrap();
    ring.add(buffers(1), 1);
    ring.publish();
    device.give_back(head.into(), 1);
    device.give_back(head.into(), 1);
    assert!(ring.pop().unwrap().is_some());
    assert_eq!(ring.pop(), Err(BadRing::Id(head.into())));
}

/// A step of the life of a ring with a device that works when it likes.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The driver adds so many chains of so many buffers, and shows them.
    Submit { chains: usize, buffers: u64 },
    /// The device looks at the ring, if it was told to.
    Look,
    /// The device ends one of those that it has.
    Finish { pick: usize },
    /// The driver reaps, if it was told to.
    Reap,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1..6usize, 1..5u64).prop_map(|(chains, buffers)| Step::Submit { chains, buffers }),
        Just(Step::Look),
        any::<usize>().prop_map(|pick| Step::Finish { pick }),
        any::<usize>().prop_map(|pick| Step::Finish { pick }),
        Just(Step::Reap),
    ]
}

/// The two sides, each of which does nothing unless it was told to.
struct Both {
    ring: Ring,
    device: FakeDevice,
    /// What the driver waits for.
    out: std::collections::BTreeSet<u16>,
    /// What the device has looked at.
    held: std::vec::Vec<u16>,
    order: std::collections::VecDeque<u16>,
    told_device: bool,
    told_driver: bool,
    done: u64,
}

impl Both {
    fn new(size: u16, event_idx: bool) -> Both {
        let (ring, device) = pair(size, event_idx);
        let (out, held, order) = Default::default();
        Both { ring, device, out, held, order, told_device: false, told_driver: false, done: 0 }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Submit { chains, buffers: n } => {
                for _ in 0..chains {
                    let Some(head) = self.ring.add(buffers(n), n as usize) else { break };
                    assert!(self.out.insert(head), "{head} is given out twice");
                    self.order.push_back(head);
                }
                self.told_device |= self.ring.publish();
            }
            Step::Look if self.told_device => {
                self.told_device = false;
                let looked_at = self.device.take();
                self.held.extend(self.order.drain(..looked_at));
            }
            Step::Finish { pick } if !self.held.is_empty() => {
                let head = self.held.swap_remove(pick % self.held.len());
                self.told_driver |= self.device.give_back(head.into(), u32::from(head));
            }
            Step::Reap if self.told_driver => {
                self.told_driver = false;
                self.reap();
            }
            _ => {}
        }
    }

    fn reap(&mut self) {
        self.ring.disarm();
        loop {
            while let Some(used) = self.ring.pop().unwrap() {
                assert!(self.out.remove(&used.head), "{} came back twice", used.head);
                assert_eq!(used.written, u32::from(used.head));
                self.done += 1;
            }
            if !self.ring.arm() {
                return;
            }
        }
    }

    /// Both work as long as they are told to; then nothing may be left.
    fn settle(&mut self) {
        while self.told_device || self.told_driver || !self.held.is_empty() {
            self.step(Step::Look);
            self.step(Step::Finish { pick: self.done as usize });
            self.step(Step::Reap);
        }
        assert!(self.out.is_empty(), "both sleep on {:?} after {}", self.out, self.done);
        assert_eq!(self.ring.free(), self.ring.size().into());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    /// Any interleaving, any order of completion, over several wraps of the 16-bit index: everything
    /// comes back once, and nobody sleeps on work.
    #[test]
    fn whatever_the_order_nothing_is_lost(
        steps in prop::collection::vec(step(), 20..60),
        size in prop::sample::select(std::vec![4u16, 16, 64]),
        event_idx: bool,
        settles in 1..40usize,
    ) {
        let mut both = Both::new(size, event_idx);
        let mut round = 0;
        while both.done < 150_000 {
            steps.iter().for_each(|step| both.step(*step));
            // Sides that were told do work in the end; without that, no step may move anything.
            round += 1;
            if round % settles == 0 {
                both.settle();
            } else if both.out.is_empty() {
                both.step(Step::Submit { chains: 1, buffers: 1 });
            }
        }
        both.settle();
    }
}
