"""Events reach a real HTTP receiver whole and in order, whatever becomes of the connections, and nothing else does."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from medeval_assets.errors import BadInput
from medeval_assets.exports import openlineage_delivery
from medeval_assets.exports.openlineage_delivery import send_events
from medeval_assets.exports.openlineage_events import events_of
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lineage_record import Derivation
from medeval_assets_tests.core.audit.small_lakes import every_kind, row_of
from medeval_assets_tests.lineage_receiver import DROPS, Answer, Receiver, every_third, receiving

KEY = "k3y-0f-the-receiver"


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENLINEAGE_API_KEY", raising=False)


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Any]:
    """All that a lake with every asset, twenty more datasets and one that was purged has to say."""
    lake = every_kind(tmp_path_factory.mktemp("lake")).lake
    for number in range(20):
        key = LakeKey("datasets", task=f"t{number}")
        lake.write(key, [row_of("datasets")], Derivation(code_version="1"), run_id="r")
    lake.remove(lake.versions(key)[0], "purge")
    return list(events_of(lake, earlier=True))


@pytest.fixture(scope="module")
def lines(events: Sequence[Any]) -> list[dict[str, Any]]:
    """The same as they are written to a file."""
    from openlineage.client.serde import Serde

    return [json.loads(Serde.to_json(event)) for event in events]


@pytest.mark.parametrize("keep_alive", [False, True])
def test_all_arrive_whole_and_in_order_where_every_third_connection_breaks(
    events: Sequence[Any], lines: list[dict[str, Any]], keep_alive: bool
) -> None:
    assert len(events) >= 60
    with receiving(Receiver(every_third), keep_alive=keep_alive) as receiver:
        assert send_events(events, receiver.url) == len(events)
    assert receiver.events == lines
    # Each broke at another moment, and what was told nothing was sent again.
    assert len(receiver.taken) > len(events)
    assert {every_third(number).drop for number in range(3, 3 * len(DROPS) + 1, 3)} == set(DROPS)
    assert receiver.connections > (len(events) if not keep_alive else len(events) / 3)


@pytest.mark.parametrize("drop", DROPS)
def test_a_connection_that_breaks_three_times_at_the_same_moment_is_tried_again(
    events: Sequence[Any], lines: list[dict[str, Any]], drop: str
) -> None:
    with receiving(Receiver(lambda number: Answer(drop=drop if 2 <= number <= 4 else ""))) as receiver:
        assert send_events(events[:3], receiver.url) == 3
    assert receiver.events == lines[:3]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_an_answer_that_says_to_come_back_is_tried_again(
    events: Sequence[Any], lines: list[dict[str, Any]], status: int
) -> None:
    def busy(number: int) -> Answer:
        return Answer(status, {"Retry-After": "1"} if number == 2 else {}) if 2 <= number <= 3 else Answer()

    with receiving(Receiver(busy)) as receiver:
        start = time.monotonic()
        assert send_events(events[:3], receiver.url) == 3
    assert receiver.events == lines[:3]
    assert len(receiver.requests) == 5
    assert time.monotonic() - start >= 1


def test_a_receiver_that_does_not_answer_is_asked_again(
    events: Sequence[Any], lines: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openlineage_delivery, "_TIMEOUT", 0.2)

    def late(number: int) -> Answer:
        time.sleep(1 if number == 2 else 0)
        return Answer()

    with receiving(Receiver(late)) as receiver:
        assert send_events(events[:3], receiver.url) == 3
        time.sleep(1)  # until the late one has arrived, too
    assert receiver.events == lines[:3]
    assert len(receiver.taken) >= 3


def test_a_receiver_may_not_ask_for_hours(events: Sequence[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr("urllib3.util.retry.time.sleep", waited.append)
    slow = Answer(503, {"Retry-After": "86400"})
    with receiving(Receiver(lambda number: slow if number == 1 else Answer())) as receiver:
        assert send_events(events[:1], receiver.url) == 1
    assert waited == [60]


@pytest.mark.parametrize("body", [b"x" * 10, b"x" * 5_000_000])
def test_what_an_answer_says_is_all_the_same(events: Sequence[Any], body: bytes) -> None:
    with receiving(Receiver(lambda _: Answer(200, body=body)), keep_alive=True) as receiver:
        assert send_events(events[:4], receiver.url) == 4
    # A small answer is read, so that its connection serves again; a large one is not worth it.
    assert receiver.connections == (1 if len(body) < 1000 else 4)


def test_an_answer_without_end_is_not_waited_for(events: Sequence[Any]) -> None:
    endless = Answer(200, {"Content-Length": str(10**12)}, b"x" * 1000)
    with receiving(Receiver(lambda _: endless), keep_alive=True) as receiver:
        start = time.monotonic()
        assert send_events(events[:3], receiver.url) == 3
    assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    ("after", "told"),
    [
        (Answer(400), "status 400"),
        (Answer(401), "status 401"),
        (Answer(404), "status 404"),
        (Answer(503), "status 503"),
        (Answer(drop=DROPS[0]), "ConnectionError"),
        (Answer(503, {"Retry-After": "soon \x1b[2J"}), "InvalidHeader"),
        *(
            (Answer(status, {"Location": "/api/v1/lineage"}), f"a redirect, status {status}")
            for status in (301, 302, 303)
        ),
        *(
            (Answer(status, {"Location": "https://example.org/"}), f"a redirect, status {status}")
            for status in (307, 308)
        ),
    ],
)
def test_a_receiver_that_takes_no_more_is_told_with_what_it_took(
    events: Sequence[Any], lines: list[dict[str, Any]], after: Answer, told: str
) -> None:
    with receiving(Receiver(lambda number: Answer() if number <= 5 else after)) as receiver:
        with pytest.raises(BadInput, match=r"the receiver took 5 events and then no more") as error:
            send_events(events, receiver.url, tries=2)
        assert told in str(error.value)
        assert receiver.url in str(error.value)
    assert receiver.events == lines[:5]
    # Nothing became a question, and nobody else was asked.
    assert {(method, path) for method, path, _ in receiver.requests} == {("POST", "/api/v1/lineage")}


def test_a_receiver_that_is_not_there_is_told_of(events: Sequence[Any]) -> None:
    with receiving(Receiver()) as receiver:
        pass
    with pytest.raises(BadInput, match=r"took 0 events and then no more \(ConnectionError\)"):
        send_events(events, receiver.url, tries=2)


def test_a_lake_that_cannot_be_read_further_ends_it(events: Sequence[Any], tmp_path: Path) -> None:
    small = every_kind(tmp_path / "lake")
    small.current(LakeKey("scores", "biomed", "mednli")).write_bytes(b"")
    with receiving(Receiver()) as receiver, pytest.raises(BadInput, match="scores × biomed × mednli"):
        send_events(events_of(small.lake), receiver.url)
    assert len(receiver.events) == 6


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("", "/api/v1/lineage"),
        ("/", "/api/v1/lineage"),
        ("/api/v1/lineage", "/api/v1/lineage"),
        ("/gateway/events/", "/gateway/events/"),
        ("/in?tenant=a", "/in?tenant=a"),
    ],
)
def test_an_address_without_a_path_gets_the_one_of_openlineage(events: Sequence[Any], path: str, asked: str) -> None:
    with receiving(Receiver()) as receiver:
        send_events(events[:1], receiver.url + path)
    assert [path for _, path, _ in receiver.requests] == [asked]


def test_the_key_is_sent_and_never_shown(
    events: Sequence[Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OPENLINEAGE_API_KEY", KEY)
    caplog.set_level("DEBUG")
    with receiving(Receiver(lambda number: Answer(201 if number == 1 else 401))) as receiver:
        with pytest.raises(BadInput) as error:
            send_events(events, receiver.url)
        assert KEY not in str(error.value)
    assert {headers["Authorization"] for _, _, headers in receiver.requests} == {f"Bearer {KEY}"}
    assert KEY not in caplog.text


@pytest.mark.parametrize("key", ["two\nlines", "clé", "a\x00b", "a\r\nX-Other: 1"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_shown(
    events: Sequence[Any], monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setattr("os.environ", {"OPENLINEAGE_API_KEY": key})
    with receiving(Receiver()) as receiver, pytest.raises(BadInput, match=r"^OPENLINEAGE_API_KEY: ") as error:
        send_events(events, receiver.url)
    assert key not in str(error.value)
    assert receiver.requests == []


def test_a_password_of_the_home_folder_does_not_take_the_keys_place(
    events: Sequence[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password mine\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for key, sent in ((KEY, f"Bearer {KEY}"), ("", None)):
        monkeypatch.setenv("OPENLINEAGE_API_KEY", key)
        with receiving(Receiver()) as receiver:
            send_events(events[:1], receiver.url)
        assert [headers.get("Authorization") for _, _, headers in receiver.requests] == [sent]


def test_a_proxy_of_the_environment_is_used(events: Sequence[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving(Receiver()) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "")
        send_events(events[:1], "http://receiver.invalid:5000")
    assert [path for _, path, _ in proxy.requests] == ["http://receiver.invalid:5000/api/v1/lineage"]


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://",
            "http:///path",
            "https://[::1",
            "http://host:99999",
            "http://host:port",
            "ftp://host",
            "host:5000",
            "",
        ),
        *("http://a\x1b[2J", "http://a\nb", "http://a b", "http://a\u202eb"),
    ],
)
def test_what_is_no_address_is_refused_and_not_shown_as_it_is(events: Sequence[Any], url: str) -> None:
    with pytest.raises(BadInput, match="this is no address of a receiver") as error:
        send_events(events, url)
    assert str(error.value).isprintable()


@pytest.mark.parametrize("host", ["a..b", "a" * 70, "xn--a"])
def test_a_host_that_cannot_be_is_told_of(events: Sequence[Any], host: str) -> None:
    with pytest.raises(BadInput, match="took 0 events and then no more"):
        send_events(events, f"http://{host}", tries=1)


@pytest.mark.parametrize("userinfo", ["me:secret", "secret", ":secret", "me:se@secret"])
def test_an_address_with_a_password_is_refused_and_the_password_not_shown(events: Sequence[Any], userinfo: str) -> None:
    with receiving(Receiver()) as receiver, pytest.raises(BadInput, match="a name or a password") as error:
        send_events(events, receiver.url.replace("//", f"//{userinfo}@"))
    assert "secret" not in str(error.value)
    assert receiver.requests == []


def test_a_query_may_hold_a_key_and_is_not_shown(events: Sequence[Any], caplog: pytest.LogCaptureFixture) -> None:
    def answer(number: int) -> Answer:
        return Answer(403) if number == 3 else Answer(drop=DROPS[0] if number == 1 else "")

    with receiving(Receiver(answer)) as receiver, pytest.raises(BadInput, match="status 403") as error:
        send_events(events, f"{receiver.url}/in?key=secret")
    assert "secret" not in str(error.value)
    # The client's libraries warn of each new try with all of the address, and warnings are printed.
    assert [record.getMessage() for record in caplog.records if record.levelname != "DEBUG"] == []


def test_nothing_but_the_events_is_sent(events: Sequence[Any], lines: list[dict[str, Any]]) -> None:
    with receiving(Receiver()) as receiver:
        send_events(events, receiver.url)
    assert len(receiver.requests) == len(lines)
    assert [json.loads(body) for body in receiver.taken] == lines


@pytest.mark.parametrize(
    "configured",
    [
        lambda patch, folder: patch.setenv("OPENLINEAGE_DISABLED", "true"),
        lambda patch, folder: patch.setenv("OPENLINEAGE__TRANSPORT", '{"type": "console"}'),
        lambda patch, folder: patch.setenv("OPENLINEAGE__FACETS", '{"environment_variables": ["PATH"]}'),
        lambda patch, folder: patch.setenv("OPENLINEAGE_CONFIG", str(folder / "openlineage.yml")),
        lambda patch, folder: patch.chdir(folder),
        lambda patch, folder: patch.setenv("HOME", str(folder)),
    ],
)
def test_no_configuration_of_the_client_is_read(
    events: Sequence[Any],
    lines: list[dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    configured: Callable[[pytest.MonkeyPatch, Path], None],
) -> None:
    config = "filters:\n  - type: regex\n    regex: .*\nfacets:\n  environment_variables: [PATH]\n"
    (tmp_path / ".openlineage").mkdir()
    for path in (tmp_path, tmp_path / ".openlineage"):
        (path / "openlineage.yml").write_text(config)
    configured(monkeypatch, tmp_path)
    with receiving(Receiver()) as receiver:
        send_events(events[:4], receiver.url)
    assert receiver.events == lines[:4]
