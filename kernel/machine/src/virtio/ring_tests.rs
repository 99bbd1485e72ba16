//! The ring against a device that follows the rules, and one that does not.

use base::PhysAddr;

use super::fake::pair;
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
