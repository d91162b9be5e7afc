# SPDX-License-Identifier: GPL-2.0-only
"""The user's terminal joined to a serial line of the machine, for `lab shell`.

The machine gets one end of a pseudo-terminal.  What the user types goes there raw: interrupt and
end-of-file keys are the business of the terminal in the machine.
"""

import os
import pty
import shutil
import sys
import termios
import tty

END_OF_FILE = b"\x04"


class Console:
    """A pseudo-terminal; a context manager that restores the user's terminal."""

    def __init__(self):
        self.master, slave = pty.openpty()
        self.name = os.ttyname(slave)
        self._slave = slave         # kept open, else the master reads an error before the start
        tty.setraw(slave)
        self._saved = None
        self.alive = False          # the machine has printed: what is typed now is not lost
        self.columns, self.rows = shutil.get_terminal_size()

    def __enter__(self):
        if sys.stdin.isatty():
            self._saved = termios.tcgetattr(sys.stdin)
            tty.setraw(sys.stdin)
        return self

    def __exit__(self, *_):
        if self._saved:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._saved)
        os.close(self.master)
        os.close(self._slave)

    def typed(self):
        """Carry what the user typed.  False when there will be no more."""
        data = os.read(sys.stdin.fileno(), 4096)
        os.write(self.master, data or END_OF_FILE)
        return bool(data)

    def printed(self):
        """Carry what the machine printed."""
        data = os.read(self.master, 65536)
        self.alive = True
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    def command(self):
        """What the machine runs on its end."""
        setup = f"stty sane rows {self.rows} cols {self.columns}; exec sh -l"
        return ["sh", "-c", setup]
