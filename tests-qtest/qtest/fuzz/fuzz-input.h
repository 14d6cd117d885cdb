/*
 * The fuzz program and those who feed it: where an input is
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_QTEST_VMI_FUZZ_INPUT_H
#define TESTS_QTEST_VMI_FUZZ_INPUT_H

/*
 * In guest-physical memory: inputs, each a 32-bit size, then so many bytes.
 * A size of 0 ends them.
 */
#define FUZZ_INPUT      0x00400000
#define FUZZ_INPUT_MAX  4096    /* of one input */

/* All that the program itself has in memory is below. */
#define FUZZ_MEMORY     0x00400000

/* With "fuzzer" as argument, a write here says that it waits for an input. */
#define FUZZ_DOORBELL   0xf4

#endif
