"""The smallest image there is: one program that waits for ever and so holds a network for others.

It is put together here, byte by byte, as a registry is not always there: an ELF header, one segment, and a
loop around the system call pause (x86-64) or ppoll (arm64, which has no pause). Counterpart: Kubernetes'
pause image.
"""

import io
import struct
import tarfile
from typing import Final

IMAGE: Final = "minirun/pause"
_BASE: Final = 0x400000
_HEADERS: Final = 64 + 56
_CODE: Final[dict[str, tuple[int, bytes]]] = {
    # mov eax, 34 (pause); syscall; jmp to the start
    "x86_64": (62, bytes.fromhex("b822000000 0f05 ebf7")),
    # mov x0..x4, 0; mov x8, 73 (ppoll); svc 0; b to the start
    "aarch64": (
        183,
        struct.pack("<8I", *(0xD2800000 + r for r in range(5)), 0xD2800928, 0xD4000001, 0x17FFFFF9),
    ),
}


def program(architecture: str) -> bytes:
    """The program, for a machine as `uname -m` names it. Raises ValueError for one that is not known."""
    if architecture not in _CODE:
        raise ValueError(f"the Docker engine runs on {architecture}; the docker runtime knows {list(_CODE)}")
    machine, code = _CODE[architecture]
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    header = struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, _BASE + _HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    size = _HEADERS + len(code)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x1000)
    return ident + header + segment + code


def file_system(architecture: str) -> bytes:
    """The image's one layer, a tar archive."""
    code = program(architecture)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        entry = tarfile.TarInfo("pause")
        entry.size, entry.mode = len(code), 0o755
        tar.addfile(entry, io.BytesIO(code))
    return buffer.getvalue()
