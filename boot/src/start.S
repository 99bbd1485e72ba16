// From the boot loader to Rust: the arm64 Image header, EL2 to EL1, the first translation tables,
// MMU and caches on, the jump to the upper half, a stack, a zeroed bss.
//
// In: x0 = physical address of the device tree; MMU and data cache off, interrupts masked.
// Sources: Linux, Documentation/arch/arm64/booting; Arm ARM D8 (translation), D24.2 (registers).
//
// Registers kept throughout: x21 device tree, x22 physical address of the image, x23 tables.
// Everything up to `upper_half` runs at its physical address and must lie in the image's first page,
// the only page of the identity map.

.equ PAGE, 4096
.equ L0_ENTRY_OF_KERNEL, 256        // (KERNEL_BASE >> 39) & 511
.equ L2_ENTRY_OF_STACKS, 256        // (STACKS_BASE >> 21) & 511
.equ STACK_FIRST_PAGE, 16           // slot 0: 64 KiB of guard, then 64 KiB of stack
.equ STACK_PAGES, 16

// The tables, in pages from __tables_start.
.equ ID0, 0 * PAGE
.equ ID1, 1 * PAGE
.equ ID2, 2 * PAGE
.equ ID3, 3 * PAGE
.equ K0, 4 * PAGE
.equ K1, 5 * PAGE
.equ K2, 6 * PAGE
.equ K3, 7 * PAGE                   // two pages: the image, 4 MiB
.equ S3, 9 * PAGE                   // the stack area's first 2 MiB

// Descriptors: page, normal memory (MAIR 0), inner shareable, accessed.
.equ TABLE, 3
.equ READ_WRITE, 0x703
.equ READ_ONLY, 0x783
.equ NO_EL1_EXEC_SHIFT, 53
.equ NO_EL0_EXEC_SHIFT, 54

.section .head.text, "ax"
.global _head
.type   _head, %function
_head:
    b       start
    .long   0
    .quad   0                       // text_offset: none beyond a 2 MiB boundary
    .quad   __image_size            // from the first byte to the last of bss
    .quad   0xa                     // little endian, 4 KiB pages, anywhere in memory
    .quad   0, 0, 0
    .ascii  "ARM\x64"
    .long   0

start:
    msr     daifset, #15
    mov     x21, x0
    adrp    x22, _head
    mrs     x0, CurrentEL
    cmp     x0, #(2 << 2)
    b.lo    1f                      // EL1 already
    b.hi    0f                      // EL3: no boot loader leaves us there
    bl      leave_el2
    b       1f
0:  wfe
    b       0b
1:  ldr     x0, =0x30d00800         // SCTLR_EL1: reserved ones, MMU and caches off
    msr     sctlr_el1, x0
    isb

    // --- the tables: clear, then fill ---
    adrp    x23, __tables_start
    adrp    x1, __tables_end
    mov     x0, x23
