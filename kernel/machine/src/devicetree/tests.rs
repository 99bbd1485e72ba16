//! The trees that QEMU 7.2 makes for `-M virt -m 512 -smp 2`, and damaged ones.

use super::*;
use proptest::prelude::*;

const V2: &[u8] = include_bytes!("../../testdata/virt-gicv2.dtb");
const V3: &[u8] = include_bytes!("../../testdata/virt-gicv3.dtb");

fn tree(blob: &[u8]) -> DeviceTree<'_> {
    DeviceTree::new(blob).expect("a tree of QEMU's")
}

#[test]
fn the_header_tells_the_size() {
    let header = V2[..8].try_into().expect("8 bytes");
    assert_eq!(DeviceTree::total_size(&header), Some(V2.len() as u32));
    assert_eq!(DeviceTree::total_size(&[0; 8]), None);
}

#[test]
fn memory_command_line_and_cpus() {
    for blob in [V2, V3] {
        let tree = tree(blob);
        assert_eq!(tree.memory().expect("memory").as_slice(), [Region::new(0x4000_0000, 512 << 20)]);
        assert_eq!(tree.bootargs(), "root=/dev/vda init=/bin/p");
        assert_eq!((tree.cpu_count(), tree.psci()), (2, Some(Conduit::Hvc)));
        assert_eq!(tree.rng_seed().len(), 32);
        assert!(tree.reserved().is_empty());
    }
}

#[test]
fn both_interrupt_controllers() {
    let distributor = Region::new(0x800_0000, 0x1_0000);
    assert_eq!(tree(V2).gic(), Ok(Gic::V2 { distributor, cpu: Region::new(0x801_0000, 0x1_0000) }));
    let redistributors = Region::new(0x80a_0000, 0xf6_0000);
    assert_eq!(tree(V3).gic(), Ok(Gic::V3 { distributor, redistributors }));
}

#[test]
fn devices_and_their_lines() {
    let tree = tree(V3);
    assert_eq!(tree.timer().map(|i| i.irq), Ok(Irq(27)));
    let uart = tree.uart().expect("a PL011");
    assert_eq!((uart.registers.start, uart.interrupt.map(|i| i.irq)), (0x900_0000, Some(Irq(33))));
    assert_eq!(tree.rtc().map(|d| d.registers.start), Some(0x901_0000));
    let virtio = tree.virtio_mmio();
    assert_eq!(virtio.len(), 32);
    assert_eq!(virtio[0].registers, Region::new(0xa00_0000, 0x200));
    assert_eq!(virtio[31].interrupt, Some(Interrupt { irq: Irq(79), trigger: Trigger::Edge }));
}

#[test]
fn the_power_key_is_on_the_gpio_controller() {
    for blob in [V2, V3] {
        let key = tree(blob).power_key().expect("a key");
        assert_eq!(key.controller.registers, Region::new(0x903_0000, 0x1000));
        assert_eq!(key.controller.interrupt.map(|i| (i.irq, i.trigger)), Some((Irq(39), Trigger::Level)));
        assert_eq!((key.line, key.active_low), (3, false));
    }
}

#[test]
fn the_pci_host_routes_its_pins() {
    for blob in [V2, V3] {
        let host = tree(blob).pci().expect("a host");
        assert_eq!(host.ecam, Region::new(0x40_1000_0000, 256 << 20));
        assert_eq!(host.windows.len(), 2);
        assert!(!host.windows[0].wide && host.windows[1].wide);
        assert_eq!(host.windows[0].cpu.start, 0x1000_0000);
        // virt: line 3 + (pin - 1 + device) % 4, shared.
        for (device, pin, irq) in [(0, 1, 35), (1, 1, 36), (2, 1, 37), (1, 4, 35), (5, 1, 36)] {
            assert_eq!(host.interrupt(0, device, 0, pin).map(|i| i.irq), Some(Irq(irq)), "{device} {pin}");
        }
        assert_eq!(host.interrupt(0, 0, 0, 5), None);
    }
}

#[test]
fn interrupts_that_no_gic_has() {
    assert_eq!(gic_interrupt([0, 988, 4]), None);
    assert_eq!(gic_interrupt([1, 16, 4]), None);
    assert_eq!(gic_interrupt([2, 0, 4]), None);
}

#[test]
fn a_cut_tree_is_malformed() {
    for len in [0, 4, 40, V2.len() / 2, V2.len() - 1] {
        assert_eq!(DeviceTree::new(&V2[..len]).err(), Some(Error::Malformed), "{len}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn damage_never_panics(at in 0usize..8000, byte in any::<u8>()) {
        let mut blob = V3.to_vec();
        let at = at % blob.len();
        blob[at] = byte;
        if let Ok(tree) = DeviceTree::new(&blob) {
            let _ = (tree.memory(), tree.reserved(), tree.bootargs(), tree.rng_seed(), tree.cpu_count());
            let _ = (tree.psci(), tree.gic(), tree.timer(), tree.uart(), tree.rtc(), tree.virtio_mmio());
            let _ = tree.power_key();
            if let Some(host) = tree.pci() {
                let _ = host.interrupt(0, 1, 0, 1);
            }
        }
    }
}
