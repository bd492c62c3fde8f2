"""A planted call to another machine, made past Python, for tests of the air gap."""

from __future__ import annotations

import ctypes
import socket
import struct

ADDRESS = "192.0.2.1"
"""An address kept free for documentation: nobody is there."""


def ask_for_a_way_out() -> int:
    """Return 0 if the kernel knows a way to another machine, else the error's number.

    C's own `connect` on a datagram socket: the guard, which watches Python, does not see it, and
    nothing is sent, so that it may succeed where there is a network.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    handle = libc.socket(socket.AF_INET, socket.SOCK_DGRAM, 0)
    try:
        there = struct.pack("=H", socket.AF_INET) + struct.pack(
            "!H4s8x", 80, socket.inet_aton(ADDRESS)
        )
        return ctypes.get_errno() if libc.connect(handle, there, len(there)) else 0
    finally:
        libc.close(handle)
