// Copies between the kernel and the program that may fault on the program's side.
//
// fn quill_copy_from_user(dst, src, len) -> bytes not copied
// fn quill_copy_to_user(dst, src, len) -> bytes not copied
// fn quill_clear_user(dst, len) -> bytes not cleared
//
// 128 bytes a round through q0 to q7, which are the program's and wait on the stack meanwhile (4 KiB
// in about 340 instructions), then 16, then 8, 4, 2, 1. A fault in a round goes back to the round's
// start and on byte by byte, up to the very byte that cannot be reached.
// x2 bytes left, x4 end of source, x5 end of destination.

.macro guard fixup, instruction:vararg
90: \instruction
    .pushsection .extable, "a"
    .long   90b - ., \fixup - .
    .popsection
.endm

// A load or store that is guarded when it is on the program's side.
.macro load fixup, instruction:vararg
    .if FROM_USER
    guard   \fixup, \instruction
    .else
    \instruction
    .endif
.endm
.macro store fixup, instruction:vararg
    .if FROM_USER
    \instruction
    .else
    guard   \fixup, \instruction
    .endif
.endm

.macro copy_routine name
.global \name
.type   \name, %function
\name:
    add     x4, x1, x2
    add     x5, x0, x2
    subs    x2, x2, #256
    b.lo    2f
    add     x2, x2, #128
    save_q
1:  load    11f, ldp q0, q1, [x1], #128
    load    11f, ldp q2, q3, [x1, #-96]
    load    11f, ldp q4, q5, [x1, #-64]
    load    11f, ldp q6, q7, [x1, #-32]
    store   11f, stp q0, q1, [x0], #128
    store   11f, stp q2, q3, [x0, #-96]
    store   11f, stp q4, q5, [x0, #-64]
    store   11f, stp q6, q7, [x0, #-32]
    subs    x2, x2, #128
    b.hs    1b
    restore_q
    sub     x2, x2, #128
2:  adds    x2, x2, #240            // left - 16
    b.mi    4f
3:  load    12f, ldp x6, x7, [x1], #16
    store   12f, stp x6, x7, [x0], #16
    subs    x2, x2, #16
    b.pl    3b
4:  tbz     x2, #3, 5f              // the low four bits are those of what is left
    load    12f, ldr x6, [x1], #8
    store   12f, str x6, [x0], #8
5:  tbz     x2, #2, 6f
    load    12f, ldr w6, [x1], #4
    store   12f, str w6, [x0], #4
6:  tbz     x2, #1, 7f
    load    12f, ldrh w6, [x1], #2
    store   12f, strh w6, [x0], #2
7:  tbz     x2, #0, 8f
    load    12f, ldrb w6, [x1], #1
    store   12f, strb w6, [x0], #1
8:  mov     x0, xzr
    ret
11: restore_q
    add     x2, x2, #128            // in a round: x2 still counts from its start
    sub     x0, x5, x2
    b       13f
12: sub     x2, x5, x0              // later: x0 moves with each store
13: sub     x1, x4, x2
14: load    15f, ldrb w6, [x1], #1
    store   15f, strb w6, [x0], #1
    subs    x2, x2, #1
    b.ne    14b
15: mov     x0, x2
    ret
.endm

.pushsection .text.user_copy, "ax"
.set FROM_USER, 1
copy_routine quill_copy_from_user
.set FROM_USER, 0
copy_routine quill_copy_to_user

.global quill_clear_user
.type   quill_clear_user, %function
quill_clear_user:
    add     x5, x0, x1
    subs    x1, x1, #128
    b.lo    2f
    str     q0, [sp, #-16]!
    movi    v0.2d, #0
1:  store   11f, stp q0, q0, [x0], #128
    store   11f, stp q0, q0, [x0, #-96]
    store   11f, stp q0, q0, [x0, #-64]
    store   11f, stp q0, q0, [x0, #-32]
    subs    x1, x1, #128
    b.hs    1b
    ldr     q0, [sp], #16
2:  adds    x1, x1, #112            // left - 16
    b.mi    4f
3:  store   12f, stp xzr, xzr, [x0], #16
    subs    x1, x1, #16
    b.pl    3b
4:  ands    x1, x1, #15
    b.eq    6f
5:  store   15f, strb wzr, [x0], #1
    subs    x1, x1, #1
    b.ne    5b
6:  mov     x0, xzr
    ret
11: ldr     q0, [sp], #16
    add     x1, x1, #128
    sub     x0, x5, x1
    b       5b
12: sub     x1, x5, x0
    b       5b
15: mov     x0, x1
    ret
.popsection
