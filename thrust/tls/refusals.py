"""What a certificate authority says no with, as a sentence that names the cure.

A pure table: `acme` takes problem documents apart (RFC 8555 §6.7) and asks here. What the CA said is repeated, because
it knows best what it saw, but without control characters and at a bounded length: it ends up in the log.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from thrust.tls.answers import TLS_ALPN_01

MAX_DETAIL = 300  # characters

_CA_TROUBLE = frozenset({"serverInternal", "badNonce"})
"""Problems that say nothing about us."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem document: the last word of its type, and what it says in words. `""` for what it leaves out."""

    code: str
    detail: str

    @property
    def is_refusal(self) -> bool:
        """Whether the CA means us, and not itself."""
        return self.code not in _CA_TROUBLE


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What was asked for, and how. `challenge` is "" where none has been tried."""

    domain: str
    challenge: str = ""
    authorities: Sequence[str] = ()
    profile: str = ""


def sentence(problem: Problem, asked: Circumstances) -> str:
    """What went wrong with `asked`, what the CA said, and what to do about it."""
    said = f" ({shortened(problem.detail)})" if problem.detail else ""
    by = f" by {asked.challenge}" if asked.challenge else ""
    return f"{_what(problem, asked)}{by}{said}; {_cure(problem.code, asked)}"


def _what(problem: Problem, asked: Circumstances) -> str:
    match problem.code:
        case "dns" | "unknownHost":
            return f"the CA does not find {asked.domain} in the DNS"
        case "dnssec":
            return f"the CA does not trust the DNS of {asked.domain}, whose signatures are wrong"
        case "connection" | "tls":
            return f"the CA could not reach {asked.domain}"
        case "unauthorized" | "incorrectResponse" if asked.challenge:
            return f"the CA reached something else at {asked.domain}"
        case "caa":
            return f"a CAA record of {asked.domain} forbids this CA"
        case "rateLimited":
            return f"the CA's rate limit for {asked.domain} is reached"
        case "externalAccountRequired":
            return "the CA wants to know its customer"
        case "badSignatureAlgorithm" | "badPublicKey" | "unauthorized" | "malformed":
            return "the CA refuses the account or the order"
        case "invalidContact" | "unsupportedContact" | "invalidEmail":
            return "the CA refuses ACME_EMAIL"
        case "rejectedIdentifier" | "unsupportedIdentifier":
            return f"the CA gives no certificate for {asked.domain}"
        case "invalidProfile":
            return f"the CA does not know THRUST_ACME_PROFILE {asked.profile}"
        case "serverInternal":
            return "the CA has troubles of its own"
        case code:
            return f"the CA gave no certificate for {asked.domain}, and calls it {shortened(code) or 'nothing'}"


def _cure(code: str, asked: Circumstances) -> str:
    port = 443 if asked.challenge == TLS_ALPN_01 else 80
    match code:
        case "dns" | "unknownHost":
            return "give it an A or AAAA record that leads to this machine"
        case "dnssec":
            return "mend them, or take its DS record away"
        case "connection" | "tls":
            return f"its A and AAAA records have to lead here, and port {port} has to be open to the whole internet"
        case "unauthorized" | "incorrectResponse" if asked.challenge:
            return f"its A and AAAA records have to lead here, and nothing else may answer on port {port}"
        case "caa":
            allowed = ", ".join(f'CAA 0 issue "{name}"' for name in asked.authorities) or "one for this CA"
            return f"add {allowed}, or take it away"
        case "rateLimited":
            return "thrust waits as long as the CA asks for"
        case "externalAccountRequired" | "badSignatureAlgorithm" | "badPublicKey" | "unauthorized" | "malformed":
            return "check ACME_DIRECTORY, EAB_KID and EAB_HMAC_KEY"
        case "invalidContact" | "unsupportedContact" | "invalidEmail":
            return "give another address, or none"
        case "rejectedIdentifier" | "unsupportedIdentifier":
            return "check THRUST_ACME_DOMAIN; public CAs know public names only"
        case "invalidProfile":
            return "name another, or none"
        case _:
            return "thrust will try again"


def shortened(text: str) -> str:
    """`text` on one line, without what a terminal might act on."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= MAX_DETAIL else line[: MAX_DETAIL - 1] + "…"
