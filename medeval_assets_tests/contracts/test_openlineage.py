"""Facts about OpenLineage's client and the libraries below it that `exports.openlineage_delivery` rests on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import requests
from openlineage.client.client import OpenLineageClient
from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
from openlineage.client.generated.documentation_job import DocumentationJobFacet
from openlineage.client.transport.http import ApiKeyTokenProvider, HttpConfig, HttpTransport
from urllib3.util import Retry

from medeval_assets_tests.lineage_receiver import HALF_AN_ANSWER, UNANSWERED, Answer, Receiver, receiving

RUN = "01900000-0000-7000-8000-000000000000"


def event() -> RunEvent:
    return RunEvent(
        eventType=RunState.COMPLETE,
        eventTime="2026-11-27T12:00:00+00:00",
        run=Run(RUN),
        job=Job("ours", "a-job"),
        producer="https://example.org/",
    )


def transport(receiver: Receiver, **config: Any) -> HttpTransport:
    return HttpTransport(HttpConfig(url=receiver.url, **config))


def test_a_client_with_a_transport_of_its_own_still_looks_for_a_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with receiving(Receiver()) as receiver:
        OpenLineageClient(transport=transport(receiver)).emit(event())
        # The working folder can tell it to drop events, and it says nothing.
        (tmp_path / "openlineage.yml").write_text("filters:\n  - type: exact\n    match: a-job\n")
        OpenLineageClient(transport=transport(receiver)).emit(event())
        (tmp_path / "openlineage.yml").unlink()
        # So can the environment.
        monkeypatch.setenv("OPENLINEAGE_DISABLED", "true")
        OpenLineageClient(transport=transport(receiver)).emit(event())
        monkeypatch.delenv("OPENLINEAGE_DISABLED")
        assert len(receiver.taken) == 1
        # It can also have it add its variables to what is sent.
        monkeypatch.setenv("OPENLINEAGE__FACETS", '{"environment_variables": ["WARD"]}')
        monkeypatch.setenv("WARD", "seven")
        OpenLineageClient(transport=transport(receiver)).emit(event())
        assert b"seven" in receiver.taken[1]
        transport(receiver).emit(event())
        assert b"seven" not in receiver.taken[2]


def test_urllib3_by_itself_does_not_send_an_event_again() -> None:
    by_itself = Retry(total=5)
    assert by_itself.allowed_methods is not None
    assert "POST" not in by_itself.allowed_methods
    # The client tells it to, but not where a receiver is asked too much.
    by_client = HttpConfig(url="http://receiver").retry
    assert "POST" in by_client["allowed_methods"]
    assert 429 not in by_client["status_forcelist"]


def test_a_receiver_may_have_a_client_wait_for_six_hours() -> None:
    retry = Retry(total=1)
    assert retry.respect_retry_after_header
    assert retry.parse_retry_after("86400") == 6 * 60 * 60


def test_the_client_takes_an_event_for_lost_where_the_rest_of_an_answer_is() -> None:
    def first(drop: str) -> Any:
        return lambda number: Answer(drop=drop if number == 1 else "")

    with receiving(Receiver(first(UNANSWERED))) as receiver:
        transport(receiver).emit(event())
        assert len(receiver.taken) == 2
    with receiving(Receiver(first(HALF_AN_ANSWER))) as receiver:
        # What breaks after the status is not tried again: the body is read when urllib3's tries are over.
        with pytest.raises(requests.RequestException):
            transport(receiver).emit(event())
        session = requests.Session()
        session.stream = True
        transport(receiver, session=session).emit(event())


@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_redirect_turns_an_event_into_a_question_and_is_taken_for_success(status: int) -> None:
    def moved(number: int) -> Answer:
        return Answer(status, {"Location": "/elsewhere"}) if number == 1 else Answer(200)

    with receiving(Receiver(moved)) as receiver:
        assert transport(receiver).emit(event()).status_code == 200
        assert [(method, path) for method, path, _ in receiver.requests][1] == ("GET", "/elsewhere")
        assert receiver.taken == [b""]


def test_no_redirect_is_followed_where_none_is_allowed() -> None:
    with receiving(Receiver(lambda _: Answer(307, {"Location": "/elsewhere"}))) as receiver:
        session = requests.Session()
        session.max_redirects = 0
        with pytest.raises(requests.TooManyRedirects) as error:
            transport(receiver, session=session).emit(event())
        assert error.value.response is not None
        assert error.value.response.status_code == 307
        assert len(receiver.requests) == 1


def test_a_password_in_netrc_takes_the_place_of_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password mine\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    key = ApiKeyTokenProvider({"apiKey": "key"})
    with receiving(Receiver()) as receiver:
        transport(receiver, auth=key).emit(event())
        session = requests.Session()
        session.auth = lambda request: request
        transport(receiver, auth=key, session=session).emit(event())
    by_netrc, by_key = (headers["Authorization"] for _, _, headers in receiver.requests)
    assert by_netrc.startswith("Basic ")
    assert by_key == "Bearer key"


def test_the_path_of_an_address_is_not_kept() -> None:
    with receiving(Receiver()) as receiver:
        for path in ("/gateway", "/api/v1/lineage"):
            HttpTransport(HttpConfig(url=f"{receiver.url}{path}")).emit(event())
    assert [path for _, path, _ in receiver.requests] == ["/api/v1/lineage", "/api/v1/api/v1/lineage"]


def test_a_key_that_no_header_can_carry_stands_in_the_error_or_is_another_kind_of_error() -> None:
    with receiving(Receiver()) as receiver:
        with pytest.raises(requests.RequestException, match=r"se.*cret"):
            transport(receiver, auth=ApiKeyTokenProvider({"apiKey": "se\ncret"})).emit(event())
        with pytest.raises(UnicodeError):
            transport(receiver, auth=ApiKeyTokenProvider({"apiKey": "5 €"})).emit(event())


def test_facets_name_the_client_as_their_producer_unless_told_otherwise() -> None:
    def producer(facet: DocumentationJobFacet) -> str:
        return facet._producer

    assert "OpenLineage" in producer(DocumentationJobFacet("about"))
    assert producer(DocumentationJobFacet("about", producer="https://example.org/")) == "https://example.org/"
