"""Orders at one certificate authority, and when it wants its certificates renewed (RFC 8555 §7.4, RFC 9773).

One challenge after the other until one works, patience that can be called off, and errors as sentences. Everything here
blocks: `manager` calls it from its thread, under the storage's lock, and imports it only when there is something to
ask, because the libraries behind take 0.3 s.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import requests
from acme import challenges, errors, messages
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from josepy.b64 import b64encode
from josepy.json_util import field
from josepy.jwk import JWK

from thrust.errors import OrderError, ThrustError
from thrust.tls import tls_alpn
from thrust.tls.acme_session import REQUEST_TIMEOUT_S, Session
from thrust.tls.answers import HTTP_01, TLS_ALPN_01, Answers
from thrust.tls.refusals import Circumstances, Problem, sentence, shortened
from thrust.tls.renewal import ASK_AGAIN_S, MAX_RETRY_AFTER_S, Window
from thrust.tls.settings import AcmeSettings
from thrust.tls.storage import Storage
from thrust.tls.validity import BEGIN_CERTIFICATE

ORDER_TIMEOUT_S = 180.0
"""For one order by one challenge. Let's Encrypt takes 5 to 15 s, some other CAs a minute."""

FIRST_LOOK_S, LONGEST_LOOK_S = 0.05, 5.0
"""Pauses between two questions whether the CA is done; they double, unless it says itself when to come again."""

LEAST_ASK_AGAIN_S = 60.0

_UNDER_WAY = frozenset({"pending", "processing"})

_NOT_REPLACED = frozenset({"alreadyReplaced", "malformed", "unauthorized"})
"""Problems of an order that may lie in the certificate that it names as replaced."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A new certificate: its private key and chain as one PEM, and the challenge that has led to it ("" if none)."""

    pem: str
    challenge: str


@challenges.Challenge.register
class _TlsAlpn01(challenges.KeyAuthorizationChallenge):
    """The challenge of RFC 8737, which the library has given up."""

    typ = TLS_ALPN_01
    response_cls = challenges.KeyAuthorizationChallengeResponse

    def validation(self, account_key: JWK, **kwargs: Any) -> str:
        return self.key_authorization(account_key)


class _NewOrder(messages.NewOrder):
    """An order that may name the certificate that it replaces (RFC 9773 §5)."""

    replaces: str | None = field("replaces", omitempty=True)


