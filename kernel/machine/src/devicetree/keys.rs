//! The power key: a line of a GPIO controller that somebody presses.
//!
//! Source: bindings/input/gpio-keys.yaml (a child node per key: `linux,code`, `gpios` = phandle, line,
//! flags); bindings/gpio/pl061-gpio.yaml; include/dt-bindings/gpio/gpio.h for the flags.

use dtoolkit::fdt::FdtNode;
use dtoolkit::{Node, Property};

use super::{Device, DeviceTree, be32, device, is_compatible, is_enabled};

/// `KEY_POWER` of include/uapi/linux/input-event-codes.h.
const KEY_POWER: u32 = 116;
/// `GPIO_ACTIVE_LOW`: pressed is 0.
const ACTIVE_LOW: u32 = 1;
/// Lines of a PL061.
const LINES: u32 = 8;

/// A key on a line of a PL061.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GpioKey {
    /// The controller.
    pub controller: Device,
    /// Its line, 0 to 7.
    pub line: u8,
    /// Whether the line is low while the key is down.
    pub active_low: bool,
}

impl DeviceTree<'_> {
    /// The key that switches the machine off, when it hangs on a PL061.
    pub fn power_key(self) -> Option<GpioKey> {
        let keys = self.find(&["gpio-keys"])?;
        let key = keys.children().filter(is_enabled).find(is_power)?;
        let gpios = key.property("gpios")?;
        let cell = |n| be32(gpios.value(), n);
        let (phandle, line, flags) = (cell(0)?, cell(1)?, cell(2)?);
        let controller = self.nodes().find(|node| cell_of(node, "phandle") == Some(phandle))?;
        if !is_compatible(&controller, &["arm,pl061"]) || line >= LINES {
            return None;
        }
        let controller = device(&controller)?;
        Some(GpioKey { controller, line: line as u8, active_low: flags & ACTIVE_LOW != 0 })
    }
}

fn is_power(node: &FdtNode<'_>) -> bool {
    cell_of(node, "linux,code") == Some(KEY_POWER)
}

fn cell_of(node: &FdtNode<'_>, name: &str) -> Option<u32> {
    be32(node.property(name)?.value(), 0)
}
