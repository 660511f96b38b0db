"""The stand-in vast.ai is faithful: the published client takes it for the real one."""

from __future__ import annotations

from pathlib import Path

import asyncssh
import pytest

from benchmarks.stand_ins.vast import StandInVast, running
from tests.vast_cli import NotInstallable, VastAi, install


class Clock:
    """Stands still until it is told to go on."""

    now_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


def test_the_published_client_rents_watches_and_returns_a_machine(tmp_path: Path) -> None:
    try:
        python = install()
    except NotInstallable as error:
        pytest.skip(f"the stand-in vast.ai is NOT PROVED FAITHFUL here: {error}")
    clock = Clock()
    stand_in = StandInVast(clock=clock, gaps_s={})
    with running(stand_in) as url, VastAi(python, url=url, key=stand_in.key, home=tmp_path) as vastai:
        rent_and_return(vastai, clock)
    assert stand_in.market.live() == []


def rent_and_return(vastai: VastAi, clock: Clock) -> None:
    offers = vastai.json("search", "offers", "gpu_name=RTX_4090 inet_down>200", "-o", "dph_total", "--storage", "60")
    assert [offer["machine_id"] for offer in offers] == [101, 102]
    assert "RTX_4090" in vastai.run("search", "offers", "gpu_ram>=24")

    create = (
        "create",
        "instance",
        str(offers[0]["id"]),
        "--image",
        "ollama/ollama",
        "--disk",
        "60",
        "--ssh",
        "--direct",
    )
    rented = vastai.json(*create, "--label", "thinker:a", "--env", "-e A=b", "--onstart-cmd", "true")
    instance = str(rented["new_contract"])
    assert rented["success"]
    assert rented["instance_api_key"]

    clock.now_s += 3600
    (row,) = vastai.json("show", "instances")
    assert (row["label"], row["actual_status"], row["extra_env"]) == ("thinker:a", "running", {"A": "b"})
    assert "running" in vastai.run("show", "instances")
    assert vastai.json("show", "instance", instance)["ports"]["22/tcp"][0]["HostPort"].isdecimal()
    assert vastai.run("ssh-url", instance).startswith("ssh://root@")

    vastai.run("label", "instance", instance, "thinker:b")
    vastai.run("stop", "instance", instance)
    assert [row["actual_status"] for row in vastai.json("show", "instances", "--label", "thinker:b")] == ["stopped"]
    vastai.run("start", "instance", instance)
    key = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    vastai.run("attach", "ssh", instance, key)
    assert "export A=b" in vastai.run("logs", instance)

    assert vastai.json("show", "user")["credit"] == pytest.approx(100 - 0.35 - 60 * 0.15 / 730, abs=1e-6)
    charges = ("show", "invoices-v1", "--charges", "-s", "2027-01-01", "-e", "2027-02-01")
    (charge,) = vastai.json(*charges)["results"]
    assert (charge["source"], charge["amount"]) == (f"instance-{instance}", pytest.approx(0.3623, abs=1e-4))
    assert "$0.362" in vastai.run(*charges)

    vastai.run("destroy", "instance", instance, "-y")
    assert vastai.json("show", "instances") == []
