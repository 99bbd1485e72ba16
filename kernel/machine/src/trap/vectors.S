// Exception vectors, the way into EL0 and back, and the way of an interrupt of the kernel.
//
// Layouts used here are checked against Rust's in trap/mod.rs and trap/user.rs:
//   UserContext: x0..x30 at 0, sp 248, pc 256, pstate 264, tpidr 272, kernel sp 280
//   KernelFrame: x0..x30 at 0, sp 248, pc 256, pstate 264, esr 272, far 280, frame record 288; 304 bytes
//
// While the program runs, SP_EL1 points at its UserContext: an exception from EL0 saves straight
// into it. The kernel's own stack pointer waits in it.
// Source: Arm ARM D1.3 (exceptions), D1.3.1.2 (vector table).

.equ CTX_SP_PC, 248
.equ CTX_PSTATE_TPIDR, 264
.equ CTX_KERNEL_SP, 280
.equ FRAME, 304
.equ FRAME_SP_PC, 248
.equ FRAME_PSTATE_ESR, 264
.equ FRAME_FAR, 280
.equ FRAME_RECORD, 288
.equ STACK_SHIFT, 16                // a stack pointer has this bit set, a guard's address has not

.macro slot target
    .balign 0x80
    b       \target
.endm

.macro bad_slot number
    .balign 0x80
    sub     sp, sp, #FRAME
    stp     x0, x1, [sp]
    mov     x1, #\number
    b       bad_exception
.endm

// An exception of the kernel: x0 is spared until it is known that SP points into a stack.
.macro kernel_slot target
    .balign 0x80
    sub     sp, sp, #FRAME
    add     sp, sp, x0
    sub     x0, sp, x0              // x0 = SP
    tbz     x0, #STACK_SHIFT, 9f
    sub     x0, sp, x0
    sub     sp, sp, x0
    b       \target
9:  msr     tpidrro_el0, x0         // where SP was going
    sub     x0, sp, x0
    b       stack_overflow
.endm

.pushsection .vectors, "ax"
.balign 0x800
.global quill_vectors
.type   quill_vectors, %function
quill_vectors:
    bad_slot 0                      // EL1 with SP_EL0: never selected
    bad_slot 1
    bad_slot 2
    bad_slot 3
    kernel_slot kernel_sync
    kernel_slot kernel_irq
    bad_slot 6                      // FIQ
    bad_slot 7                      // SError
    slot    user_sync
    slot    user_irq
    slot    user_fiq
    slot    user_serror
    bad_slot 12                     // AArch32 EL0: never entered
    bad_slot 13
    bad_slot 14
    bad_slot 15

// --- the program ---

