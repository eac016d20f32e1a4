"""A conversation with one certificate authority: its directory, our account, signed requests (RFC 8555 §6, §7.3).

certbot's `acme` library signs, posts and parses; added here are what it leaves to others: an account that is kept and
found again, more than one answer to a bad nonce, the CA's Retry-After, limits to the time and size of its answers, and
the trust of the system beside that of `certifi`, since a private CA's root is installed there. For `acme`, which
imports it with the library only when there is something to ask: that takes 0.3 s. Blocks; raises what the library
raises, and OrderError at a limit.
"""

import ssl
import time
from email.utils import parsedate_to_datetime
from typing import Any

import requests
from acme import client, errors, messages
from cryptography.hazmat.primitives.asymmetric import ec
from josepy.b64 import b64encode
from josepy.errors import Error as JoseError
from josepy.interfaces import JSONDeSerializable
from josepy.jwa import ES256
from josepy.jwk import JWKEC
from requests.adapters import HTTPAdapter

from thrust import __version__
from thrust.errors import OrderError
from thrust.tls.settings import AcmeSettings
from thrust.tls.storage import Storage

REQUEST_TIMEOUT_S = 30
"""For a connection to the CA, and between two reads from it."""

EXCHANGE_TIMEOUT_S = 60.0
"""For one answer, however steadily it drips: whoever orders holds the lock of all instances. Looked at between two
reads, so up to REQUEST_TIMEOUT_S more."""

MAX_ANSWER_BYTES = 2**20
"""Of one answer with its head; a chain of certificates has some 6 KB."""

MAX_REDIRECTS = 3

BAD_NONCES = 5
"""Requests are repeated so often if the CA refuses their nonce (RFC 8555 §6.5)."""


class Session:
    """Requests to the CA, signed by our account. `retry_after_s` is what the last answer asked for, or 0.

    Nobody is asked before `open`, so what a CA answers to the first question is not lost with the session.
    """

    def __init__(self, settings: AcmeSettings, storage: Storage) -> None:
        self.directory = messages.Directory({"meta": messages.Directory.Meta()})
        self._is_open = False
        self._settings = settings
        self._storage = storage
        self.retry_after_s = 0.0
        account = storage.read_account()
        stored_key = _stored_key(account, settings)
        self._stored = account if stored_key else {}
        self.key = stored_key or JWKEC(key=ec.generate_private_key(ec.SECP256R1()))
        self._network = _Network(self.key, alg=ES256, user_agent=f"thrust/{__version__}", timeout=REQUEST_TIMEOUT_S)
        self._network.session.mount("https://", _Transport())
        self._network.session.headers["Accept-Encoding"] = "identity"
        self._network.session.max_redirects = MAX_REDIRECTS
        self._network.session.hooks["response"].append(self._note_retry_after)

    def open(self) -> None:
        """Reads the directory and signs in, unless that is done."""
        if self._is_open:
            return
        self.directory = client.ClientV2.get_directory(self._settings.directory_url, self._network)
        self._sign_in(self._stored)
        self._is_open = True

    def post(self, url: str, content: JSONDeSerializable | None = None) -> requests.Response:
        """The answer to `content`, or to POST-as-GET (RFC 8555 §6.3)."""
        return self._network.post(url, content, new_nonce_url=self.directory["newNonce"])

    def get(self, url: str) -> requests.Response:
        """The answer to a request without signature."""
        return self._network.get(url)

    def forget_account(self) -> None:
        """The CA does not know our account any more: registers again with the next session."""
        self._storage.write_account({})

    def close(self) -> None:
        """Closes the connections."""
        self._network.session.close()

    # The account

    def _sign_in(self, stored: dict[str, Any]) -> None:
        """Uses the stored account, or registers. The key is kept before the CA hears of it: none is orphaned."""
        settings = self._settings
        if not (uri := stored.get("uri")):
            account = {"key": self.key.to_partial_json(), "eab_kid": settings.eab_kid or ""}
            self._storage.write_account(account)
            uri = self._register()
            self._storage.write_account(account | {"uri": uri, "email": settings.email or ""})
        resource = messages.RegistrationResource(uri=uri, body=messages.Registration())
        self._network.account = resource
        if stored and stored.get("email", "") != (settings.email or ""):
            contact = (f"mailto:{settings.email}",) if settings.email else ()
            self.post(uri, messages.UpdateRegistration(contact=contact))
            self._storage.write_account(stored | {"email": settings.email or ""})

    def _register(self) -> str:
        """The URL of a new account, or of the one that has this key."""
        binding = None
        settings = self._settings
        if settings.eab_kid and settings.eab_hmac_key:
            binding = messages.ExternalAccountBinding.from_data(
                self.key.public_key(),
                settings.eab_kid,
                b64encode(settings.eab_hmac_key).decode(),
                self.directory,
            )
        registration = messages.NewRegistration.from_data(
            email=settings.email, terms_of_service_agreed=True, external_account_binding=binding
        )
        try:
            return str(client.ClientV2(self.directory, self._network).new_account(registration).uri)
        except errors.ConflictError as error:
            return error.location

    def _note_retry_after(self, response: requests.Response, *args: Any, **kwargs: Any) -> None:
        self.retry_after_s = retry_after_s(response.headers.get("Retry-After", ""), time.time())


