# SPDX-License-Identifier: GPL-2.0-only
"""An initramfs as a cpio archive ("newc"), written without root and without a cpio program.

Every file is owned by root in the machine.  Directories above a file come into being with it.
"""

import pathlib
import stat

BLOCK = 4


class Archive:
    """Collects files; bytes() of it is the archive."""

    def __init__(self):
        self._chunks = []
        self._seen = {}
        self._ino = 0

    def __contains__(self, path):
        return self._clean(path) in self._seen

    def directory(self, path, mode=0o755):
        """A directory (and those above it)."""
        path = self._clean(path)
        if path and path not in self._seen:
            self._parents(path)
            self._add(path, stat.S_IFDIR | mode)

    def file(self, path, data, mode=0o644):
        """A regular file with these bytes.  The first of two with one path stays."""
        path = self._clean(path)
        if path not in self._seen:
            self._parents(path)
            self._add(path, stat.S_IFREG | mode, data)

    def link(self, path, target):
        """A symbolic link."""
        path = self._clean(path)
        if path not in self._seen:
            self._parents(path)
            self._add(path, stat.S_IFLNK | 0o777, str(target).encode())

    def char_device(self, path, major, minor, mode=0o600):
        """A character device."""
        path = self._clean(path)
        self._parents(path)
        self._add(path, stat.S_IFCHR | mode, rdev=(major, minor))

    def copy(self, source, path):
        """A file, link or whole directory of the host."""
        source = pathlib.Path(source)
        if source.is_symlink():
            self.link(path, source.readlink())
        elif source.is_dir():
            self.directory(path)
            for entry in sorted(source.iterdir()):
                self.copy(entry, f"{path}/{entry.name}")
        elif source.is_file():
            self.file(path, source.read_bytes(), source.stat().st_mode & 0o777 | 0o400)
        else:
            raise OSError(f"{source}: neither a file nor a directory")

    def __bytes__(self):
        return b"".join(self._chunks) + self._header("TRAILER!!!", 0, 0, 0, (0, 0))

    @staticmethod
    def _clean(path):
        return str(path).strip("/")

    def _parents(self, path):
        for parent in reversed(pathlib.PurePosixPath(path).parents):
            if str(parent) != ".":
                self.directory(parent)

    def _add(self, path, mode, data=b"", rdev=(0, 0)):
        self._seen[path] = mode
        self._ino += 1
        self._chunks += [self._header(path, self._ino, mode, len(data), rdev), data,
                         bytes(-len(data) % BLOCK)]

    @staticmethod
    def _header(path, ino, mode, size, rdev):
        name = path.encode() + b"\0"
        fields = (ino, mode, 0, 0, 1, 0, size, 0, 0, *rdev, len(name), 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + name
        return head + bytes(-len(head) % BLOCK)
