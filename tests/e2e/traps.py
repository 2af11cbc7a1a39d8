"""A folder and an environment full of what root must not load."""

from __future__ import annotations

from tests.support.machine import ENVIRONMENT, Machine

TRAPPED_MODULES = (
    "_blake2",
    "_cffi_backend",
    "_hashlib",
    "_socket",
    "_sqlite3",
    "admin_cli",
    "audit",
    "codecs",
    "collections",
    "datetime",
    "encodings",
    "fcntl",
    "grp",
    "hashlib",
    "hmac",
    "hook",
    "login",
    "nacl",
    "os",
    "pam_totp",
    "pwd",
    "re",
    "resource",
    "sitecustomize",
    "socket",
    "sqlite3",
    "stat",
    "store",
    "syslog",
    "time",
    "traceback",
    "typing",
    "usercustomize",
)
MARKER = "/trap-was-loaded"  # where root alone can write


def lay(machine: Machine, owner: str) -> str:
    """Make a folder of ``owner``'s full of modules that leave MARKER when root loads them."""
    folder = f"/home/{owner}/traps"
    trap = (
        "import posix\n"
        f"try: posix.close(posix.open({MARKER!r}, posix.O_CREAT | posix.O_WRONLY))\n"
        "except OSError: pass\n"
    )
    script = (
        'mkdir -p "$1" && cd "$1" && cat >trap && shift && for name; do '
        'cp trap "$name.py"; mkdir "$name"; cp trap "$name/__init__.py"; done; '
        "version=$(/usr/bin/python3 -Ic 'import sys; print(*sys.version_info[:2], sep=\".\")'); "
        "mkdir -p bin lib/python$version ../.local/lib/python$version/site-packages; "
        "cp /usr/bin/python3 bin/; cp -r *.py encodings collections lib/python$version/; "
        "cp *.py ../.local/lib/python$version/site-packages/; "
        "echo 'import usercustomize' >../.local/lib/python$version/site-packages/trap.pth"
    )
    machine.run("sh", "-c", script, "sh", folder, *TRAPPED_MODULES, user=owner, typed=trap)
    return folder


def environment(folder: str) -> dict[str, str]:
    """Return an environment in which whatever is believed leads to ``folder``."""
    return {
        "PYTHONPATH": folder,
        "PYTHONHOME": folder,
        "PYTHONSTARTUP": f"{folder}/os.py",
        "PYTHONUSERBASE": f"{folder}/../.local",
        "PYTHONPLATLIBDIR": f"{folder}/lib",
        "PYTHONINSPECT": "1",
        "PYTHONBREAKPOINT": "os.system",
        "PYTHONWARNINGS": "error",
        "PYTHONEXECUTABLE": f"{folder}/bin/python3",
        "PYTHONPYCACHEPREFIX": folder,
        "PATH": f"{folder}/bin:{folder}:{ENVIRONMENT['PATH']}",
        "HOME": folder,
        "TZ": f":{folder}/trap",
        "LC_ALL": "tr_TR.UTF-8",
        "LOCPATH": folder,
        "LD_LIBRARY_PATH": folder,
        "LD_PRELOAD": f"{folder}/trap",
        "TMPDIR": folder,
        "SQLITE_TMPDIR": folder,
        "PAM_TOTP_CONFIG": f"{folder}/trap",
        "unenrolled": "skip",
        "nullok": "1",
    }


def is_sprung(machine: Machine) -> bool:
    """Tell whether root fell into a trap."""
    return machine.run("test", "-e", MARKER, check=False).returncode == 0
