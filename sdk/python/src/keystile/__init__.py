"""Signs one-time requests for a Keystile server.

It sends nothing and verifies nothing.
"""

from keystile._keys import Algorithm, SignError
from keystile.onetime import OneTimeSigner

__all__ = ["Algorithm", "OneTimeSigner", "SignError"]
