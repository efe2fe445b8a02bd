"""What the operating system's errors, and bytes that are no text, mean to a person and what to do about them. Pure."""

from __future__ import annotations

import errno
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from typing import Final

from stackctl.errors import ConfigError, RuntimeFailure, StackError

_HINTS: Final = {
    errno.ENOSPC: "free some space on that disk",
    errno.EDQUOT: "have this user's quota on that disk raised",
    errno.EROFS: "mount that disk writable, or use a folder on another one",
    errno.EACCES: "run the command as the owner, or give this user access",
    errno.EPERM: "run the command as the owner, or give this user access",
    errno.EISDIR: "a folder has the name of a file: rename it or move it away",
    errno.ENOTDIR: "a file has the name of a folder: rename it or move it away",
    errno.ENAMETOOLONG: "use a shorter path",
    errno.ELOOP: "remove the link that leads back to itself",
    errno.EMFILE: "raise the limit of open files: ulimit -n 4096",
    errno.ENOENT: "check that it is still there",
    errno.EIO: "check that disk: the kernel's log says more",
    errno.ENOMEM: "free some memory",
    errno.EAGAIN: "raise the limit of processes: ulimit -u",
}


def find_hint(error: OSError) -> str:
    """One next step for an error of the operating system."""
    if error.errno == errno.ENOSPC and not error.filename:
        return "find the full disk with 'df -h' and free some space there"
    return _HINTS.get(error.errno or 0, "check the path, the disk and this user's rights")


def explain_failure(error: Exception) -> StackError | None:
    """A failure in words, where it is the machine's or the input's; ``None`` where it is a bug."""
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename else ""
        return RuntimeFailure(f"{place}{error.strerror}.", find_hint(error))
    if isinstance(error, UnicodeEncodeError) and "surrogates" in error.reason:
        # Python stands for bytes that are no UTF-8, of a file name or a command line, with halves of characters.
        return ConfigError(
            f"A name or text here is not UTF-8: {_show_around(error)}.", "rename it, or write it in UTF-8"
        )
    return None


def _show_around(error: UnicodeEncodeError) -> str:
    start, end = max(error.start - 40, 0), error.end + 20
    return ascii(str(error.object)[start:end])


def decode_text(data: bytes, name: str) -> str:
    """UTF-8 bytes as text, without a byte order mark, with ``\\n`` at the ends of lines.

    Args:
        name: name of the file or stream that the bytes come from, as a person knows it.

    Raises:
        ConfigError: the bytes are not UTF-8; names line, column and byte, and the encoding that they seem to have.
    """
    body = data.removeprefix(BOM_UTF8)
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        before = body[: error.start].decode("utf-8")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        encoding = _guess_encoding(data)
        seen = f"line {line}, column {column} holds the byte 0x{body[error.start]:02x}"
        kind = f"; it looks like {encoding}" if encoding else ""
        hint = f"convert it: iconv -f {encoding} -t UTF-8" if encoding else "save it as UTF-8"
        raise ConfigError(f"{name} is not UTF-8 text: {seen}{kind}.", hint) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _guess_encoding(data: bytes) -> str:
    """The encoding in which the bytes make sense, a Windows editor's or a Korean terminal's; empty when unknown."""
    if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return "UTF-16"
    try:
        text = data.decode("cp949")
    except UnicodeDecodeError:
        return ""
    return "CP949" if any("가" <= char <= "힣" for char in text) else ""
