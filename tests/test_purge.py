"""Purge forgets what was chosen and nothing else; no pattern is more than text."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.stores import LARGE_BYTES, NOW_S, STORES, Clock, entry, opened, waiting
from workbench.cache.purge import Selection, choose, matches, purge
from workbench.cache.store import Store, walk

OLD = replace(entry("old", text="How do I sort a list?", scope="a" * 64, angle=0.0), created_s=NOW_S - 1000)
NEW = replace(waiting("new", text="how do i REVERSE a list?", scope="b" * 64), model="other")
THEIRS = entry("theirs", text="[a-z]+ what is this?", angle=0.1)
NO_QUESTION = entry("no question")
SOME = {"old": ("t", OLD), "new": ("t", NEW), "theirs": ("u", THEIRS), "none": ("t", NO_QUESTION)}


@pytest.mark.parametrize(
    ("selection", "names"),
    [
        (Selection(), "old new theirs none"),
        (Selection(tenant="u"), "theirs"),
        (Selection(tenant="nobody"), ""),
        (Selection(model="other"), "new"),
        (Selection(scope="a" * 64), "old"),
        (Selection(scope="b" * 8), "new"),
        (Selection(scope="b" * 7), ""),
        (Selection(created_before_s=NOW_S), "old"),
        (Selection(pattern="a LIST?"), "old new"),
        (Selection(pattern="how*list?"), "old new"),
        (Selection(pattern="*sort*"), "old"),
        (Selection(pattern="[a-z]+"), "theirs"),
        (Selection(pattern="list", tenant="t", model="other"), "new"),
        (Selection(pattern=".*"), ""),
    ],
)
@pytest.mark.parametrize("kind", STORES)
def test_what_is_chosen_goes_and_the_rest_stays(tmp_path: Path, kind: str, selection: Selection, names: str) -> None:
    async def story(store: Store) -> None:
        for tenant, stored in SOME.values():
            await store.put(tenant, stored)
        chosen = await choose(store, selection)
        expected = {SOME[name][1].digest for name in names.split()}
        assert len(chosen.ids) == chosen.by_tenant.total() == chosen.by_model.total() == len(expected)
        assert (await store.stats()).entries == len(SOME)  # only chosen so far
        assert await purge(store, chosen.ids) == len(expected)
        assert await purge(store, chosen.ids) == 0
        left = {found.digest async for _, found in walk(store)}
        assert left == {stored.digest for _, stored in SOME.values()} - expected

    async def open_and_run() -> None:
        async with opened(STORES[kind](tmp_path, LARGE_BYTES, Clock())) as store:
            await story(store)

    asyncio.run(open_and_run())


def naive_match(text: str, pattern: str) -> bool:
    if "*" not in pattern:
        return pattern.casefold() in text.casefold()
    expression = ".*".join(re.escape(part) for part in pattern.casefold().split("*"))
    return re.fullmatch(expression, text.casefold(), re.DOTALL) is not None


@given(st.text("abß*?\n", max_size=8), st.text("abSß*?.[", max_size=6))
def test_a_pattern_means_what_the_plain_expression_means(text: str, pattern: str) -> None:
    assert matches(text, pattern) == naive_match(text, pattern)


def test_samples_are_few_and_show_questions(tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(STORES["memory"](tmp_path, LARGE_BYTES, Clock())) as store:
            for number in range(20):
                await store.put("t", entry(str(number), text=f"question {number}" if number % 2 else ""))
            samples = (await choose(store, Selection())).samples
            assert samples == [f"question {number}" for number in (1, 3, 5, 7, 9)]

    asyncio.run(story())