class _ChallengeFailed(Exception):
    """The CA has tried a challenge in vain; another one may do better."""

    def __init__(self, challenge_type: str, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.challenge_type = challenge_type
        self.problem = problem


class Authority:
    """The CA behind a directory URL. For one thread; `stopped` calls off whatever it waits for."""

    def __init__(
        self,
        settings: AcmeSettings,
        storage: Storage,
        answers: Answers,
        stopped: threading.Event,
    ) -> None:
        self._settings = settings
        self._storage = storage
        self._answers = answers
        self._stopped = stopped
        self._profile = settings.profile
        self._open_session: Session | None = None

    def order(self, domain: str, challenge_types: Sequence[str], replaced_pem: str = "") -> Issued:
        """A new certificate for `domain`, by the first of `challenge_types` that works.

        `replaced_pem` holds the certificate that it takes the place of. Raises OrderError with a sentence about all
        that did not work, and StorageError if the account cannot be kept.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        csr = x509.CertificateSigningRequestBuilder(x509.Name([])).add_extension(
            x509.SubjectAlternativeName([x509.DNSName(domain)]), critical=False
        )
        order = _Order(domain, csr.sign(key, hashes.SHA256()), replaced_pem, list(challenge_types))
        failures: list[_ChallengeFailed] = []
        while True:
            try:
                with self._translated(domain):
                    chain_pem, challenge_type = self._carry_out(order)
            except _ChallengeFailed as failure:
                failures.append(failure)
                order.challenge_types.remove(failure.challenge_type)
                if order.challenge_types:
                    continue
                self._refuse(domain, failures)
            key_pem = key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            with self._translated(domain):
                _check_chain(chain_pem, domain)
            return Issued(key_pem.decode() + chain_pem, challenge_type)

    def renewal_window(self, pem: str) -> tuple[Window | None, float]:
        """When the CA wants the certificate in `pem` renewed, and for how many seconds not to ask again.

        None if it does not say. Raises OrderError if it cannot be asked.
        """
        with self._translated(""):
            session = self._session()
            if not (base := _renewal_info_url(session.directory)):
                return None, ASK_AGAIN_S
            answer = session.get(f"{base}/{certificate_id(pem)}")
            suggested = messages.RenewalInfo.from_json(answer.json()).suggested_window
            pause_s = session.retry_after_s or ASK_AGAIN_S
            window = Window(suggested.start.timestamp(), suggested.end.timestamp())
            return window, min(max(pause_s, LEAST_ASK_AGAIN_S), MAX_RETRY_AFTER_S)

    def close(self) -> None:
        """Ends the conversation; the next question begins a new one."""
        if self._open_session is not None:
            self._open_session.close()
            self._open_session = None

    def _session(self) -> Session:
        """The one that is open, or a new one. Raises what the library raises."""
        try:
            return self._opened()
        except messages.Error as error:
            self._drop_account_after(error)
            return self._opened()

    def _opened(self) -> Session:
        if self._open_session is None:
            self._open_session = Session(self._settings, self._storage)
        self._open_session.open()
        return self._open_session

    def _drop_account_after(self, error: messages.Error) -> None:
        """Has the next session register, if the CA does not know our account any more; else raises `error`."""
        if _problem(error).code != "accountDoesNotExist" or self._open_session is None:
            raise error
        self._open_session.forget_account()
        self.close()

    # An order

    def _carry_out(self, order: "_Order") -> tuple[str, str]:
        """The chain that the CA issued, and the challenge; raises what the library raises, and _ChallengeFailed."""
        session = self._session()
        try:
            url, body = self._place(session, order)
        except messages.Error as error:
            self._drop_account_after(error)
            session = self._session()
            url, body = self._place(session, order)
        order.give_up_s = time.monotonic() + ORDER_TIMEOUT_S
        used = ""
        for authorization_url in body.authorizations:
            self._left_s(session, order)
            used = self._authorize(session, order, authorization_url) or used
        body = self._settled(session, url, messages.Order, order)
        if body.status == messages.STATUS_READY:
            session.post(body.finalize, messages.CertificateRequest(csr=order.csr))
            body = self._settled(session, url, messages.Order, order)
        if body.status != messages.STATUS_VALID:
            raise body.error or ValueError("the order is invalid")
        return session.post(body.certificate).text, used

    def _place(self, session: Session, order: "_Order") -> tuple[str, Any]:
        """The URL of a new order, and what the CA says of it."""
        offered = session.directory["meta"].profiles or {}
        if self._profile and self._profile not in offered:
            names = ", ".join(map(shortened, offered)) or "none at all"
            problem = f"the CA does not know THRUST_ACME_PROFILE {self._profile}; it offers {names}"
            raise OrderError(problem, is_refusal=True)
        wanted: dict[str, Any] = {
            "identifiers": [messages.Identifier(typ=messages.IDENTIFIER_FQDN, value=order.domain)]
        }
        if self._profile:
            wanted["profile"] = self._profile
        if order.replaced_pem and _renewal_info_url(session.directory):
            try:
                replacing = _NewOrder(replaces=certificate_id(order.replaced_pem), **wanted)
                return _order_in(session.post(session.directory["newOrder"], replacing))
            except (messages.Error, errors.ConflictError, ValueError, x509.ExtensionNotFound) as error:
                # A wish only: it was replaced before, by another account, or comes from another CA.
                if isinstance(error, messages.Error) and _problem(error).code not in _NOT_REPLACED:
                    raise
        return _order_in(session.post(session.directory["newOrder"], _NewOrder(**wanted)))

    def _authorize(self, session: Session, order: "_Order", url: str) -> str:
        """Proves that the domain is ours; returns the challenge that did, or "" if the CA knew already."""
        authorization = messages.Authorization.from_json(session.post(url).json())
        if authorization.status == messages.STATUS_VALID:
            return ""
        offered = {challenge.typ: challenge for challenge in authorization.challenges}
        challenge_type = next((name for name in order.challenge_types if name in offered), "")
        if not challenge_type:
            reason = f"the CA offers neither of {', '.join(order.challenge_types)} for {order.domain}"
            raise OrderError(reason, is_refusal=True)
        challenge = offered[challenge_type]
        with self._answered(order.domain, challenge.chall, session):
            session.post(challenge.uri, challenge.response(session.key))
            authorization = self._settled(session, url, messages.Authorization, order)
        if authorization.status != messages.STATUS_VALID:
            raise _ChallengeFailed(challenge_type, _failure_in(authorization))
        return challenge_type

    @contextmanager
    def _answered(self, domain: str, challenge: Any, session: Session) -> Iterator[None]:
        """Has the CA find its answer, while this lasts."""
        token = challenge.encode("token")
        key_authorization = challenge.key_authorization(session.key)
        if challenge.typ == HTTP_01:
            self._answers.offer_http(token, key_authorization)
        else:
            self._answers.offer_tls(domain, tls_alpn.answer_pem(domain, key_authorization.encode()))
        try:
            yield
        finally:
            self._answers.withdraw(token, domain)

    def _settled(self, session: Session, url: str, kind: Any, order: "_Order") -> Any:
        """The order or authorization at `url`, as soon as the CA works on it no more."""
        look_s = FIRST_LOOK_S
        while True:
            body = kind.from_json(session.post(url).json())
            if body.status.name not in _UNDER_WAY:
                return body
            left_s = self._left_s(session, order)
            if self._stopped.wait(min(session.retry_after_s or look_s, left_s)):  # the last look is at the very end
                raise OrderError("called off", is_refusal=False)
            look_s = min(look_s * 2, LONGEST_LOOK_S)

    def _left_s(self, session: Session, order: "_Order") -> float:
        """How long the CA may work on. Raises OrderError if it has had its time."""
        left_s = order.give_up_s - time.monotonic()
        if left_s > 0:
            return left_s
        reason = f"the CA has not finished the order for {order.domain} within {ORDER_TIMEOUT_S:g} s"
        said = f"{reason}; thrust will try again"
        raise OrderError(said, is_refusal=False, retry_after_s=session.retry_after_s)

    # What went wrong, in words

    def _refuse(self, domain: str, failures: Sequence[_ChallengeFailed]) -> NoReturn:
        sentences = [
            sentence(failure.problem, self._circumstances(domain, failure.challenge_type)) for failure in failures
        ]
        raise OrderError("; ".join(dict.fromkeys(sentences)), is_refusal=True)

    def _circumstances(self, domain: str, challenge_type: str = "") -> Circumstances:
        meta = self._open_session.directory["meta"] if self._open_session else None
        authorities = (meta and meta.caa_identities) or ()
        return Circumstances(domain, challenge_type, authorities=authorities, profile=self._profile or "")

    @contextmanager
    def _translated(self, domain: str) -> Iterator[None]:
        """Turns whatever comes of talking to a CA into an OrderError."""
        try:
            yield
        except (ThrustError, _ChallengeFailed):
            raise
        except messages.Error as error:
            problem, retry_after_s = _problem(error), self._retry_after_s()
            said = sentence(problem, self._circumstances(domain))
            raise OrderError(said, is_refusal=problem.is_refusal, retry_after_s=retry_after_s) from error
        except requests.RequestException as error:
            self.close()
            raise OrderError(_unreached(self._settings.directory_url, error), is_refusal=False) from error
        except Exception as error:  # the library checks little of what a CA sends
            retry_after_s = self._retry_after_s()
            self.close()
            said, is_refusal = _not_understood(self._settings.directory_url, error), _is_refused(error)
            raise OrderError(said, is_refusal=is_refusal, retry_after_s=retry_after_s) from error

    def _retry_after_s(self) -> float:
        return self._open_session.retry_after_s if self._open_session else 0.0


@dataclass(slots=True)
class _Order:
    """What is ordered. `challenge_types` become fewer when they fail."""

    domain: str
    csr: x509.CertificateSigningRequest
    replaced_pem: str
    challenge_types: list[str]
    give_up_s: float = 0.0


def certificate_id(pem: str) -> str:
    """The name of the first certificate in `pem` at its CA (RFC 9773 §4.1). Raises ValueError, ExtensionNotFound."""
    begin = pem.index(BEGIN_CERTIFICATE)
    certificate = x509.load_pem_x509_certificate(pem[begin:].encode())
    key_identifier = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    if key_identifier is None:
        raise ValueError("the certificate does not name the key of its CA")
    serial = certificate.serial_number
    serial_der = serial.to_bytes(serial.bit_length() // 8 + 1, "big")  # with room for the sign, as in DER
    return f"{b64encode(key_identifier).decode()}.{b64encode(serial_der).decode()}"


def _check_chain(chain_pem: str, domain: str) -> None:
    """Raises ValueError, ExtensionNotFound unless the chain begins with a certificate for `domain`."""
    leaf = x509.load_pem_x509_certificates(chain_pem.encode())[0]
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    if domain not in names.get_values_for_type(x509.DNSName):
        raise ValueError(f"it has sent a certificate that is not for {domain}")


def _order_in(response: requests.Response) -> tuple[str, Any]:
    return response.headers["Location"], messages.Order.from_json(response.json())


def _renewal_info_url(directory: messages.Directory) -> str:
    return str(getattr(directory, "renewalInfo", "")).rstrip("/")


def _problem(error: messages.Error) -> Problem:
    details = [error.detail or error.title or "", *(each.detail or "" for each in error.subproblems or ())]
    return Problem(str(error.typ).rpartition(":")[2], ", ".join(filter(None, details)))


def _failure_in(authorization: Any) -> Problem:
    problems = [_problem(challenge.error) for challenge in authorization.challenges if challenge.error is not None]
    return problems[0] if problems else Problem("unauthorized", "")


def _root_cause(error: BaseException) -> str:
    """What it all began with: `requests` wraps `urllib3`, which wraps the system's word, all in long sentences."""
    while inner := error.__cause__ or error.__context__ or getattr(error, "reason", None):
        if not isinstance(inner, BaseException):
            break
        error = inner
    return shortened((isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__)


def _unreached(url: str, error: requests.RequestException) -> str:
    """Why there was no answer from `url`."""
    match error:
        case requests.exceptions.SSLError():
            reason, cure = "is not trusted", "check the clock of this machine; SSL_CERT_FILE adds a root"
        case requests.Timeout():
            reason, cure = f"does not answer within {REQUEST_TIMEOUT_S} s", "thrust will try again"
        case requests.ConnectionError():
            reason, cure = "cannot be reached", "check that this machine may connect to it"
        case _:
            reason, cure = "answers badly", "thrust will try again"
    return f"the CA at {url} {reason} ({_root_cause(error)}); {cure}"


def _not_understood(url: str, error: Exception) -> str:
    """What was wrong with an answer from `url`."""
    if status := _status_in(error):
        return f"the CA at {url} answers with status {status}; thrust will try again"
    said = shortened(f"{type(error).__name__}: {error}")
    return f"the CA at {url} answers what is no ACME ({said}); check ACME_DIRECTORY"


def _is_refused(error: Exception) -> bool:
    """Whether the CA means us with an answer that is no problem document."""
    return 400 <= _status_in(error) < 500 and _status_in(error) not in (408, 429)


def _status_in(error: Exception) -> int:
    """The status of the answer that `error` is about, 0 if it is about something else."""
    first = error.args[0] if isinstance(error, errors.ClientError) and error.args else None
    if isinstance(first, tuple):  # the library adds why a problem document could not be read
        first = first[0]
    return first.status_code if isinstance(first, requests.Response) else 0
