# A guest of VMware's, from its .vmx to a machine of QEMU's. "./vmi import" runs it.
#
# SPDX-License-Identifier: GPL-2.0-or-later
