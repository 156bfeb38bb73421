"""The settings of the embedded server: durable, sized to the machine, for short queries."""

import os
import sys
from pathlib import Path

from bellbird.core.postgres_files import CLUSTER, write_whole

MB = 1024 * 1024

HEADER = """\
# Bellbird rewrites this file at every start, so that an upgrade of Bellbird takes effect. Do not edit it.
# Your own settings go to custom.conf beside it, or come from ALTER SYSTEM; both win over this file.
"""

CUSTOM = "# Your own PostgreSQL settings, which win over bellbird.conf. Bellbird never changes this file.\n"


def write_settings(data_dir: Path, users: list[str]) -> None:
    """Write bellbird.conf and the rules of who may connect; `users` names them, none means whoever gets in."""
    write_whole(data_dir / "bellbird.conf", HEADER + settings(data_dir, memory(), sys.platform))
    method = "peer map=bellbird" if users else "trust"
    names = "".join(f'bellbird "{user}" all\n' for user in users)
    write_whole(data_dir / "bellbird_hba.conf", f"{HEADER}local all all {method}\n")
    write_whole(data_dir / "bellbird_ident.conf", HEADER + names)
    if not (data_dir / "custom.conf").exists():
        write_whole(data_dir / "custom.conf", CUSTOM)


def include_settings(cluster: Path) -> None:
    """Make a new cluster read the settings beside it."""
    with open(cluster / "postgresql.conf", "a", encoding="utf-8") as file:
        file.write("\ninclude '../bellbird.conf'\ninclude_if_exists '../custom.conf'\n")


def settings(data_dir: Path, ram: int, platform: str) -> str:
    """The text of bellbird.conf for a machine with `ram` bytes.

    The server shares its machine with the application, so it takes an eighth as its own cache rather than the usual
    quarter, and leaves the rest to the operating system's cache, which `effective_cache_size` tells the planner about.
    Above 1 GB a cache is worth tuning by hand.
    """
    # Containers give /dev/shm 64 MB, too little for parallel queries. System V segments are not counted there, and
    # PostgreSQL needs one in any case. macOS allows them only 4 MB, but has no such limit on the others.
    shared_memory = "sysv" if platform == "linux" else "posix"
    return f"""
# Reached through the Unix socket only: no port to collide, nothing to reach from outside.
listen_addresses = ''
hba_file = {_quoted(data_dir / "bellbird_hba.conf")}
ident_file = {_quoted(data_dir / "bellbird_ident.conf")}
max_connections = 200
idle_in_transaction_session_timeout = 60s

# What was committed stays committed.
fsync = on
synchronous_commit = on
full_page_writes = on
max_wal_size = 2GB

# Memory, by the size of this machine ({ram // MB} MB).
shared_buffers = {_between(64, ram // 8, 1024)}MB
effective_cache_size = {_between(128, ram // 2, 1024 * 1024)}MB
maintenance_work_mem = {_between(64, ram // 16, 512)}MB
work_mem = 16MB
dynamic_shared_memory_type = {shared_memory}

# Solid state disks, short queries.
random_page_cost = 1.1
jit = off
timezone = 'UTC'

# A week of logs in {CLUSTER}/log, one file a day. Statements are not logged: they hold personal data.
logging_collector = on
log_directory = 'log'
log_filename = 'postgres-%a.log'
log_rotation_age = 1d
log_rotation_size = 0
log_truncate_on_rotation = on
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %q%u@%d '
log_statement = none
log_min_error_statement = panic
log_parameter_max_length_on_error = 0
"""


def memory() -> int:
    """The bytes of memory that this process may count on: the machine's, or its container's where that is less."""
    sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            sizes.append(int(Path(limit).read_text(encoding="ascii")))
        except (OSError, ValueError):  # no such control group, or "max"
            continue
    return min(sizes)


def _between(least: int, size: int, most: int) -> int:
    return max(least, min(size // MB, most))


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("\\", "\\\\").replace("'", "''") + "'"
