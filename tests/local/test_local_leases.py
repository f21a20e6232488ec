"""Leases, credit and slots: limits that really bite."""

from __future__ import annotations

import asyncio

import pytest
from local_server_support import KEY, OTHER_KEY, Client, close_of, serving, until

from overshoot_flow.local.accounts import Account, Accounts, Meter


def test_a_lease_without_keepalive_expires() -> None:
    async def scenario() -> None:
        async with serving(lease_ttl_s=0.3) as client:
            stream_id = (await client.created())["stream_id"]
            async with client.results(stream_id) as ws:
                assert await close_of(ws) == (1001, "lease_expired")
            report = await client.report(stream_id)
            assert report["state"] == "ended"
            assert report["end_reason"] == "lease_expired"
            assert report["ended_at"] is not None
            assert (await client.call("POST", f"/streams/{stream_id}/keepalive"))[0] == 404

    asyncio.run(scenario())


def test_keepalives_renew_the_lease() -> None:
    async def scenario() -> None:
        async with serving(lease_ttl_s=0.5) as client:
            kept = (await client.created())["stream_id"]
            left = (await client.created())["stream_id"]

            async def left_has_ended() -> bool:
                assert (await client.call("POST", f"/streams/{kept}/keepalive"))[0] == 200
                return (await client.report(left))["state"] == "ended"

            # Both leases began together: when the one that was left alone has run out, the other
            # one only lives because it was renewed.
            await until(left_has_ended)
            report = await client.report(kept)
            assert report["state"] == "active"
            assert report["keepalives"] >= 1

    asyncio.run(scenario())


def test_an_ordered_lease_expiry_is_immediate() -> None:
    async def scenario() -> None:
        async with serving() as client:
            first = (await client.created())["stream_id"]
            second = (await client.created())["stream_id"]
            await client.fault(kind="expire_lease", stream_id=first)
            assert (await client.report(first))["end_reason"] == "lease_expired"
            assert (await client.report(second))["state"] == "active"

    asyncio.run(scenario())


def test_credit_runs_out_and_ends_the_stream() -> None:
    async def scenario() -> None:
        async with serving(keys={KEY: 0.001}, price_cents_per_s=1000.0) as client:
            stream_id = (await client.created())["stream_id"]
            async with client.results(stream_id) as ws:
                status, body = await client.call("POST", f"/streams/{stream_id}/keepalive")
                assert (status, body["error"]) == (402, "insufficient_credits")
                assert await close_of(ws) == (1001, "insufficient_credits")
            assert (await client.call("POST", f"/streams/{stream_id}/keepalive"))[0] == 404
            status, body = await client.create()
            assert (status, body["error"]) == (402, "insufficient_credits")

    asyncio.run(scenario())


def test_ordered_poverty_hits_the_next_keepalive_of_that_key_only() -> None:
    async def scenario() -> None:
        async with serving() as client:
            poor = (await client.created())["stream_id"]
            other = Client(client.server, client.http, OTHER_KEY)
            rich = (await other.created())["stream_id"]
            await client.fault(kind="no_credit", stream_id=poor)
            assert (await client.report(poor))["state"] == "active"
            assert (await client.call("POST", f"/streams/{poor}/keepalive"))[0] == 402
            assert (await other.call("POST", f"/streams/{rich}/keepalive"))[0] == 200

    asyncio.run(scenario())


def test_the_sixth_stream_of_a_key_is_429_until_a_slot_is_free() -> None:
    async def scenario() -> None:
        async with serving() as client:
            first = (await client.created())["stream_id"]
            for _ in range(4):
                await client.created()
            status, body = await client.create()
            assert (status, body["error"]) == (429, "stream_limit_exceeded")
            assert body["details"] == {"max_streams": 5}
            # Slots belong to the key.
            await Client(client.server, client.http, OTHER_KEY).created()
            await client.call("DELETE", f"/streams/{first}")
            await client.created()

    asyncio.run(scenario())


def test_a_meter_charges_each_second_once() -> None:
    account = Account(credits_cents=10.0)
    meter = Meter(account, price_cents_per_s=0.5, started_s=100.0)
    first = meter.charge(104.0)
    assert (first.seconds, first.cost_cents, first.enough) == (4.0, 2.0, True)
    assert meter.charge(104.0).seconds == 0
    # A clock that goes back takes nothing and gives nothing.
    assert meter.charge(103.0).seconds == 0
    assert meter.charge(106.0).cost_cents == pytest.approx(1.0)
    assert account.credits_cents == pytest.approx(7.0)
    assert meter.charge(1000.0).enough is False
    assert account.credits_cents == 0


def test_accounts_find_only_keys() -> None:
    accounts = Accounts({"a": 1.0})
    assert accounts.find("a") is not None
    assert accounts.find("b") is None
    assert accounts.find(None) is None
    assert accounts.find(["a"]) is None
