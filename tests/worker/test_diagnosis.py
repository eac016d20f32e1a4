"""Advice for a worker in the wrong place: snapshots in, sentences out."""

import pytest

from thrust.worker.diagnosis import Finding, explain_closed_port, explain_exposure, find_server
from thrust.worker.procfs import Listener, Snapshot

ELSEWHERE = Snapshot((Listener("127.0.0.1", 8000),))
ON_IPV6 = Snapshot((Listener("::1", 3001),))
BOUND = "'127.0.0.1:$THRUST_WORKER_PORT'"


def explain(snapshot: Snapshot, command: str = "app", elapsed_s: float = 3.0) -> Finding:
    return explain_closed_port(snapshot, port=3001, command=command.split(), elapsed_s=elapsed_s)


def test_the_sentence_names_both_ports_and_the_fix() -> None:
    assert explain(ELSEWHERE, "uvicorn main:app").sentence == (
        "the worker listens on 127.0.0.1:8000, but thrust expects it on 127.0.0.1:3001: start uvicorn with"
        " --port '$THRUST_WORKER_PORT', for example: thrust uvicorn main:app --port '$THRUST_WORKER_PORT'"
    )


@pytest.mark.parametrize(
    ("command", "example"),
    [
        ("uvicorn main:app --port 8000", "uvicorn main:app --port '$THRUST_WORKER_PORT'"),
        ("uvicorn --port=8000 main:app", "uvicorn main:app --port '$THRUST_WORKER_PORT'"),
        ("/venv/bin/uvicorn main:app", "/venv/bin/uvicorn main:app --port '$THRUST_WORKER_PORT'"),
        ("python -m uvicorn main:app", "python -m uvicorn main:app --port '$THRUST_WORKER_PORT'"),
        ("uv run fastapi run main.py --port 8000", "uv run fastapi run main.py --port '$THRUST_WORKER_PORT'"),
        ("granian --port 8000 main:app", "granian main:app --port '$THRUST_WORKER_PORT'"),
        ("gunicorn -b :8000 -w 2 app:app", f"gunicorn -w 2 app:app --bind {BOUND}"),
        ("gunicorn app:app --bind=0.0.0.0:8000", f"gunicorn app:app --bind {BOUND}"),
        ("hypercorn app:app", f"hypercorn app:app --bind {BOUND}"),
        ("hypercorn -b127.0.0.1:8000 app:app", f"hypercorn app:app --bind {BOUND}"),
        ("flask --app x run -p 5000", "flask --app x run --port '$THRUST_WORKER_PORT'"),
        ("python manage.py runserver", f"python manage.py runserver {BOUND}"),
        ("python manage.py runserver 0.0.0.0:8000 --noreload", f"python manage.py runserver --noreload {BOUND}"),
        ("django-admin runserver 8000", f"django-admin runserver {BOUND}"),
        ("daphne -p 8000 app:app", "daphne app:app --port '$THRUST_WORKER_PORT'"),
        ("daphne -u /tmp/app.sock app:app", "daphne app:app --port '$THRUST_WORKER_PORT'"),
        ("waitress-serve --port=8080 app:app", "waitress-serve app:app '--listen=127.0.0.1:$THRUST_WORKER_PORT'"),
        ("python -m http.server 8000", "python -m http.server '$THRUST_WORKER_PORT'"),
    ],
)
def test_each_servers_option_is_spelled_as_it_wants_it(command: str, example: str) -> None:
    assert explain(ELSEWHERE, command).sentence.endswith(f"for example: thrust {example}")


@pytest.mark.parametrize(
    ("command", "example"),
    [
        ("uvicorn main:app --host ::1", "uvicorn main:app --host 127.0.0.1"),
        ("flask run -h ::1", "flask run --host 127.0.0.1"),
        ("daphne -b ::1 app:app", "daphne app:app --bind 127.0.0.1"),
        ("gunicorn --bind [::1]:3001 app:app", f"gunicorn app:app --bind {BOUND}"),
        ("python manage.py runserver [::1]:3001", f"python manage.py runserver {BOUND}"),
        ("python -m http.server 3001 --bind ::1", "python -m http.server 3001 --bind 127.0.0.1"),
    ],
)
def test_the_right_port_on_a_wrong_address_is_a_matter_of_the_address(command: str, example: str) -> None:
    sentence = explain(ON_IPV6, command).sentence
    assert sentence.startswith("the worker listens on [::1]:3001, but thrust expects it on 127.0.0.1:3001: start ")
    assert sentence.endswith(f"for example: thrust {example}")


def test_a_server_in_a_shells_script_is_recognised_but_not_rewritten() -> None:
    finding = explain_closed_port(
        ELSEWHERE, port=3001, command=["sh", "-c", "migrate && exec uvicorn main:app"], elapsed_s=3.0
    )
    assert finding.sentence.endswith(": start uvicorn with --port '$THRUST_WORKER_PORT'")


