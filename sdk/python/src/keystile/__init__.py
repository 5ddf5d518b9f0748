"""For programs that use a Keystile server, or stand behind one.

===================  ============================================================
``OneTimeSigner``    signs requests for one use
``keystile.session`` checks session tokens; ``keystile.wsgi`` and ``keystile.asgi``
                     do so in front of an application
``ona_platform``     a package of its own: logins and data in the shape of Ona's SDK
===================  ============================================================
"""

from keystile._keys import Algorithm, SignError
from keystile.onetime import OneTimeSigner

__all__ = ["Algorithm", "OneTimeSigner", "SignError"]
