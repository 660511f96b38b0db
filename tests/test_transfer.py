"""Entries carry over from any store to any other by a file; whatever is wrong with it, what can be read is kept."""

from __future__ import annotations

import asyncio
import io
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
import zstandard

from tests.stores import LARGE_BYTES, NOW_S, STORES, Clock, entry, opened, pointing, same, waiting
from workbench.cache.jsonl import read_lines, written_lines
from workbench.cache.store import Entry, Store, walk
from workbench.cache.transfer import Imported, Space, export_entries, import_entries
from workbench.errors import UnreadableFile

SPACE = Space(fingerprint="mini", dimension=2, key_version=1)

FIRST = replace(entry("a", text="Wie geht's?", angle=0.5), tokens=7)
SOME: tuple[tuple[str, Entry], ...] = (
    ("t", FIRST),
    ("t", waiting("b", text="pending", ttl_s=50)),
    ("t", entry("c", text="identical requests only")),
    ("u", replace(FIRST, payload=b"another tenant's \xff")),
)


async def filled(store: Store) -> Store:
    for tenant, stored in SOME:
        await store.put(tenant, stored)
    return store


async def import_to(store: Store, path: Path, *, space: Space = SPACE, tenant: str | None = None) -> Imported:
    return await import_entries(store, path, space=space, tenant=tenant, clock=Clock())


def exported(folder: Path) -> Path:
    """A file with what is in `SOME`."""

    async def story() -> None:
        async with opened(STORES["memory"](folder, LARGE_BYTES, Clock())) as store:
            assert await export_entries(await filled(store), folder / "out.zst", space=SPACE) == len(SOME)

    asyncio.run(story())
    return folder / "out.zst"


def lines_of(path: Path) -> list[bytes]:
    return [line for _, line in read_lines(path)]


def rewritten(path: Path, lines: list[bytes]) -> Path:
    with written_lines(path) as append:
        for line in lines:
            append(line)
    return path


@pytest.mark.parametrize("target", STORES)
@pytest.mark.parametrize("source", STORES)
def test_what_is_exported_from_one_store_is_whole_in_another(tmp_path: Path, source: str, target: str) -> None:
    path, clock = tmp_path / "out.zst", Clock()
    for name in ("from", "to"):
        (tmp_path / name).mkdir()

    async def story() -> None:
        async with opened(STORES[source](tmp_path / "from", LARGE_BYTES, clock)) as store:
            await export_entries(await filled(store), path, space=SPACE)
        async with opened(STORES[target](tmp_path / "to", LARGE_BYTES, clock)) as store:
            imported = await import_to(store, path)
            assert (imported.stored, imported.pending, imported.is_whole) == (4, 1, True)
            for tenant, stored in SOME:
                assert same(await store.get(tenant, stored.digest), stored)
            (found,) = await store.nearest("t", FIRST.scope, pointing(0.5), k=1)
            assert same(found.entry, FIRST)
            again = await import_to(store, path)
            assert (again.stored, again.known) == (0, 4)
            assert (await store.stats()).entries == 4

    asyncio.run(story())


def test_what_an_entry_saves_is_told_along(tmp_path: Path) -> None:
    _, first, *_ = lines_of(exported(tmp_path))
    assert orjson.loads(first)["tokens"] == 7


