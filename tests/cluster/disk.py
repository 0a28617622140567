"""A disk of a size that the test chooses, so that it can be full."""

import contextlib
import os
import pathlib
import subprocess

import pytest


@contextlib.contextmanager
def small_disk(folder: pathlib.Path, size: str):
    """A file system of this size, mounted on the folder for the length of the block."""
    folder.mkdir(parents=True, exist_ok=True)
    if os.getuid() != 0:
        pytest.skip("mounting a file system needs root")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, text=True, timeout=20, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        # Whoever was killed may hold it a moment longer.
        subprocess.run(["umount", "--lazy", str(folder)], timeout=20, check=True)
