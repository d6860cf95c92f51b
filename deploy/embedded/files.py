"""Write the files of the data folder so that a crash leaves the old one or the new one, never half of one."""

import os
from pathlib import Path

PRIVATE = 0o600  # keys and passwords: the owner alone
PUBLIC = 0o644  # certificates and public keys


def private_folder(path: Path) -> Path:
    """Make a folder that only its owner may enter, with its parents; return it."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.chmod(0o700)
    return path


def write(path: Path, content: str | bytes, mode: int = PRIVATE) -> None:
    """Replace a file at once; it never exists with more rights than `mode`, not even for a moment."""
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    data = content.encode() if isinstance(content, str) else content
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        os.fchmod(file.fileno(), mode)  # the umask may have taken rights away that the reader needs
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
