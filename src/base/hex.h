/* SPDX-License-Identifier: Apache-2.0
 *
 * base/hex.h: digits of hexadecimal text.
 * Threads: every function may be called from any thread. */
#ifndef SM_BASE_HEX_H
#define SM_BASE_HEX_H

/** The value of a hexadecimal digit of either case; -1 where it is none. */
static inline int sm_hex_digit(char c)
{
    const char lower = (char)(c | 0x20);
    return c >= '0' && c <= '9' ? c - '0' : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

#endif
