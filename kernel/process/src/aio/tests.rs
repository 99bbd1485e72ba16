use super::*;
use crate::limits::Limits;
use crate::mm::fake::FakeMachine;
use base::{PAGE_SIZE, UserAddr, UserMemory};

fn mm() -> Mm {
    Mm::new(FakeMachine::leak(), Arc::new(Limits::new(1 << 20)), 1 << 20).unwrap()
}

fn event(n: u64) -> Event {
    Event { data: n, obj: n << 32, res: -(n as i64) }
}

fn words(mm: &Mm, at: u64, count: usize) -> Vec<u64> {
    let mut bytes = alloc::vec![0; 8 * count];
    assert_eq!(mm.read(UserAddr(at), &mut bytes), bytes.len());
    bytes.chunks_exact(8).map(|w| u64::from_ne_bytes(w.try_into().unwrap())).collect()
}

#[test]
fn sizes_as_linux_makes_them() {
    let mm = mm();
    for (requests, slots) in [(1, 127), (62, 127), (63, 255), (64, 255), (1000, 2047)] {
        let ring = Ring::map(&mm, ring::slots(requests).unwrap(), 0).unwrap();
        assert_eq!(ring.slots(), slots, "{requests}");
        assert_eq!(ring.len() as usize % PAGE_SIZE, 0);
    }
    assert_eq!(ring::slots(u32::MAX), Err(Errno::EINVAL));
    assert_eq!(ring::slots(1 << 22), Ok((1 << 23) + 2));
    assert_eq!(ring::slots((1 << 22) + 1), Err(Errno::EINVAL));
}

#[test]
fn the_program_sees_the_ring_and_may_read_it_itself() {
    let (mm, contexts) = (mm(), Contexts::default());
    let id = contexts.setup(&mm, 10).unwrap();
    assert_eq!(words(&mm, id, 4), [127 << 32, 0, 0xa10a_10a1 | 1 << 32, 32 << 32]);
    let context = contexts.find(id).unwrap();
    for n in 1..=126 {
        assert_eq!(context.begin(), Ok(()));
        context.tell(&event(n));
    }
    assert_eq!(context.begin(), Err(Errno::EAGAIN));
    assert_eq!(words(&mm, id + 32 + 32 * 125, 4), [126, 126 << 32, 126u64.wrapping_neg(), 0]);
    // It reads ten: the kernel learns of it from the head.
    assert_eq!(mm.write(UserAddr(id + 8), &10u32.to_ne_bytes()), 4);
    for _ in 0..10 {
        assert_eq!(context.begin(), Ok(()));
    }
    assert_eq!(context.begin(), Err(Errno::EAGAIN));
    context.tell(&event(200));
    // A head that makes no sense is a place in the ring all the same.
    assert_eq!(mm.write(UserAddr(id + 8), &u32::MAX.to_ne_bytes()), 4);
    assert!(context.ring.head() < 127);
    assert_eq!(contexts.find(id + 4096).err(), Some(Errno::EINVAL));
}

#[test]
fn the_number_goes_with_a_ring_that_moves() {
    const MAYMOVE: u32 = 1;
    const TO: u32 = 3;
    const KEEP: u32 = 5;
    let (mm, contexts) = (mm(), Contexts::default());
    let id = contexts.setup(&mm, 1).unwrap();
    let new = id - 0x10_0000;
    let mremap = |to: u64, flags| mm.mremap(UserAddr(id), 4096, to, flags, UserAddr(new)).map(|at| at.0);
    assert_eq!(mremap(8192, MAYMOVE), Err(Errno::EFAULT));
    assert_eq!(mremap(8192, TO), Err(Errno::EFAULT));
    assert_eq!(mremap(4096, KEEP), Err(Errno::EINVAL));
    let context = contexts.find(id).unwrap();
    assert_eq!(context.begin(), Ok(()));
    assert_eq!(mremap(4096, TO), Ok(new));
    assert_eq!(contexts.find(id).err(), Some(Errno::EINVAL));
    assert!(Arc::ptr_eq(&contexts.find(new).unwrap(), &context));
    // Where it lies now the program finds what ends later, and io_destroy takes it away.
    context.tell(&event(7));
    assert_eq!(words(&mm, new + 32, 3), [7, 7 << 32, 7u64.wrapping_neg()]);
    assert_eq!(contexts.destroy(&mm, new), Ok(()));
    assert_eq!(mm.read(UserAddr(new), &mut [0]), 0);
}

#[test]
fn events_are_read_in_order_around_the_end() {
    let (mm, contexts) = (mm(), Contexts::default());
    let id = contexts.setup(&mm, 1).unwrap();
    let context = contexts.find(id).unwrap();
    let request = crate::mm::MapRequest { len: 8192, prot: 3, flags: 0x22, ..Default::default() };
    let at = mm.mmap(&request).unwrap();
    let mut next = 0;
    for round in 0..10u64 {
        for n in 0..100 {
            context.begin().unwrap();
            context.tell(&event(100 * round + n));
        }
        assert_eq!(context.read_events(&mm, 1, 30, at, None), Ok(30));
        assert_eq!(context.read_events(&mm, 0, 0, at, None), Ok(0));
        assert_eq!(context.read_events(&mm, 70, 200, at.add(30 * 32), Some(0)), Ok(70));
        for word in words(&mm, at.0, 400).chunks(4) {
            assert_eq!(word[0], next);
            next += 1;
        }
    }
    assert_eq!(context.read_events(&mm, 1, 1, at, Some(0)), Ok(0));
    context.begin().unwrap();
    context.tell(&event(1));
    assert_eq!(context.read_events(&mm, 1, 1, UserAddr(8), None), Err(Errno::EFAULT));
    assert_eq!(context.read_events(&mm, 1, 1, at, None), Ok(1));
}

#[test]
fn the_end_waits_for_what_has_begun() {
    let (mm, contexts) = (mm(), Contexts::default());
    let before = vfs::aio::nr();
    let id = contexts.setup(&mm, 100).unwrap();
    let context = contexts.find(id).unwrap();
    context.begin().unwrap();
    let late = context.clone();
    let thread = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(20));
        late.tell(&event(1));
    });
    contexts.destroy(&mm, id).unwrap();
    assert_eq!(context.state.lock().active, 0);
    assert_eq!(context.begin(), Err(Errno::EINVAL));
    thread.join().unwrap();
    drop(context);
    assert!(vfs::aio::nr() < before + 100);
    assert_eq!(contexts.destroy(&mm, id), Err(Errno::EINVAL));
    assert_eq!(mm.read(UserAddr(id), &mut [0]), 0);
}

#[test]
fn what_advice_takes_out_of_the_ring_comes_back() {
    const DONTNEED: u32 = 4;
    let (mm, contexts) = (mm(), Contexts::default());
    let id = contexts.setup(&mm, 10).unwrap();
    let context = contexts.find(id).unwrap();
    assert_eq!(context.begin(), Ok(()));
    context.tell(&event(1));
    let before = words(&mm, id, 8);
    mm.madvise(UserAddr(id), context.ring.len(), DONTNEED).unwrap();
    assert_eq!(mm.sizes().resident, 0);
    assert_eq!(words(&mm, id, 8), before);
    mm.madvise(UserAddr(id), context.ring.len(), DONTNEED).unwrap();
    // The kernel sees where the program has read to.
    assert_eq!(mm.write(UserAddr(id + 8), &1u32.to_ne_bytes()), 4);
    assert_eq!(context.ring.head(), 1);
}