// fn quill_enter_user(context: *mut UserContext, pstate: u64) -> u64
// Interrupts are masked. Returns ESR_EL1, or all ones for an interrupt.
.global quill_enter_user
.type   quill_enter_user, %function
quill_enter_user:
    stp     x29, x30, [sp, #-96]!
    stp     x19, x20, [sp, #16]
    stp     x21, x22, [sp, #32]
    stp     x23, x24, [sp, #48]
    stp     x25, x26, [sp, #64]
    stp     x27, x28, [sp, #80]
    mov     x29, sp
    mov     x2, sp
    str     x2, [x0, #CTX_KERNEL_SP]
    ldp     x3, x4, [x0, #CTX_SP_PC]
    ldr     x5, [x0, #CTX_PSTATE_TPIDR + 8]
    msr     sp_el0, x3
    msr     elr_el1, x4
    msr     spsr_el1, x1
    msr     tpidr_el0, x5
    mov     sp, x0
    ldp     x2, x3, [sp, #16]
    ldp     x4, x5, [sp, #32]
    ldp     x6, x7, [sp, #48]
    ldp     x8, x9, [sp, #64]
    ldp     x10, x11, [sp, #80]
    ldp     x12, x13, [sp, #96]
    ldp     x14, x15, [sp, #112]
    ldp     x16, x17, [sp, #128]
    ldp     x18, x19, [sp, #144]
    ldp     x20, x21, [sp, #160]
    ldp     x22, x23, [sp, #176]
    ldp     x24, x25, [sp, #192]
    ldp     x26, x27, [sp, #208]
    ldp     x28, x29, [sp, #224]
    ldr     x30, [sp, #240]
    ldp     x0, x1, [sp]
    eret
    dsb     nsh                     // no speculation past the return
    isb

.macro save_user
    stp     x0, x1, [sp]
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    stp     x18, x19, [sp, #144]
    stp     x20, x21, [sp, #160]
    stp     x22, x23, [sp, #176]
    stp     x24, x25, [sp, #192]
    stp     x26, x27, [sp, #208]
    stp     x28, x29, [sp, #224]
    mrs     x1, sp_el0
    mrs     x2, elr_el1
    mrs     x3, spsr_el1
    mrs     x4, tpidr_el0
    stp     x30, x1, [sp, #240]
    stp     x2, x3, [sp, #256]
    str     x4, [sp, #272]
.endm

.type   user_irq, %function
user_irq:
    save_user
    mov     x0, #-1
    b       leave_user
.type   user_sync, %function
user_sync:
    save_user
    mrs     x0, esr_el1
leave_user:
    ldr     x1, [sp, #CTX_KERNEL_SP]
    mov     sp, x1
    ldp     x19, x20, [sp, #16]
    ldp     x21, x22, [sp, #32]
    ldp     x23, x24, [sp, #48]
    ldp     x25, x26, [sp, #64]
    ldp     x27, x28, [sp, #80]
    ldp     x29, x30, [sp], #96
    ret

// An FIQ or SError while the program ran: the kernel's stack again, then as if the kernel had it.
.type   user_fiq, %function
user_fiq:
    save_user
    mov     x1, #10
    b       1f
.type   user_serror, %function
user_serror:
    save_user
    mov     x1, #11
1:  ldr     x2, [sp, #CTX_KERNEL_SP]
    mov     sp, x2
    sub     sp, sp, #FRAME
    stp     xzr, xzr, [sp]
    b       bad_exception

// --- the kernel itself ---

// With x0, x1 saved: the rest of the frame. x0 and x1 are free afterwards.
.macro save_kernel
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    stp     x18, x19, [sp, #144]
    stp     x20, x21, [sp, #160]
    stp     x22, x23, [sp, #176]
    stp     x24, x25, [sp, #192]
    stp     x26, x27, [sp, #208]
    stp     x28, x29, [sp, #224]
    mrs     x2, elr_el1
    mrs     x3, spsr_el1
    mrs     x4, esr_el1
    mrs     x5, far_el1
    add     x6, sp, #FRAME
    stp     x30, x6, [sp, #240]
    stp     x2, x3, [sp, #256]
    stp     x4, x5, [sp, #272]
    stp     x29, x2, [sp, #FRAME_RECORD]
    add     x29, sp, #FRAME_RECORD
.endm

.macro restore_kernel
    ldp     x2, x3, [sp, #256]
    msr     elr_el1, x2
    msr     spsr_el1, x3
    ldp     x2, x3, [sp, #16]
    ldp     x4, x5, [sp, #32]
    ldp     x6, x7, [sp, #48]
    ldp     x8, x9, [sp, #64]
    ldp     x10, x11, [sp, #80]
    ldp     x12, x13, [sp, #96]
    ldp     x14, x15, [sp, #112]
    ldp     x16, x17, [sp, #128]
    ldp     x18, x19, [sp, #144]
    ldp     x20, x21, [sp, #160]
    ldp     x22, x23, [sp, #176]
    ldp     x24, x25, [sp, #192]
    ldp     x26, x27, [sp, #208]
    ldp     x28, x29, [sp, #224]
    ldr     x30, [sp, #240]
    ldp     x0, x1, [sp]
    add     sp, sp, #FRAME
    eret
    dsb     nsh
    isb
.endm

.type   kernel_sync, %function
kernel_sync:
    stp     x0, x1, [sp]
    save_kernel
    mov     x0, sp
    bl      {kernel_sync}
    restore_kernel

.type   kernel_irq, %function
kernel_irq:
    stp     x0, x1, [sp]
    save_kernel
    bl      {kernel_irq}
    restore_kernel

.type   bad_exception, %function
bad_exception:
    save_kernel
    mov     x0, sp
    bl      {bad_exception}
    b       .

// SP left its stack. x0 is as it was, TPIDRRO_EL0 has SP less a frame. A stack of its own for the
// message; nobody returns from here.
.type   stack_overflow, %function
stack_overflow:
    msr     sp_el0, x0
    ldr     x0, =quill_overflow_stack_top
    mov     sp, x0
    sub     sp, sp, #FRAME
    mrs     x0, sp_el0
    stp     x0, x1, [sp]
    save_kernel
    mrs     x1, tpidrro_el0
    add     x1, x1, #FRAME
    str     x1, [sp, #FRAME_SP_PC]
    mov     x0, sp
    bl      {stack_overflow}
    b       .
    .ltorg
.popsection

.pushsection .bss.overflow_stack, "aw", @nobits
.balign 16
    .skip   16384
quill_overflow_stack_top:
.popsection