def test_a_server_that_a_script_started_is_known_by_its_process() -> None:
    snapshot = Snapshot((Listener("127.0.0.1", 8000),), owners=(("python", "/venv/bin/gunicorn", "app:app"),))
    assert explain(snapshot, "./start.sh").sentence.endswith(f": start gunicorn with --bind {BOUND}")


def test_a_long_command_is_not_repeated() -> None:
    sentence = explain(ELSEWHERE, "uvicorn main:app " + "--header a:b " * 20).sentence
    assert sentence.endswith(": start uvicorn with --port '$THRUST_WORKER_PORT'")


def test_an_unknown_program_is_told_of_the_variable() -> None:
    assert explain(ELSEWHERE, "python app.py").sentence == (
        "the worker listens on 127.0.0.1:8000, but thrust expects it on 127.0.0.1:3001: let it listen on the port that"
        " the environment variable PORT names, or set THRUST_WORKER_PORT=8000 for thrust"
    )


def test_an_unknown_program_on_another_address_is_told_the_address() -> None:
    assert explain(ON_IPV6, "python app.py").sentence.endswith(": let it listen on 127.0.0.1")


def test_no_port_is_proposed_if_thrust_could_not_reach_it_or_there_are_several() -> None:
    for listeners in [(Listener("::1", 8000),), (Listener("127.0.0.1", 8000), Listener("127.0.0.1", 5678))]:
        sentence = explain(Snapshot(listeners), "python app.py").sentence
        assert sentence.endswith("the port that the environment variable PORT names")


def test_every_listener_is_named() -> None:
    snapshot = Snapshot((Listener("127.0.0.1", 5678), Listener("127.0.0.1", 8000)))
    assert explain(snapshot).sentence.startswith("the worker listens on 127.0.0.1:5678 and 127.0.0.1:8000, but")


def test_a_unix_socket_is_named_by_its_path() -> None:
    snapshot = Snapshot((Listener("/tmp/app.sock"),))
    assert explain(snapshot, "gunicorn -b unix:/tmp/app.sock app:app").sentence == (
        "the worker listens on the Unix socket /tmp/app.sock, but thrust expects it on 127.0.0.1:3001: start gunicorn"
        f" with --bind {BOUND}, for example: thrust gunicorn app:app --bind {BOUND}"
    )


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_an_open_port_that_does_not_accept_is_another_matter(address: str) -> None:
    finding = explain(Snapshot((Listener(address, 3001),)))
    assert finding.sentence == f"the worker listens on {address}:3001, but accepts no connection there"


@pytest.mark.parametrize(
    ("snapshot", "level", "end"),
    [
        (Snapshot(cpu_s=2.8), "info", "it has used 2.8 s of CPU time, so it is still busy starting"),
        (
            Snapshot(cpu_s=0.1),
            "info",
            "it has used 0.1 s of CPU time, so it seems to wait for something else, or not to be a server",
        ),
        (Snapshot(is_stopped=True), "warning", "it has been stopped by a signal"),
    ],
)
def test_a_worker_that_listens_nowhere_is_described_by_what_it_does(snapshot: Snapshot, level: str, end: str) -> None:
    finding = explain(snapshot)
    start = "after 3 s the worker listens nowhere yet, and thrust expects it on 127.0.0.1:3001: "
    assert finding.sentence == start + end
    assert finding.level == level


def test_findings_differ_by_what_was_found_and_not_by_the_time() -> None:
    assert explain(Snapshot(cpu_s=2.8)).key == explain(Snapshot(cpu_s=50.0), elapsed_s=60.0).key
    assert explain(Snapshot(cpu_s=2.8)).key != explain(Snapshot()).key
    assert explain(ELSEWHERE).key != explain(ON_IPV6).key


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("gunicorn app:app", "gunicorn"),
        ("python -m gunicorn app:app", "gunicorn"),
        ("/usr/bin/python3 /venv/bin/hypercorn app:app", "hypercorn"),
        ("./manage.py runserver", "runserver"),
        ("python app.py", None),
        ("cat uvicorn.log", None),
    ],
)
def test_a_server_is_known_by_a_word_of_its_command(command: str, name: str | None) -> None:
    assert find_server(command.split()) == name


@pytest.mark.parametrize(("address", "text"), [("0.0.0.0", "0.0.0.0:3001"), ("::", "[::]:3001")])
def test_a_worker_on_every_address_can_be_reached_around_thrust(address: str, text: str) -> None:
    finding = explain_exposure(
        [Listener("127.0.0.1", 8000), Listener(address, 3001)], port=3001, command=["gunicorn", "app:app"]
    )
    assert finding is not None
    assert finding.sentence == (
        f"the worker listens on {text}, where it can be reached around thrust: start gunicorn with --bind {BOUND},"
        f" for example: thrust gunicorn app:app --bind {BOUND}"
    )


def test_a_worker_on_loopback_is_as_it_should_be() -> None:
    listeners = [Listener("127.0.0.1", 3001), Listener("0.0.0.0", 3000)]
    assert explain_exposure(listeners, port=3001, command=["app"]) is None
