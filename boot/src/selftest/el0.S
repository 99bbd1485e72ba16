// What the self-test runs at EL0: small pieces, each copied to a page of its own. A piece that is
// through calls svc.

.pushsection .rodata.el0, "a"
.balign 4

// Adds 1 to every register but x8 (set by the kernel) and comes back.
.global el0_registers
el0_registers:
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30
    add     x\n, x\n, #1
    .endr
    add     sp, sp, #16
    mrs     x8, tpidr_el0
    add     x8, x8, #1
    msr     tpidr_el0, x8
    cmp     xzr, xzr
    svc     #0
    b       .

// One access each, then svc.
.global el0_load
el0_load:
    ldr     x0, [x1]
    svc     #0
.global el0_store
el0_store:
    str     x0, [x1]
    svc     #0
.global el0_jump
el0_jump:
    br      x1
    svc     #0

// Exceptions, one instruction each; x30 has an address to return to.
.global el0_udf
el0_udf:
    udf     #0
.global el0_brk
el0_brk:
    brk     #1
.global el0_hvc
el0_hvc:
    .inst   0xd4000002
.global el0_smc
el0_smc:
    .inst   0xd4000003
.global el0_msr
el0_msr:
    .inst   0xd51ed080              // msr to a register of EL3
    svc     #0
.global el0_daif
el0_daif:
    msr     daifset, #2
    svc     #0
.global el0_sve
el0_sve:
    .inst   0x04bf5020              // rdvl x0, #1
    svc     #0
.global el0_exclusive
el0_exclusive:
    ldxr    x0, [x1]
    svc     #0

// What Linux lets EL0 do.
.global el0_allowed
el0_allowed:
    mrs     x0, cntvct_el0
    mrs     x1, cntfrq_el0
    mrs     x2, ctr_el0
    mrs     x3, dczid_el0
    mrs     x4, midr_el1
    mrs     x5, id_aa64isar0_el1
    mrs     x6, mpidr_el1
    mrs     x7, S3_0_C0_C7_7        // reserved: zero
    dc      cvau, x9
    dc      civac, x9
    ic      ivau, x9
    dsb     ish
    isb
    wfe
    svc     #0
.global el0_wfi
el0_wfi:
    wfi
    svc     #0

.global el0_loop
el0_loop:
    b       .

// x0 is doubled by way of d8; d8 then has x1.
.global el0_fp
el0_fp:
    .arch_extension fp
    fmov    x2, d8
    fmov    d8, x1
    svc     #0
    b       el0_fp
    .arch_extension nofp

.global el0_null_calls
el0_null_calls:
    svc     #0
    b       el0_null_calls
.global el0_end
el0_end:
.popsection
