# SPDX-License-Identifier: GPL-2.0-only
"""The host's end of the machine's output channel (guest/agent.c is the other).

The channel is what the machine writes to I/O port 0xe9.  Before the agent says hello it may carry
plain text of the boot ROM or a probe; from then on only frames.
"""

HELLO, OUT, ERR, STATUS, REFUSED = b"hoesf"
MARK = b"LB"
HEAD = 5
HELLO_FRAME = MARK + b"h\0\0"


class BadFrame(Exception):
    """Something else than the agent wrote to the port."""


class Channel:
    """Feed it bytes, it calls back with whole frames.

    on_frame(kind, payload) for each frame; `preamble` collects what came before the first.
    """

    def __init__(self, on_frame):
        self._on_frame = on_frame
        self._buffer = bytearray()
        self._started = False
        self.preamble = b""

    def feed(self, data):
        """Take the next bytes.  BadFrame if they make no sense."""
        self._buffer += data
        if not self._started and not self._find_start():
            return
        position = 0
        while len(self._buffer) - position >= HEAD:
            if self._buffer[position:position + 2] != MARK:
                raise BadFrame("something else than the agent wrote to port 0xe9")
            kind = self._buffer[position + 2]
            length = int.from_bytes(self._buffer[position + 3:position + 5], "little")
            if len(self._buffer) < position + HEAD + length:
                break
            payload = bytes(self._buffer[position + HEAD:position + HEAD + length])
            position += HEAD + length
            self._on_frame(kind, payload)
        del self._buffer[:position]

    def _find_start(self):
        """The first frame is a hello or a refusal: what is before it is preamble."""
        starts = [at for at in (self._buffer.find(HELLO_FRAME), self._buffer.find(MARK + b"f"))
                  if at >= 0]
        if not starts:
            self.preamble = bytes(self._buffer)
            return False
        self.preamble = bytes(self._buffer[:min(starts)])
        del self._buffer[:min(starts)]
        self._started = True
        return True
