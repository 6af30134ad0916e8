"""What Python's tarfile and libarchive, the reader of bsdtar, see in archives.

Reads names of archives, one a line; writes a line of JSON for each: a list of [kind, name, size, link,
digest] for either reader, or null where it complains.
"""

import ctypes
import ctypes.util
import hashlib
import io
import json
import locale
import os
import sys
import tarfile

locale.setlocale(locale.LC_ALL, "C.UTF-8")
library = ctypes.CDLL("libarchive.so.13")
for name in ("pathname", "hardlink", "symlink"):
    getattr(library, "archive_entry_" + name).restype = ctypes.c_char_p
    getattr(library, "archive_entry_" + name).argtypes = [ctypes.c_void_p]
library.archive_read_new.restype = ctypes.c_void_p
library.archive_entry_size.restype = ctypes.c_int64
library.archive_entry_size.argtypes = [ctypes.c_void_p]
library.archive_entry_filetype.argtypes = [ctypes.c_void_p]
library.archive_read_data.restype = ctypes.c_ssize_t
library.archive_read_data.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
library.archive_read_next_header.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
library.archive_read_support_format_tar.argtypes = [ctypes.c_void_p]
library.archive_read_open_memory.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
library.archive_read_free.argtypes = [ctypes.c_void_p]
EOF = 1
KINDS = {
    0o100000: "file",
    0o040000: "directory",
    0o120000: "symlink",
    0o010000: "fifo",
    0o020000: "device",
    0o060000: "device",
}


def digest(data):
    return hashlib.sha256(data).hexdigest()


def by_tarfile(data):
    entries = []
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        for member in archive:
            name, link = os.fsencode(member.name), os.fsencode(member.linkname)
            if member.isreg() or member.type == tarfile.GNUTYPE_SPARSE:
                content = archive.extractfile(member).read()
                if len(content) != member.size:
                    raise ValueError("short")
                entry = ["file", name.hex(), member.size, "", digest(content)]
            elif member.isdir():
                entry = ["directory", name.hex(), 0, "", ""]
            elif member.issym():
                entry = ["symlink", name.hex(), 0, link.hex(), ""]
            elif member.islnk():
                entry = ["hardlink", name.hex(), 0, link.hex(), ""]
            elif member.isfifo():
                entry = ["fifo", name.hex(), 0, "", ""]
            elif member.ischr() or member.isblk():
                entry = ["device", name.hex(), 0, "", ""]
            else:
                raise ValueError("unknown type")
            entries.append(entry)
    return entries


def by_libarchive(data):
    archive = library.archive_read_new()
    try:
        library.archive_read_support_format_tar(archive)
        if library.archive_read_open_memory(archive, data, len(data)) != 0:
            return None
        entries = []
        entry = ctypes.c_void_p()
        while True:
            answer = library.archive_read_next_header(archive, ctypes.byref(entry))
            if answer == EOF:
                return entries
            if answer != 0:
                return None
            name = library.archive_entry_pathname(entry) or b""
            hard = library.archive_entry_hardlink(entry)
            soft = library.archive_entry_symlink(entry) or b""
            kind = KINDS.get(library.archive_entry_filetype(entry) & 0o170000, "unknown")
            size = library.archive_entry_size(entry)
            if hard is not None:
                entries.append(["hardlink", name.hex(), 0, hard.hex(), ""])
                continue
            if kind != "file":
                entries.append([kind, name.hex(), 0, soft.hex(), ""])
                continue
            parts = []
            buffer = ctypes.create_string_buffer(1 << 16)
            while True:
                count = library.archive_read_data(archive, buffer, len(buffer))
                if count < 0:
                    return None
                if count == 0:
                    break
                parts.append(buffer.raw[:count])
            entries.append(["file", name.hex(), size, "", digest(b"".join(parts))])
    finally:
        library.archive_read_free(archive)


for line in sys.stdin:
    with open(line.rstrip("\n"), "rb") as file:
        data = file.read()
    try:
        tarfile_says = by_tarfile(data)
    except Exception:
        tarfile_says = None
    print(json.dumps({"tarfile": tarfile_says, "libarchive": by_libarchive(data)}), flush=True)
