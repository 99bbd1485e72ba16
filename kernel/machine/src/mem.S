// memcpy, memmove, memset: what the compiler calls for moves of more than a few words, and what
// copies and clears pages. compiler_builtins has them too, but plainly, 8 bytes a round.
//
// Large copies go through q0 to q7, 32 bytes an instruction. These registers are the program's: they
// are put on the stack before and taken back after. Nothing else of the kernel knows them, and a copy
// never sleeps, so nobody sees them in between. (user_copy.S does the same.)

.arch_extension fp
.arch_extension simd

.equ LARGE, 512                     // from here on saving q registers is worth it

// Puts q0 to q7 on the stack, and back.
.macro save_q
    sub     sp, sp, #128
    stp     q0, q1, [sp]
    stp     q2, q3, [sp, #32]
    stp     q4, q5, [sp, #64]
    stp     q6, q7, [sp, #96]
.endm
.macro restore_q
    ldp     q0, q1, [sp]
    ldp     q2, q3, [sp, #32]
    ldp     q4, q5, [sp, #64]
    ldp     q6, q7, [sp, #96]
    add     sp, sp, #128
.endm

.pushsection .text.mem, "ax"

// memcpy(dst x0, src x1, len x2) -> dst. Also right for overlap with dst below src: each round loads
// all before it stores, and the last 16 bytes are loaded first of all.
.global memcpy
.type   memcpy, %function
.balign 16
memcpy:
    mov     x3, x0
    cmp     x2, #16
    b.lo    mem_small
    add     x4, x1, x2
    add     x5, x0, x2
    ldp     x6, x7, [x4, #-16]
    cmp     x2, #LARGE
    b.hs    7f
1:  subs    x2, x2, #64
    b.lo    3f
2:  ldp     x8, x9, [x1], #64
    ldp     x10, x11, [x1, #-48]
    ldp     x12, x13, [x1, #-32]
    ldp     x14, x15, [x1, #-16]
    stp     x8, x9, [x3], #64
    stp     x10, x11, [x3, #-48]
    stp     x12, x13, [x3, #-32]
    stp     x14, x15, [x3, #-16]
    subs    x2, x2, #64
    b.hs    2b
3:  adds    x2, x2, #48             // left - 16
    b.mi    5f
4:  ldp     x8, x9, [x1], #16
    stp     x8, x9, [x3], #16
    subs    x2, x2, #16
    b.pl    4b
5:  stp     x6, x7, [x5, #-16]
    ret
7:  save_q
    sub     x2, x2, #128
8:  ldp     q0, q1, [x1], #128
    ldp     q2, q3, [x1, #-96]
    ldp     q4, q5, [x1, #-64]
    ldp     q6, q7, [x1, #-32]
    stp     q0, q1, [x3], #128
    stp     q2, q3, [x3, #-96]
    stp     q4, q5, [x3, #-64]
    stp     q6, q7, [x3, #-32]
    subs    x2, x2, #128
    b.hs    8b
    add     x2, x2, #128
    restore_q
    b       1b

// Less than 16 bytes, from x1 to x3: two overlapping moves; loads before stores.
mem_small:
    add     x4, x1, x2
    add     x5, x3, x2
    tbz     x2, #3, 1f
    ldr     x6, [x1]
    ldr     x7, [x4, #-8]
    str     x6, [x3]
    str     x7, [x5, #-8]
    ret
1:  tbz     x2, #2, 2f
    ldr     w6, [x1]
    ldr     w7, [x4, #-4]
    str     w6, [x3]
    str     w7, [x5, #-4]
    ret
2:  cbz     x2, 3f
    ldrb    w6, [x1]
    ldrb    w7, [x4, #-1]
    lsr     x2, x2, #1              // the middle one of three, or the second of two
    ldrb    w8, [x1, x2]
    strb    w6, [x3]
    strb    w8, [x3, x2]
    strb    w7, [x5, #-1]
3:  ret

// memmove(dst x0, src x1, len x2) -> dst. Backwards when dst lies in [src, src + len).
.global memmove
.type   memmove, %function
.balign 16
memmove:
    sub     x3, x0, x1
    cmp     x3, x2
    b.hs    memcpy
    mov     x3, x0
    cmp     x2, #16
    b.lo    mem_small
    add     x4, x1, x2
    add     x5, x0, x2
    ldp     x6, x7, [x1]            // the first 16 bytes are stored last
    subs    x2, x2, #64
    b.lo    2f
1:  ldp     x8, x9, [x4, #-16]
    ldp     x10, x11, [x4, #-32]
    ldp     x12, x13, [x4, #-48]
    ldp     x14, x15, [x4, #-64]!
    stp     x8, x9, [x5, #-16]
    stp     x10, x11, [x5, #-32]
    stp     x12, x13, [x5, #-48]
    stp     x14, x15, [x5, #-64]!
    subs    x2, x2, #64
    b.hs    1b
2:  adds    x2, x2, #48
    b.mi    4f
3:  ldp     x8, x9, [x4, #-16]!
    stp     x8, x9, [x5, #-16]!
    subs    x2, x2, #16
    b.pl    3b
4:  stp     x6, x7, [x0]
    ret

// memset(dst x0, byte w1, len x2) -> dst. Zeros of some length by DC ZVA, 64 bytes an instruction.
.global memset
.type   memset, %function
.balign 16
memset:
    and     x1, x1, #0xff
    mov     x6, #0x0101010101010101
    mul     x6, x1, x6
    add     x5, x0, x2
    mov     x3, x0
    cmp     x2, #16
    b.lo    5f
    cmp     x2, #256
    b.hs    7f
1:  subs    x2, x2, #64
    b.lo    3f
2:  stp     x6, x6, [x3], #64
    stp     x6, x6, [x3, #-48]
    stp     x6, x6, [x3, #-32]
    stp     x6, x6, [x3, #-16]
    subs    x2, x2, #64
    b.hs    2b
3:  adds    x2, x2, #48
    b.mi    4f
31: stp     x6, x6, [x3], #16
    subs    x2, x2, #16
    b.pl    31b
4:  stp     x6, x6, [x5, #-16]
    ret
5:  tbz     x2, #3, 51f
    str     x6, [x3]
    str     x6, [x5, #-8]
    ret
51: tbz     x2, #2, 52f
    str     w6, [x3]
    str     w6, [x5, #-4]
    ret
52: cbz     x2, 53f
    strb    w6, [x3]
    strb    w6, [x5, #-1]
    lsr     x2, x2, #1
    strb    w6, [x3, x2]
53: ret
7:  cbnz    x1, 1b
    mrs     x7, dczid_el0
    cmp     x7, #4                  // allowed, and blocks of 64 bytes
    b.ne    1b
    stp     x6, x6, [x3]            // up to the first boundary
    stp     x6, x6, [x3, #16]
    stp     x6, x6, [x3, #32]
    stp     x6, x6, [x3, #48]
    add     x3, x3, #64
    and     x3, x3, #~63
    sub     x2, x5, x3
    subs    x2, x2, #128
    b.lo    9f
8:  dc      zva, x3
    add     x3, x3, #64
    dc      zva, x3
    add     x3, x3, #64
    subs    x2, x2, #128
    b.hs    8b
9:  add     x2, x2, #128
    b       1b
.popsection
