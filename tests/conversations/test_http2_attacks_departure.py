"""Clients that leave in the middle: by half-closing, and by GOAWAY."""

from tests.support.http2_cases import frame, get
from tests.support.http2_stage import Http2Stage, perform_http2, response


def test_a_client_that_half_closes_is_gone_and_the_workers_request_is_stopped() -> None:
    async def story(scene: Http2Stage) -> None:
        scene.client.raw(get(1))
        await scene.worker_got()
        scene.peer.end()
        await scene.settled()
        assert scene.stage.worker().saw_end and scene.peer.saw_end

    (exchange,) = perform_http2(story).exchanges
    assert (exchange.status, exchange.error) == (499, "the client closed the connection")


def test_what_was_answered_before_a_half_close_still_arrives() -> None:
    async def story(scene: Http2Stage) -> None:
        scene.client.raw(get(1))
        await scene.worker_got()
        await scene.worker_says(response(b"ok"))
        scene.peer.end()
        await scene.settled()
        assert bytes(scene.client.answer(1).content) == b"ok" and scene.client.answer(1).has_ended

    perform_http2(story)


def test_a_client_that_says_goaway_and_stays_gets_its_answer() -> None:
    async def story(scene: Http2Stage) -> None:
        scene.client.raw(get(1) + frame(7, 0, 0, bytes(8)))
        await scene.worker_got()
        await scene.worker_says(response(b"ok"))
        assert bytes(scene.client.answer(1).content) == b"ok" and scene.peer.saw_end

    perform_http2(story)