def test_only_one_tenants_entries_and_into_another(tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(STORES["memory"](tmp_path, LARGE_BYTES, Clock())) as store:
            assert await export_entries(await filled(store), tmp_path / "u.zst", space=SPACE, tenant="u") == 1
        async with opened(STORES["memory"](tmp_path, LARGE_BYTES, Clock())) as store:
            assert (await import_to(store, tmp_path / "u.zst", tenant="v")).stored == 1
            assert [tenant async for tenant, _ in walk(store)] == ["v"]

    asyncio.run(story())


def test_an_export_is_for_its_owner_alone(tmp_path: Path) -> None:
    assert stat.S_IMODE(exported(tmp_path).stat().st_mode) == 0o600


def test_an_export_that_fails_leaves_the_file_before_it(tmp_path: Path) -> None:
    path = tmp_path / "out.zst"
    path.write_bytes(b"before")

    def broken() -> None:
        with written_lines(path) as append:
            append(b"half")
            raise LookupError

    with pytest.raises(LookupError):
        broken()
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_another_embedders_vectors_are_left_out_and_the_questions_wait(tmp_path: Path) -> None:
    path = exported(tmp_path)

    async def story() -> None:
        async with opened(STORES["sqlite"](tmp_path, LARGE_BYTES, Clock())) as store:
            imported = await import_to(store, path, space=replace(SPACE, fingerprint="large", dimension=3))
            assert (imported.stored, imported.pending) == (4, 3)
            assert same(await store.get("t", FIRST.digest), replace(FIRST, vector=None))
            assert {one.text for one in await store.pending("t", FIRST.scope, limit=9)} == {FIRST.text, "pending"}
            assert (await import_to(store, path)).known == 4  # and now the right embedder's
            (found,) = await store.nearest("t", FIRST.scope, pointing(0.5), k=1)
            assert found.entry.id == FIRST.id

    asyncio.run(story())


def test_what_is_newer_stays_and_what_was_withdrawn_stays_so(tmp_path: Path) -> None:
    path = exported(tmp_path)

    async def story() -> None:
        async with opened(STORES["memory"](tmp_path, LARGE_BYTES, Clock())) as store:
            newer = replace(FIRST, created_s=NOW_S + 1, payload=b"newer")
            await store.put("u", newer)
            await store.put("t", FIRST)
            await store.withdraw("t", FIRST.id)
            await import_to(store, path)
            assert same(await store.get("u", FIRST.digest), newer)
            assert await store.nearest("t", FIRST.scope, pointing(0.5), k=1) == []
            assert (await store.pending("t", FIRST.scope, limit=9))[0].text == "pending"

    asyncio.run(story())


def test_what_has_expired_is_left_out(tmp_path: Path) -> None:
    path, clock = exported(tmp_path), Clock()
    clock.now_s += 60

    async def story() -> None:
        async with opened(STORES["memory"](tmp_path, LARGE_BYTES, clock)) as store:
            imported = await import_entries(store, path, space=SPACE, clock=clock)
            assert (imported.stored, imported.expired) == (3, 1)

    asyncio.run(story())


def test_a_file_that_was_cut_off_is_told_and_its_whole_lines_are_kept(tmp_path: Path) -> None:
    path = exported(tmp_path)
    lines = [entry(str(number), text="x" * 50_000) for number in range(40)]

    async def story() -> None:
        async with opened(STORES["memory"](tmp_path, LARGE_BYTES, Clock())) as store:
            for number, one in enumerate(lines):
                await store.put("t", replace(one, text=f"{number}" + one.text, payload=number.to_bytes(2) * 5000))
            await export_entries(store, path, space=SPACE)
        content = path.read_bytes()
        for cut_bytes in (len(content) // 2, len(content) - 40):
            path.write_bytes(content[:cut_bytes])
            async with opened(STORES["memory"](tmp_path, LARGE_BYTES, Clock())) as store:
                imported = await import_to(store, path)
                assert not imported.is_whole
                assert (await store.stats()).entries == imported.stored > 0

    asyncio.run(story())


def test_lines_that_are_cut_off_without_compression_are_told_too(tmp_path: Path) -> None:
    plain = tmp_path / "plain.jsonl"
    plain.write_bytes(b"\n".join(lines_of(exported(tmp_path))[:3])[:-10])

    async def story() -> None:
        async with opened(STORES["memory"](tmp_path, LARGE_BYTES, Clock())) as store:
            imported = await import_to(store, plain)
            assert (imported.stored, imported.unreadable, imported.is_whole) == (1, 1, False)
            assert imported.faults[0].startswith("line 3: ")

    asyncio.run(story())


def test_damage_in_the_middle_is_told_and_what_came_before_is_kept(tmp_path: Path) -> None:
    path = exported(tmp_path)
    half = io.BytesIO()
    with zstandard.ZstdCompressor(write_checksum=True).stream_writer(half, closefd=False) as packer:
        packer.write(b"\n".join(lines_of(path)[:3]) + b"\n")
    path.write_bytes(half.getvalue() + zstandard.FRAME_HEADER + b"\x00garbage" * 9)

    async def story() -> None:
        async with opened(STORES["memory"](tmp_path, LARGE_BYTES, Clock())) as store:
            imported = await import_to(store, path)
            assert (imported.stored, imported.is_whole) == (2, False)
            assert "damaged after line 3" in imported.faults[-1]

    asyncio.run(story())


def spoilt(**changes: object) -> Callable[[bytes], bytes]:
    return lambda line: orjson.dumps(orjson.loads(line) | changes)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda line: b"garbage", "JSON"),
        (lambda line: b"\xff\xfe{}", "JSON"),
        (lambda line: b"[]", "object|valid"),
        (spoilt(digest="../../etc"), "digest"),
        (spoilt(tenant="a b"), "tenant"),
        (spoilt(payload="***"), "payload"),
        (spoilt(created_s="soon"), "created_s"),
        (spoilt(expires_s=None), "expires_s"),
        (spoilt(vector="AAAA"), "3 bytes, expected 8"),
        (spoilt(vector="AAAAAAAAAAA="), "length 1"),
        (spoilt(vector="AADAfwAAAAA="), "length 1"),
    ],
)
def test_a_line_that_makes_no_sense_is_named_and_the_others_are_kept(
    tmp_path: Path, spoil: Callable[[bytes], bytes], told: str
) -> None:
    path = exported(tmp_path)
    header, first, *rest = lines_of(path)
    rewritten(path, [header, spoil(first), *rest])

    async def story() -> None:
        async with opened(STORES["memory"](tmp_path, LARGE_BYTES, Clock())) as store:
            imported = await import_to(store, path)
            assert (imported.stored, imported.unreadable, imported.is_whole) == (3, 1, True)
            (fault,) = imported.faults
            assert fault.startswith("line 2: ")
            assert any(word in fault for word in told.split("|"))

    asyncio.run(story())


