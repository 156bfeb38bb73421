"""The embedded server, for real: every test here starts, joins, kills or refuses one."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bellbird.core import postgres, postgres_cluster, postgres_files, postgres_settings
from bellbird.core.postgres_account import account_for, passing_all_folders

SOURCE = Path(postgres.__file__).parents[2]
BELLBIRD_ROLES = (
    "SELECT rolname, rolcanlogin, rolsuper, rolbypassrls, rolinherit FROM pg_roles WHERE rolname ~ '^bellbird'"
)

# A process that uses the server until its standard input ends.
HOLDER = """
import sys
from pathlib import Path
from bellbird.core.postgres import start
server = start(Path(sys.argv[1]))
print(server.conninfo(), flush=True)
sys.stdin.read()
"""

# An ordinary user, who may read this checkout and its Python wherever they are.
AS_NOBODY = passing_all_folders(65534, 65534)

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder of this user's alone, where nobody else may enter; not pytest's, whose paths are long."""
    folder = Path(tempfile.mkdtemp(prefix="bb-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def made(folder: Path) -> Path:
    """A data directory with a cluster in it that no server runs on; each test leaves it so."""
    data_dir = folder / "shared data"
    postgres.start(data_dir).release()
    return data_dir


@pytest.fixture
def stopped(made: Path) -> Iterator[Path]:
    yield made
    assert postmaster(made) is None, "the test left a server running"


def postmaster(data_dir: Path) -> int | None:
    server = postgres_cluster.find(data_dir / "postgres")
    return server.pid if server else None


def ask(conninfo: str, query: str) -> list[Any]:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        return connection.execute(query.encode()).fetchall()


def hold(data_dir: Path, *prefix: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*prefix, sys.executable, "-c", HOLDER, data_dir],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join([str(SOURCE), *sys.path]),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        cwd="/",
    )


def wait_until_it_holds(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    line = process.stdout.readline().strip()
    assert line or not process.stderr, process.communicate()[1]
    return line


def end(process: subprocess.Popen[str]) -> None:
    process.communicate(timeout=30)
    assert process.returncode == 0


def test_the_first_start_makes_the_database_and_its_roles_and_the_last_release_stops_it(folder: Path) -> None:
    server = postgres.start(folder / "first")
    assert ask(server.conninfo(), "SELECT current_user, current_database()") == [("postgres", "bellbird")]
    assert sorted(ask(server.conninfo(), BELLBIRD_ROLES)) == [
        ("bellbird_app", True, False, False, False),
        ("bellbird_system", True, False, False, False),
    ]
    assert ask(server.conninfo(user="bellbird_app"), "SELECT current_user") == [("bellbird_app",)]
    locale = "SELECT datlocprovider::text, datlocale, pg_encoding_to_char(encoding) FROM pg_database"
    assert set(ask(server.conninfo(), locale)) == {("b", "C.UTF-8", "UTF8")}
    server.release()
    assert postmaster(folder / "first") is None
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(server.conninfo())


def test_the_server_is_durable_and_listens_on_no_port(stopped: Path) -> None:
    server = postgres.start(stopped)
    names = "listen_addresses fsync synchronous_commit full_page_writes data_checksums TimeZone jit max_connections"
    query = f"SELECT current_setting(name) FROM unnest(string_to_array('{names}', ' ')) AS name"
    values = [value for (value,) in ask(server.conninfo(), query)]
    server.release()
    assert values == ["", "on", "on", "on", "on", "UTC", "off", "200"]


def test_a_second_start_joins_and_both_must_let_go(stopped: Path) -> None:
    first = postgres.start(stopped)
    running = postmaster(stopped)
    second = postgres.start(stopped)
    assert postmaster(stopped) == running
    first.release()
    first.release()
    assert ask(second.conninfo(), "SELECT 1") == [(1,)]
    second.release()


def test_processes_share_one_server_and_the_last_one_stops_it(stopped: Path) -> None:
    holders = [hold(stopped) for _ in range(3)]
    conninfos = {wait_until_it_holds(holder) for holder in holders}
    assert len(conninfos) == 1
    running = postmaster(stopped)
    for holder in holders[:2]:
        end(holder)
    assert postmaster(stopped) == running
    end(holders[2])


def test_a_killed_process_leaves_the_server_to_the_next_one(stopped: Path) -> None:
    holder = hold(stopped)
    wait_until_it_holds(holder)
    running = postmaster(stopped)
    holder.kill()
    holder.communicate()
    server = postgres.start(stopped)
    assert running is not None
    assert postmaster(stopped) == running
    server.release()


def test_a_forked_child_has_a_hold_of_its_own(stopped: Path) -> None:
    server = postgres.start(stopped)
    child = os.fork()
    if child == 0:
        server.release()  # the parent's, not the child's to give up
        mine = postgres.start(stopped)
        mine.release()
        os._exit(0 if postmaster(stopped) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert ask(server.conninfo(), "SELECT 1") == [(1,)]
    server.release()


def test_the_server_outlives_its_parent_only_as_long_as_a_forked_child_uses_it(stopped: Path) -> None:
    server = postgres.start(stopped)
    child = os.fork()
    if child == 0:
        mine = postgres.start(stopped)
        time.sleep(0.5)
        mine.release()
        os._exit(0)
    time.sleep(0.25)
    server.release()
    assert postmaster(stopped) is not None
    os.waitpid(child, 0)


def test_a_killed_server_recovers_with_all_that_was_committed(stopped: Path) -> None:
    server = postgres.start(stopped)
    with psycopg.connect(server.conninfo()) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    killed = postmaster(stopped)
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    again = postgres.start(stopped)
    assert ask(again.conninfo(), "TABLE kept") == [(42,)]
    again.release()
    server.release()


def test_a_stale_process_number_that_is_in_use_again_does_not_stop_a_start(stopped: Path) -> None:
    stale = [str(os.getpid()), str(stopped / "postgres"), "1", "5432", str(stopped / "socket"), "", "", "ready"]
    (stopped / "postgres" / "postmaster.pid").write_text("\n".join(stale) + "\n", encoding="utf-8")
    server = postgres.start(stopped)
    assert postmaster(stopped) != os.getpid()
    server.release()


def test_half_made_clusters_are_swept_away(stopped: Path) -> None:
    leftover = stopped / "postgres.new-killed"
    leftover.mkdir()
    postgres.start(stopped).release()
    assert not leftover.exists()


def test_our_settings_are_rewritten_and_the_users_own_win(stopped: Path) -> None:
    (stopped / "bellbird.conf").write_text("work_mem = nonsense\n", encoding="utf-8")
    (stopped / "custom.conf").write_text("work_mem = 5MB\n", encoding="utf-8")
    server = postgres.start(stopped)
    assert ask(server.conninfo(), "SHOW work_mem") == [("5MB",)]
    server.release()


def test_a_server_that_cannot_start_shows_its_last_words(stopped: Path) -> None:
    (stopped / "custom.conf").write_text("shared_buffers = plenty\n", encoding="utf-8")
    with pytest.raises(postgres.PostgresUnusable, match=r"(?s)does not start.*shared_buffers.*BELLBIRD_DATABASE_URL"):
        postgres.start(stopped)
    (stopped / "custom.conf").write_text("", encoding="utf-8")


def test_a_damaged_cluster_is_reported_with_advice(stopped: Path) -> None:
    control = stopped / "postgres" / "global" / "pg_control"
    control.rename(control.with_name("aside"))
    with pytest.raises(postgres.PostgresUnusable, match=r"(?s)does not start.*pg_control.*restore a backup"):
        postgres.start(stopped)
    control.with_name("aside").rename(control)


def test_data_of_another_major_version_is_named_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").write_text("15\n", encoding="ascii")
    with pytest.raises(
        postgres.PostgresUnusable, match=r"made by PostgreSQL 15, and this is PostgreSQL 18.*pg_dumpall"
    ):
        postgres.start(tmp_path)


def test_a_folder_that_is_no_cluster_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "photo.jpg").touch()
    with pytest.raises(postgres.PostgresUnusable, match="not a PostgreSQL cluster"):
        postgres.start(tmp_path)


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    for data_dir in (tmp_path / "data", tmp_path / "data" / "below"):
        with pytest.raises(postgres.PostgresUnusable, match=r"is a file.*BELLBIRD_DATA_DIR"):
            postgres.start(data_dir)


@as_root
def test_an_ordinary_user_can_run_it_without_a_home_and_is_told_where_it_may_not() -> None:
    folder = Path(tempfile.mkdtemp(prefix="bb-"))
    try:
        folder.chmod(0o755)
        said = hold(folder / "data", *AS_NOBODY).communicate()[1]
        assert f"may not use {folder / 'data'}" in said.splitlines()[-1]
        os.chown(folder, 65534, 65534)
        holder = hold(folder / "data", *AS_NOBODY)
        assert ask(wait_until_it_holds(holder), "SELECT 1") == [(1,)]
        assert (folder / "data").stat().st_mode & 0o777 == 0o700
        end(holder)
        # Root visits: the server runs as its owner, who finds everything usable afterwards.
        postgres.start(folder / "data").release()
        holder = hold(folder / "data", *AS_NOBODY)
        wait_until_it_holds(holder)
        end(holder)
    finally:
        shutil.rmtree(folder)


@as_root
def test_started_by_root_it_runs_as_another_user_and_lets_only_root_in(stopped: Path) -> None:
    assert stopped.parent.stat().st_mode & 0o077 == 0  # a folder that the server's user could not enter by itself
    server = postgres.start(stopped)
    running = postmaster(stopped)
    assert running
    status = Path(f"/proc/{running}/status").read_text(encoding="ascii")
    owner = (stopped / "postgres").stat().st_uid
    assert owner != 0
    assert f"\nUid:\t{owner}\t{owner}\t{owner}\t{owner}\n" in status
    assert stopped.parent.stat().st_mode & 0o077 == 0
    account = account_for(stopped, postgres.binaries())
    said = account.run(postgres.binaries() / "psql", server.conninfo(), "-c", "SELECT 1").stdout
    server.release()
    assert "Peer authentication failed" in said


@as_root
def test_root_without_setpriv_is_told_which_folder_bars_the_way(folder: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(postgres.PostgresUnusable, match=f"cannot enter or run {folder}.*chmod"):
        postgres.start(folder / "barred")


def test_a_long_path_gets_a_short_private_socket_folder(folder: Path, made: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    long = folder / ("a rather long name, with a comma " * 4)
    shutil.copytree(made, long, ignore=shutil.ignore_patterns("socket"), copy_function=copy_with_owner)
    copy_owners(made, long)
    server = postgres.start(long)
    try:
        assert not server.socket_dir.is_relative_to(long)
        assert server.socket_dir.stat().st_mode & 0o777 == 0o700
        assert ask(server.conninfo(), "SELECT 1") == [(1,)]
    finally:
        server.release()
        shutil.rmtree(server.socket_dir)


def copy_with_owner(source: str, target: str) -> None:
    shutil.copy2(source, target)
    os.chown(target, os.stat(source).st_uid, os.stat(source).st_gid)


def copy_owners(source: Path, target: Path) -> None:
    for folder, _, _ in os.walk(target):
        found = (source / Path(folder).relative_to(target)).stat()
        os.chown(folder, found.st_uid, found.st_gid)


def test_a_socket_folder_that_others_prepared_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "socket").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(postgres.PostgresUnusable, match="should be a folder that only user"):
        postgres_files.socket_dir(tmp_path, os.geteuid(), os.getegid())
    (tmp_path / "socket").unlink()
    (tmp_path / "socket").mkdir(mode=0o755)
    with pytest.raises(postgres.PostgresUnusable, match="should be a folder that only user"):
        postgres_files.socket_dir(tmp_path, os.geteuid(), os.getegid())


def test_the_connection_string_quotes_what_libpq_would_misread() -> None:
    server = postgres.EmbeddedServer(Path("/tmp/it's a \\ path"), Path("/tmp/it's"))
    parsed = psycopg.conninfo.conninfo_to_dict(server.conninfo(user="o'hara"))
    assert parsed == {"host": "/tmp/it's a \\ path", "port": "5432", "user": "o'hara", "dbname": "bellbird"}


@pytest.mark.parametrize(("ram", "buffers"), [(256, 64), (4096, 512), (65536, 1024)])
def test_memory_follows_the_machine_within_bounds(ram: int, buffers: int) -> None:
    text = postgres_settings.settings(Path("/data"), ram * 1024 * 1024, "linux")
    assert f"shared_buffers = {buffers}MB" in text
