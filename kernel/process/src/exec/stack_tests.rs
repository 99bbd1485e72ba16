//! The first stack, read as a program reads it.

use super::*;
use crate::exec::Segment;
use crate::mm::vma::VmFlags;
use proptest::prelude::*;
use std::vec;

fn image() -> Image {
    let prot = VmFlags::READ | VmFlags::EXEC;
    let segments = vec![Segment { start: 0x40_0000, file_end: 0x40_1000, end: 0x40_1000, offset: 0, prot }];
    Image { segments, entry: 0x40_0123, headers: 0x40_0040, header_count: 5, stack_exec: false }
}

fn lay_out(argv: &[Vec<u8>], envp: &[Vec<u8>], stack_limit: u64) -> Result<FirstStack, ExecError> {
    build(&StartInfo {
        argv,
        envp,
        execfn: b"/bin/prog",
        image: &image(),
        cred: &Cred::user(1000, 100),
        random: [9; 16],
        hwcap: 0xabc,
        hwcap2: 0xdef,
        stack_limit,
    })
}

/// What a program sees.
struct View<'a>(&'a FirstStack);

impl View<'_> {
    fn word(&self, at: u64) -> u64 {
        let from = (at - self.0.sp) as usize;
        u64::from_le_bytes(self.0.bytes[from..from + 8].try_into().unwrap())
    }

    fn text(&self, at: u64) -> Vec<u8> {
        let from = (at - self.0.sp) as usize;
        self.0.bytes[from..].iter().copied().take_while(|&b| b != 0).collect()
    }

    /// Pointers up to NULL, followed; and what comes after.
    fn list(&self, mut at: u64) -> (Vec<Vec<u8>>, u64) {
        let mut out = Vec::new();
        while self.word(at) != 0 {
            out.push(self.text(self.word(at)));
            at += 8;
        }
        (out, at + 8)
    }

    fn aux(&self, mut at: u64, key: u32) -> Option<u64> {
        while self.word(at) != 0 {
            if self.word(at) == key.into() {
                return Some(self.word(at + 8));
            }
            at += 16;
        }
        None
    }
}

#[test]
fn the_auxiliary_vector() {
    let first = lay_out(&[b"prog".to_vec()], &[b"A=b".to_vec()], 8 << 20).unwrap();
    let view = View(&first);
    let (argv, at) = view.list(first.sp + 8);
    let (envp, aux) = view.list(at);
    assert_eq!((argv, envp), (vec![b"prog".to_vec()], vec![b"A=b".to_vec()]));
    assert_eq!(first.strings.auxv.0.0, aux);
    let get = |key| view.aux(aux, key).unwrap();
    assert_eq!(get(auxvec::AT_PHDR), 0x40_0040);
    assert_eq!((get(auxvec::AT_PHENT), get(auxvec::AT_PHNUM)), (56, 5));
    assert_eq!((get(auxvec::AT_ENTRY), get(auxvec::AT_BASE)), (0x40_0123, 0));
    assert_eq!((get(auxvec::AT_UID), get(auxvec::AT_EGID), get(auxvec::AT_SECURE)), (1000, 100, 0));
    assert_eq!((get(auxvec::AT_HWCAP), get(auxvec::AT_HWCAP2)), (0xabc, 0xdef));
    assert_eq!((get(auxvec::AT_PAGESZ), get(auxvec::AT_CLKTCK)), (4096, 100));
    assert_eq!(view.text(get(auxvec::AT_PLATFORM)), b"aarch64");
    assert_eq!(view.text(get(auxvec::AT_EXECFN)), b"/bin/prog");
    assert_eq!(view.word(get(auxvec::AT_RANDOM)), 0x0909_0909_0909_0909);
    assert_eq!(get(auxvec::AT_MINSIGSTKSZ), 4704);
    assert_eq!(view.aux(aux, auxvec::AT_SYSINFO_EHDR), None);
}

#[test]
fn an_empty_argument_list_gets_a_name() {
    let first = lay_out(&[], &[], 8 << 20).unwrap();
    assert_eq!(View(&first).word(first.sp), 1);
    assert_eq!(View(&first).list(first.sp + 8).0, vec![b"".to_vec()]);
}

#[test]
fn too_long_is_too_long() {
    let fits = vec![vec![b'x'; MAX_STRING - 1]];
    assert!(lay_out(&fits, &[], 8 << 20).is_ok());
    let long = vec![vec![b'x'; MAX_STRING]];
    assert_eq!(lay_out(&long, &[], 8 << 20).unwrap_err(), ExecError::TooLong);
    let many = vec![vec![b'x'; 100_000]; 20];
    assert!(lay_out(&many[..19], &[], 8 << 20).is_ok());
    assert!(lay_out(&many, &many[..1], 8 << 20).is_err());
    // A small stack still takes 128 KiB.
    assert!(lay_out(&many[..1], &[], 1 << 10).is_ok());
    assert!(lay_out(&many[..2], &[], 1 << 10).is_err());
}

proptest! {
    #[test]
    fn every_string_arrives(
        argv in prop::collection::vec(prop::collection::vec(1u8.., 0..40), 1..20),
        envp in prop::collection::vec(prop::collection::vec(1u8.., 0..40), 0..20),
    ) {
        let first = lay_out(&argv, &envp, 8 << 20).unwrap();
        prop_assert_eq!(first.sp % 16, 0);
        prop_assert_eq!(first.sp + first.bytes.len() as u64, STACK_TOP);
        let view = View(&first);
        prop_assert_eq!(view.word(first.sp), argv.len() as u64);
        let (got_argv, at) = view.list(first.sp + 8);
        let (got_envp, _) = view.list(at);
        // What /proc/self/cmdline shows.
        let (from, to) = first.strings.args;
        let raw = &first.bytes[(from.0 - first.sp) as usize..(to.0 - first.sp) as usize];
        let joined: Vec<u8> = argv.iter().flat_map(|a| a.iter().copied().chain([0])).collect();
        prop_assert_eq!(raw, &joined[..]);
        prop_assert_eq!((got_argv, got_envp), (argv, envp));
    }
}
