//! /proc/cpuinfo, as arm64 has it (`arch/arm64/kernel/cpuinfo.c` in its output, proc(5)).

use crate::fs::ProcFs;
use crate::source::Cpu;
use crate::text::Text;

/// A paragraph for each processor.
pub(crate) fn cpuinfo(fs: &ProcFs, text: &mut Text) {
    for (number, cpu) in fs.source.cpus().iter().enumerate() {
        paragraph(number, cpu, text);
    }
}

fn paragraph(number: usize, cpu: &Cpu, text: &mut Text) {
    let field = |low: u32, bits: u32| (cpu.midr >> low) & ((1 << bits) - 1);
    // The delay loop counts timer ticks, so a BogoMIPS is half a megahertz of the timer.
    let centi_mips = cpu.timer_hz / 5000;
    writeln!(text, "processor\t: {number}");
    writeln!(text, "BogoMIPS\t: {}.{:02}", centi_mips / 100, centi_mips % 100);
    write!(text, "Features\t:");
    for feature in &cpu.features {
        write!(text, " {feature}");
    }
    writeln!(text);
    writeln!(text, "CPU implementer\t: 0x{:02x}", field(24, 8));
    writeln!(text, "CPU architecture: 8");
    writeln!(text, "CPU variant\t: 0x{:x}", field(20, 4));
    writeln!(text, "CPU part\t: 0x{:03x}", field(4, 12));
    writeln!(text, "CPU revision\t: {}\n", field(0, 4));
}
