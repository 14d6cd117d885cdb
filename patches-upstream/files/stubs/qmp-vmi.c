/*
 * QMP commands of VMI, for a QEMU without the device
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/qapi-commands-vmi.h"

VmiInfo *qmp_query_vmi(Error **errp)
{
    return g_new0(VmiInfo, 1);
}