@pytest.mark.parametrize(
    ("header", "told"),
    [
        (b"{}", "expected the header"),
        (b"what?", "expected the header"),
        (b'{"format":"self-host-workbench entries","version":2,"key_version":1,"fingerprint":"mini"}', "format 2"),
        (
            b'{"format":"self-host-workbench entries","version":1,"key_version":7,"fingerprint":"mini"}',
            "keys of version 7",
        ),
    ],
)
def test_a_file_of_another_form_is_refused_at_its_first_line(tmp_path: Path, header: bytes, told: str) -> None:
    path = exported(tmp_path)
    rewritten(path, [header, *lines_of(path)[1:]])

    async def story() -> None:
        async with opened(STORES["memory"](tmp_path, LARGE_BYTES, Clock())) as store:
            with pytest.raises(UnreadableFile, match=told):
                await import_to(store, path)
            assert (await store.stats()).entries == 0

    asyncio.run(story())


@pytest.mark.parametrize("content", [None, b"", b"\x28\xb5\x2f\xfd", b"\x00" * 100])
def test_what_is_no_file_of_lines_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)

    async def story() -> None:
        async with opened(STORES["memory"](tmp_path, LARGE_BYTES, Clock())) as store:
            with pytest.raises(UnreadableFile, match=str(path)):
                await import_to(store, path)

    asyncio.run(story())


def test_duplicates_in_a_file_are_stored_once(tmp_path: Path) -> None:
    path = exported(tmp_path)
    header, *entries, _ = lines_of(path)
    rewritten(path, [header, *entries, *entries, b'{"end":8}'])

    async def story() -> None:
        async with opened(STORES["sqlite"](tmp_path, LARGE_BYTES, Clock())) as store:
            imported = await import_to(store, path)
            assert (imported.stored, imported.known, imported.is_whole) == (4, 4, True)

    asyncio.run(story())