2:  stp     xzr, xzr, [x0], #16
    cmp     x0, x1
    b.lo    2b

    // The identity map: the image's first page, executable.
    mov     x0, #ID1
    mov     x1, #39
    mov     x2, #ID0
    bl      link_identity
    mov     x0, #ID2
    mov     x1, #30
    mov     x2, #ID1
    bl      link_identity
    mov     x0, #ID3
    mov     x1, #21
    mov     x2, #ID2
    bl      link_identity
    mov     x0, #READ_ONLY
    orr     x0, x0, x22
    ubfx    x1, x22, #12, #9
    add     x2, x23, #ID3
    str     x0, [x2, x1, lsl #3]

    // The upper half: L0 -> L1 -> L2 -> two L3 for the image, one for the boot stack.
    add     x0, x23, #K0
    add     x1, x23, #K1
    orr     x1, x1, #TABLE
    str     x1, [x0, #(8 * L0_ENTRY_OF_KERNEL)]
    add     x0, x23, #K1
    add     x1, x23, #K2
    orr     x1, x1, #TABLE
    str     x1, [x0]
    add     x0, x23, #K2
    add     x1, x23, #K3
    orr     x1, x1, #TABLE
    add     x2, x1, #PAGE
    stp     x1, x2, [x0]
    add     x1, x23, #S3
    orr     x1, x1, #TABLE
    str     x1, [x0, #(8 * L2_ENTRY_OF_STACKS)]

    add     x24, x23, #K3
    mov     x5, #1
    lsl     x6, x5, #NO_EL0_EXEC_SHIFT
    lsl     x5, x5, #NO_EL1_EXEC_SHIFT
    orr     x5, x5, x6              // never executable
    mov     x0, xzr                 // text
    adrp    x1, __text_end
    mov     x2, #READ_ONLY
    orr     x2, x2, x6
    bl      map_image
    adrp    x1, __rodata_end        // rodata
    mov     x2, #READ_ONLY
    orr     x2, x2, x5
    bl      map_image
    adrp    x1, __data_end          // data
    mov     x2, #READ_WRITE
    orr     x2, x2, x5
    bl      map_image
    adrp    x1, __symbols_end       // the symbol table
    mov     x2, #READ_ONLY
    orr     x2, x2, x5
    bl      map_image
    adrp    x1, __boot_stack_start  // bss, tables
    mov     x2, #READ_WRITE
    orr     x2, x2, x5
    bl      map_image

    add     x0, x23, #S3
    add     x0, x0, #(8 * STACK_FIRST_PAGE)
    adrp    x1, __boot_stack_start
    orr     x1, x1, x2
    mov     x3, #STACK_PAGES
3:  str     x1, [x0], #8
    add     x1, x1, #PAGE
    subs    x3, x3, #1
    b.ne    3b

    // What was written went past the caches; drop lines that a boot loader left there.
    dsb     sy
    mrs     x0, ctr_el0
    ubfx    x0, x0, #16, #4
    mov     x1, #4
    lsl     x1, x1, x0              // smallest data cache line
    adrp    x2, __tables_start
    adrp    x3, __tables_end
4:  dc      ivac, x2
    add     x2, x2, x1
    cmp     x2, x3
    b.lo    4b
    dsb     sy

    // --- MMU on ---
    mov     x0, #0x04ff             // MAIR: 0 normal write-back, 1 device nGnRE, 2 normal non-cacheable
    movk    x0, #0x0044, lsl #16
    msr     mair_el1, x0
    // TCR: 48 bits on both sides, 4 KiB, write-back inner shareable walks, top byte ignored at EL0.
    ldr     x0, =0x00000020b5103510
    mrs     x1, id_aa64mmfr0_el1
    and     x2, x1, #15             // physical address size, at most 48 bits
    cmp     x2, #5
    mov     x3, #5
    csel    x2, x2, x3, ls
    bfi     x0, x2, #32, #3
    ubfx    x1, x1, #4, #4          // 16-bit ASIDs where there are any
    cmp     x1, #2
    cset    x1, eq
    bfi     x0, x1, #36, #1
    msr     tcr_el1, x0
    msr     ttbr0_el1, x23
    add     x1, x23, #K0
    msr     ttbr1_el1, x1
    isb
    tlbi    vmalle1
    dsb     nsh
    isb
    // SCTLR: M C I, stack alignment at EL1 and EL0, and for EL0: cache maintenance by address, CTR,
    // DC ZVA, WFE; SPAN off, so that PAN (where there is any) is set on every entry.
    ldr     x0, =0x3454d99d
    mrs     x1, id_aa64mmfr1_el1
    ubfx    x1, x1, #20, #4
    cmp     x1, #0
    cset    x1, eq
    bfi     x0, x1, #23, #1         // without PAN the bit is reserved, one
    msr     sctlr_el1, x0
    isb
    ldr     x0, =upper_half
    br      x0

// Links the table at offset x0 into the one at offset x2, at the image's index for shift x1.
link_identity:
    add     x0, x23, x0
    orr     x0, x0, #TABLE
    lsr     x1, x22, x1
    and     x1, x1, #511
    add     x2, x23, x2
    str     x0, [x2, x1, lsl #3]
    ret

// Maps image pages from offset x0 up to physical address x1 with attributes x2; leaves x0 at the end.
map_image:
    sub     x1, x1, x22
5:  cmp     x0, x1
    b.hs    6f
    add     x3, x22, x0
    orr     x3, x3, x2
    lsr     x4, x0, #12
    str     x3, [x24, x4, lsl #3]
    add     x0, x0, #PAGE
    b       5b
6:  ret

// Gives EL1 what it needs and returns there. Clobbers x0.
leave_el2:
    mov     x0, #(1 << 31)          // HCR: EL1 is AArch64; no trap of pointer authentication
    orr     x0, x0, #(3 << 40)
    msr     hcr_el2, x0
    mov     x0, #3                  // CNTHCTL: EL1 may use counter and timer
    msr     cnthctl_el2, x0
    msr     cntvoff_el2, xzr
    mov     x0, #0x33ff             // CPTR: no trap of FP
    msr     cptr_el2, x0
    msr     hstr_el2, xzr
    msr     vttbr_el2, xzr
    mrs     x0, midr_el1
    msr     vpidr_el2, x0
    mrs     x0, mpidr_el1
    msr     vmpidr_el2, x0
    mrs     x0, id_aa64pfr0_el1
    ubfx    x0, x0, #24, #4
    cbz     x0, 7f
    mrs     x0, S3_4_C12_C9_5       // ICC_SRE_EL2: GICv3 by system registers, for EL1 too
    orr     x0, x0, #1
    orr     x0, x0, #8
    msr     S3_4_C12_C9_5, x0
    isb
7:  mov     x0, #0x3c5              // EL1h, all masked
    msr     spsr_el2, x0
    msr     elr_el2, x30
    ldr     x0, =0x30d00800
    msr     sctlr_el1, x0
    eret

    .ltorg

.type   upper_half, %function
upper_half:
    ldr     x0, =boot_stack_top
    mov     sp, x0
    // The program's half of the address space stays empty: the identity map goes.
    msr     ttbr0_el1, x23
    ldr     x0, =__tables_start
    mov     x1, #512
8:  str     xzr, [x0], #8
    subs    x1, x1, #1
    b.ne    8b
    dsb     ish
    tlbi    vmalle1
    dsb     ish
    isb
    ldr     x0, =__bss_start
    ldr     x1, =__bss_end
9:  stp     xzr, xzr, [x0], #16
    cmp     x0, x1
    b.lo    9b
    mov     x29, xzr                // the backtrace ends here
    mov     x30, xzr
    mov     x0, x21
    mov     x1, x22
    b       {main}

    .ltorg
    .equ    boot_stack_top, {stacks_base} + 0x20000
