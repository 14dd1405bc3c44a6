#!/usr/bin/env python3
"""A port before a server, from which every byte arrives later: s3_far.py ADDRESS PORT MILLISECONDS. Says its port; ends with its input."""
import asyncio
import socket
import sys


class Side(asyncio.Protocol):
    """One side of a connection; `peer` is the other one, and what comes in here goes out there after `delay` seconds."""

    def __init__(self, loop, delay, origin=None):
        self.loop, self.delay, self.origin = loop, delay, origin
        self.peer = self.transport = None
        self.early = []

    def connection_made(self, transport):
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.origin:
            self.loop.create_task(self.reach())
        for data in self.early:
            transport.write(data)

    async def reach(self):
        other = Side(self.loop, self.origin[2])
        other.peer, self.peer = self, other
        other.early, self.early = self.early, []
        try:
            await self.loop.create_connection(lambda: other, self.origin[0], self.origin[1])
        except OSError:
            self.transport.close()

    def send(self, data):
        if self.transport is None:
            self.early.append(data)
        elif not self.transport.is_closing():
            self.transport.write(data)

    def data_received(self, data):
        if self.peer is None:
            self.early.append(data)
        elif self.delay:
            self.loop.call_later(self.delay, self.peer.send, data)
        else:
            self.peer.send(data)

    def connection_lost(self, _):
        if self.peer is not None and self.peer.transport is not None:
            self.loop.call_later(self.delay, self.peer.transport.close)


async def main(address, port, delay):
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Side(loop, 0, (address, port, delay)), address, 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]) / 1000))
