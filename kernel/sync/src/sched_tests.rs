//! The scheduler's table, alone.

use super::*;

impl Sched {
    /// The invariants of the module, checked.
    fn check(&self) {
        for (id, slot) in self.slots.iter().enumerate() {
            let ready = self.ready.iter().filter(|&&r| r == id).count();
            assert_eq!(ready, usize::from(slot.state == State::Ready), "1");
            let asleep = self.sleepers.iter().filter(|s| s.1 == id).count();
            assert_eq!(asleep, usize::from(matches!(slot.state, State::Asleep { deadline: Some(_) })), "2");
            assert!(slot.state != State::Running || slot.on_cpu.is_some(), "3");
        }
        assert!(self.sleepers.windows(2).all(|w| w[0].0 >= w[1].0), "2");
        assert!(
            self.ready.capacity() >= self.slots.len() && self.sleepers.capacity() >= self.slots.len(),
            "4"
        );
    }
}

#[test]
fn threads_take_turns() {
    let mut s = Sched::new();
    let boot = s.adopt(0);
    let (a, b) = (s.add(), s.add());
    s.requeue(boot);
    assert_eq!(s.pick(0, boot), Some(a));
    s.requeue(a);
    assert_eq!(s.pick(0, a), Some(b));
    s.requeue(b);
    assert_eq!(s.pick(0, b), Some(boot));
    s.check();
}

#[test]
fn an_early_wake_is_kept() {
    let mut s = Sched::new();
    let boot = s.adopt(0);
    assert!(!s.wake(boot));
    assert!(!s.sleep(boot, None));
    assert!(s.sleep(boot, None));
    assert_eq!(s.pick(0, boot), None);
    assert!(s.wake(boot));
    assert!(!s.wake(boot));
    assert_eq!(s.pick(0, boot), Some(boot));
    assert!(!s.sleep(boot, None));
    s.check();
}

#[test]
fn deadlines_come_in_order() {
    let mut s = Sched::new();
    let boot = s.adopt(0);
    let ids = [s.add(), s.add(), s.add()];
    let mut from = boot;
    s.requeue(boot);
    for (&id, deadline) in ids.iter().zip([30, 10, 20]) {
        assert_eq!(s.pick(0, from), Some(id));
        assert!(s.sleep(id, Some(deadline)));
        from = id;
    }
    assert_eq!(s.next_deadline(), Some(10));
    assert_eq!(s.expire(9), 0);
    assert_eq!(s.expire(20), 2);
    assert_eq!(s.pick(0, from), Some(boot));
    assert_eq!(s.pick(0, boot), Some(ids[1]));
    assert_eq!(s.pick(0, ids[1]), Some(ids[2]));
    assert!(s.wake(ids[0]));
    assert_eq!(s.next_deadline(), None);
}

#[test]
fn an_ended_threads_slot_is_used_again_once_its_stack_is_free() {
    let mut s = Sched::new();
    let boot = s.adopt(0);
    let a = s.add();
    s.requeue(boot);
    assert_eq!(s.pick(0, boot), Some(a));
    s.exit(a);
    // The CPU is still on a's stack.
    let b = s.add();
    assert_ne!(b, a);
    assert_eq!(s.pick(0, a), Some(boot));
    assert_eq!(s.add(), a);
    s.check();
}

#[test]
fn a_stack_is_never_on_two_cpus() {
    let mut s = Sched::new();
    let (first, second) = (s.adopt(0), s.adopt(1));
    assert!(s.sleep(first, None));
    assert_eq!(s.pick(0, first), None);
    s.wake(first);
    // CPU 0 still idles on first's stack.
    assert!(s.sleep(second, None));
    assert_eq!(s.pick(1, second), None);
    assert_eq!(s.pick(0, first), Some(first));
}

#[test]
fn random_steps_keep_the_invariants() {
    let mut s = Sched::new();
    let mut current = s.adopt(0);
    let mut live = 1;
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = |n: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % n
    };
    for now in 0..20_000u64 {
        let slots = s.slots.len() as u64;
        let mut off = false;
        match random(7) {
            0 if live < 12 => {
                s.add();
                live += 1;
            }
            1 => {
                let deadline = (random(2) == 0).then(|| now + random(50));
                off = s.sleep(current, deadline);
            }
            2 | 3 => {
                s.wake(random(slots) as usize);
            }
            4 => {
                s.requeue(current);
                off = true;
            }
            5 if live > 1 && s.ready() > 0 => {
                s.exit(current);
                live -= 1;
                off = true;
            }
            _ => {
                s.expire(now);
            }
        }
        s.check();
        while off {
            match s.pick(0, current) {
                Some(next) => {
                    current = next;
                    off = false;
                }
                None => {
                    s.wake(random(slots) as usize);
                }
            }
        }
        s.check();
    }
}
