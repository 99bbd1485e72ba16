// A plugin of QEMU (TCG) that counts the instructions that the guest executes, in the program and in the
// kernel, and writes how many it were to a file whenever the program passes a mark: the instruction
// `movz xzr, #0x5155`, which does nothing. user/src/clock.rs has it in `Moment::now`.
//
//   cc -O2 -shared -fPIC -o insns.so scripts/insns.c
//   qemu-system-aarch64 … -plugin file=insns.so,out=counts
//
// Unlike the virtual counter under -icount this leaves out what the guest waits. One CPU.
// The declarations are those of QEMU's plugin interface, version 1 (docs/devel/tcg-plugins.rst there), as far as
// they are used: its header comes with QEMU's sources only.
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
#define MARK 0xd28a2abfu

struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum { INLINE_ADD_U64 = 0, CB_NO_REGS = 0 };

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*)(uint64_t id, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *, int op, void *counter, uint64_t n);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *, void (*)(unsigned cpu, void *), int regs,
                                            void *);

EXPORT int qemu_plugin_version = 1;

static uint64_t executed;
static FILE *out;

static void marked(unsigned cpu, void *unused) {
    fprintf(out, "%llu\n", (unsigned long long)executed);
    fflush(out);
}

static void translated(uint64_t id, struct qemu_plugin_tb *tb) {
    size_t n = qemu_plugin_tb_n_insns(tb);
    for (size_t i = 0; i < n; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        uint32_t word;
        memcpy(&word, qemu_plugin_insn_data(insn), sizeof word);
        qemu_plugin_register_vcpu_insn_exec_inline(insn, INLINE_ADD_U64, &executed, 1);
        if (word == MARK)
            qemu_plugin_register_vcpu_insn_exec_cb(insn, marked, CB_NO_REGS, NULL);
    }
}

EXPORT int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv) {
    for (int i = 0; i < argc; i++)
        if (strncmp(argv[i], "out=", 4) == 0)
            out = fopen(argv[i] + 4, "w");
    if (!out) {
        fprintf(stderr, "insns: out=FILE is missing, or cannot be written\n");
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    return 0;
}
