"""What asyncio's transports do not offer, asked of the socket below them."""

import asyncio
import fcntl
import socket
import struct
import termios

KEEPALIVE_IDLE_S = 60

_NO_LINGERING = struct.pack("ii", 1, 0)  # SO_LINGER with no time: close() sends RST


def reset(transport: asyncio.Transport) -> None:
    """Ends a connection so that its peer sees an error, where an end would look as if all had been said.

    Does nothing if it is being closed and all has been sent: what is on its way shall arrive.
    """
    if transport.is_closing() and not transport.get_write_buffer_size():
        return
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGERING)
    transport.abort()


def end_writing(transport: asyncio.Transport) -> None:
    """Ends our side of a connection, which may have been reset a moment ago."""
    try:
        transport.write_eof()
    except OSError:
        transport.abort()


def keep_alive(transport: asyncio.Transport) -> None:
    """Lets TCP find out about a peer that vanished, which a silent tunnel would never notice."""
    connection = transport.get_extra_info("socket")
    if connection is None or connection.family not in (socket.AF_INET, socket.AF_INET6):
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S)


def was_reset(transport: asyncio.Transport) -> bool:
    """Whether the peer has answered something of ours with a reset, which nobody has noticed yet."""
    connection = transport.get_extra_info("socket")
    return bool(connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))


def unsent_bytes(transport: asyncio.Transport) -> int:
    """How much of what was written the peer has not acknowledged: in our buffer, and in the kernel's where it tells.

    The kernel says that a socket is writable again only when a third of its buffer is free, which takes a slow reader
    minutes; that it reads at all shows here.
    """
    waiting = transport.get_write_buffer_size()
    connection = transport.get_extra_info("socket")
    try:
        queued = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4))
    except OSError:
        return waiting
    queued_bytes: int = struct.unpack("i", queued)[0]
    return waiting + queued_bytes