def retry_after_s(field: str, now_s: float) -> float:
    """Seconds to wait for in a Retry-After field (RFC 9110 §10.2.3); 0 if it says nothing useful."""
    if field.isascii() and field.isdigit():
        return float(field[:9])
    try:
        return max(0.0, parsedate_to_datetime(field).timestamp() - now_s)
    except (ValueError, TypeError, OverflowError):
        return 0.0


def _stored_key(stored: dict[str, Any], settings: AcmeSettings) -> JWKEC | None:
    """The key of the stored account; None if there is none, or if it belongs to another external account."""
    if stored.get("eab_kid", "") != (settings.eab_kid or ""):
        return None
    try:
        key = JWKEC.from_json(stored["key"])
    except (JoseError, KeyError, TypeError, ValueError):
        return None
    return key if isinstance(key, JWKEC) else None


class _Network(client.ClientNetwork):
    """Answers bad nonces more often than once; a CA with several back-ends may refuse two in a row."""

    def post(self, *args: Any, **kwargs: Any) -> requests.Response:
        for _ in range(BAD_NONCES):
            try:
                return super().post(*args, **kwargs)
            except messages.Error as error:
                if error.code != "badNonce":
                    raise
        return super().post(*args, **kwargs)


class _Transport(HTTPAdapter):
    """Trusts the system's certificates, or SSL_CERT_FILE's, beside those that `requests` brings along; sets limits."""

    def __init__(self) -> None:
        self._allowance = _Allowance()
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=_client_context(self._allowance), **kwargs)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        return super().proxy_manager_for(proxy, **kwargs, ssl_context=_client_context(self._allowance))

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        self._allowance.renew()
        return super().send(*args, **kwargs)

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        resp.headers.discard("Content-Encoding")  # a megabyte may unpack to a gigabyte, and we asked for none
        return super().build_response(req, resp)


class _Allowance:
    """What is left to the answer under way."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """A new exchange begins."""
        self._ends_s = time.monotonic() + EXCHANGE_TIMEOUT_S
        self._left_bytes = MAX_ANSWER_BYTES

    def spend(self, size_bytes: int) -> None:
        """Raises OrderError, which no library on the way takes for one of its own, as soon as nothing is left."""
        self._left_bytes -= size_bytes
        if self._left_bytes < 0:
            problem = f"the CA sends an answer of more than {MAX_ANSWER_BYTES} bytes; check ACME_DIRECTORY"
            raise OrderError(problem, is_refusal=False)
        if time.monotonic() > self._ends_s:
            problem = f"the CA has not finished an answer within {EXCHANGE_TIMEOUT_S:g} s; thrust will try again"
            raise OrderError(problem, is_refusal=False)


def _client_context(allowance: _Allowance) -> ssl.SSLContext:
    """A context whose connections charge what they read to `allowance`. (A handshake has one deadline in `ssl`.)"""

    class Metered(ssl.SSLSocket):
        def recv_into(self, *args: Any, **kwargs: Any) -> int:
            size_bytes = super().recv_into(*args, **kwargs)
            allowance.spend(size_bytes)
            return size_bytes

    context = ssl.create_default_context()
    context.sslsocket_class = Metered
    return context
