"""The certificate and key that the app lan starts with, and what findings about them are called. Pure.

Apart from what looks into them: that needs `cryptography`, whose import would cost every command 40 ms.
"""

from __future__ import annotations

from dataclasses import dataclass, field

OWN = "lan"
CERTIFICATE_SETTING, KEY_SETTING = "LAN_CERTIFICATE", "LAN_CERTIFICATE_KEY"


@dataclass(frozen=True, slots=True)
class Pair:
    """What the server by TLS starts with: the company's certificate, or the site's own authority.

    Attributes:
        chain: PEM text, the server's certificate first; of the site's own authority its certificate.
        key: PEM text of the first certificate's private key.
        is_company: whether it is the company's.
    """

    chain: str
    key: str = field(repr=False)
    is_company: bool = False
